"""A second release, restricted to one namespace by its Role, on the same Redis."""

import base64
import json
from collections.abc import Iterator

import pytest

from support.kube import install
from support.kube.installed import SYSTEM_NAMESPACE, Installed
from support.kube.provider.shell import wait_until

RELEASE = "narrow"


@pytest.fixture
def narrow(installed: Installed, namespace: str) -> Iterator[str]:
    """The release, in the namespace that it serves; it shares the Redis of the first one."""
    cluster = installed.cluster
    own = cluster.get("secret", "asyncendpoints-redis", "--namespace", SYSTEM_NAMESPACE)
    url = base64.b64decode(own["data"]["url"]).decode()
    meta = {"name": "shared-redis", "namespace": namespace}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"url": url}}
    )
    values = install.chart_values(installed.images, installed.redis_image) | {
        "crds": {"install": False},
        "operator": {
            "className": RELEASE,
            "watchNamespaces": [namespace],
            "env": [{"name": "ASYNCENDPOINTS_KEEP_SECONDS", "value": "0"}],
        },
        "rbac": {"secretNamespaces": [namespace], "aggregateToDefaultRoles": False},
        "redis": {"existingSecret": {"name": "shared-redis", "key": "url"}},
    }
    where = ("--namespace", namespace, "--wait", "--timeout", "3m")
    words = ("upgrade", "--install", RELEASE, str(install.CHART), "--values", "-", *where)
    cluster.helm(*words, stdin=json.dumps(values))
    yield namespace
    cluster.helm("uninstall", RELEASE, *where, "--ignore-not-found")


def test_it_serves_its_own_and_sweeps_nothing_of_the_other(
    installed: Installed, narrow: str
) -> None:
    with installed.cluster.namespace("wide") as wide, installed.endpoint(wide, "theirs") as theirs:
        kept = theirs.submit(value="kept")
        assert theirs.finished(kept)["state"] == "Completed"
        with installed.endpoint(narrow, "mine", className=RELEASE) as mine:
            job = mine.submit(value="mine")
            assert mine.finished(job)["state"] == "Completed"
            ours = f"aep:{{{narrow}/mine}}:jobs"
            assert installed.redis("EXISTS", ours) == "1"
        wait_until("the purge", lambda: installed.redis("EXISTS", ours) == "0", seconds=120)
        assert theirs.job(kept)["state"] == "Completed"


def test_a_secret_of_the_user_is_read_where_the_chart_allows_it(
    installed: Installed, narrow: str
) -> None:
    # The same server, another database: the operator knows it from this Secret alone.
    known = installed.cluster.get("secret", "shared-redis", "--namespace", narrow)
    url = base64.b64decode(known["data"]["url"]).decode().removesuffix("/0") + "/5"
    meta = {"name": "own-redis", "namespace": narrow}
    installed.cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"url": url}}
    )
    redis = {"secretRef": {"name": "own-redis"}}
    with installed.endpoint(narrow, "mine", className=RELEASE, redis=redis) as mine:
        job = mine.submit(value="elsewhere")
        assert mine.finished(job)["state"] == "Completed"
        assert mine.status["queue"].endswith("/5")
        assert installed.redis("-n", "5", "EXISTS", f"aep:{{{narrow}/mine}}:jobs") == "1"
        assert installed.redis("EXISTS", f"aep:{{{narrow}/mine}}:jobs") == "0"


def test_a_namespace_that_is_gone_keeps_no_other_from_being_served(
    installed: Installed, narrow: str
) -> None:
    cluster, operator = installed.cluster, f"deployment/{RELEASE}-asyncendpoints-operator"
    variable = f"ASYNCENDPOINTS_WATCH_NAMESPACES={narrow},no-such-namespace"
    cluster.kubectl("set", "env", "--namespace", narrow, operator, variable)
    cluster.rollout(narrow, operator)
    with installed.endpoint(narrow, "served", className=RELEASE) as endpoint:
        assert endpoint.finished(endpoint.submit(value="served"))["state"] == "Completed"
    log = cluster.kubectl("logs", "--namespace", narrow, operator, "--tail=-1")
    assert log.count("namespace no-such-namespace cannot be read yet") == 1


def test_a_second_operator_of_the_same_class_leaves_what_the_first_serves(
    installed: Installed, narrow: str
) -> None:
    cluster, operator = installed.cluster, f"deployment/{RELEASE}-asyncendpoints-operator"

    def generations() -> list[int]:
        found = cluster.get("deployments", "--namespace", narrow)["items"]
        served = [one for one in found if one["metadata"]["name"].startswith("contested")]
        return [one["metadata"]["generation"] for one in served]

    with installed.endpoint(narrow, "contested") as endpoint:
        before = generations()
        variable = "ASYNCENDPOINTS_CLASS_NAME="
        cluster.kubectl("set", "env", "--namespace", narrow, operator, variable)
        wait_until("the Event", lambda: "ServedByAnother" in endpoint.events(), seconds=90)
        assert endpoint.finished(endpoint.submit(value="first"))["state"] == "Completed"
        assert generations()[0] == before[0]  # the gateway's; the workers' follows the jobs
        assert endpoint.status["operator"] == f"{SYSTEM_NAMESPACE}/asyncendpoints-operator"
        wait_until(
            "the second is not ready",
            lambda: not cluster.get(operator, "--namespace", narrow)["status"].get("readyReplicas"),
            seconds=30,
        )
