"""Two installations on one Redis, like two clusters: neither touches the other's queues."""

import base64
import json
from collections.abc import Iterator

import pytest

from support.kube import install
from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError, wait_until
from support.kube.watching import scale

OTHER = "abroad"
"""The other installation: its id, its release, its class."""
OTHER_OPERATOR = f"deployment/{OTHER}-asyncendpoints-operator"
SELECTOR = f"app.kubernetes.io/component=operator,app.kubernetes.io/instance={OTHER}"


@pytest.fixture(scope="module")
def abroad(installed: Installed) -> Iterator[str]:
    """The other installation. It may see everything, so that no 403 hides its actions."""
    cluster = installed.cluster
    own = cluster.get("secret", "asyncendpoints-redis", "--namespace", SYSTEM_NAMESPACE)
    url = base64.b64decode(own["data"]["url"]).decode()
    with cluster.namespace(OTHER) as place:
        meta = {"name": "shared-redis", "namespace": place}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"url": url}}
        )
        env = {"ASYNCENDPOINTS_RESYNC_SECONDS": "10"}
        values = install.chart_values(installed.images, installed.redis_image) | {
            "crds": {"install": False},
            "operator": {
                "className": OTHER,
                "installation": OTHER,
                "env": [{"name": name, "value": value} for name, value in env.items()],
            },
            "rbac": {"aggregateToDefaultRoles": False},
            "redis": {"existingSecret": {"name": "shared-redis", "key": "url"}},
        }
        where = ("--namespace", place, "--wait", "--timeout", "3m")
        words = ("upgrade", "--install", OTHER, str(install.CHART), "--values", "-", *where)
        cluster.helm(*words, stdin=json.dumps(values))
        yield place
        cluster.helm("uninstall", OTHER, *where, "--ignore-not-found")


@pytest.fixture(scope="module")
def theirs(installed: Installed, abroad: str) -> Iterator[Endpoint]:
    """An endpoint of the other installation, with a permanent worker and a finished job."""
    stays = {"minReplicas": 1, "maxReplicas": 1}
    with installed.endpoint(abroad, "theirs", className=OTHER, autoscaling=stays) as endpoint:
        assert endpoint.finished(endpoint.submit(value="first"))["state"] == "Completed"
        yield endpoint


def state(installed: Installed, name: str) -> tuple[str, bool]:
    """The owner of an endpoint's queue ("" without a queue), and whether it is open."""
    meta = f"aep:{{{name}}}:meta"
    if installed.redis("EXISTS", f"aep:{{{name}}}:jobs") == "0":
        return "", False
    closed = installed.redis("HGET", meta, "closed")
    return installed.redis("HGET", meta, "installation"), closed in ("", "0")


def purge_something(installed: Installed, place: str) -> None:
    """Make the other installation sweep its whole directory once."""
    with installed.endpoint(
        place, "zzz", className=OTHER, onDelete="Purge", suspend=True
    ) as endpoint:
        endpoint.submit(value="goes")
        endpoint.delete()
    name = f"{place}/zzz"
    wait_until("the purge", lambda: state(installed, name) == ("", False), seconds=60)


def test_a_queue_of_another_installation_is_never_swept(
    cluster: Cluster, installed: Installed, theirs: Endpoint
) -> None:
    """The directory of each claims that the other's queue is its own, at the worst time."""
    with (
        cluster.namespace("aaa") as home,
        installed.endpoint(home, "ours", onDelete="Purge") as ours,
    ):
        mine, foreign = f"{home}/ours", f"{theirs.namespace}/theirs"
        kept = ours.submit(value="kept")
        assert ours.finished(kept)["state"] == "Completed"
        first, _ = state(installed, mine)
        assert first not in ("", OTHER)
        installed.redis("SADD", f"aep:{{{OTHER}}}:endpoints", mine)
        installed.redis("SADD", f"aep:{{{first}}}:endpoints", foreign)
        scale(cluster, SYSTEM_NAMESPACE, OPERATOR, 0)
        try:
            # As in a separate cluster: the other installation finds no such resource.
            ours.delete()
            purge_something(installed, theirs.namespace)
            assert state(installed, mine) == (first, True)
        finally:
            scale(cluster, SYSTEM_NAMESPACE, OPERATOR, 1)
        # Its owner finds it deleted, and does as configured.
        wait_until("the purge", lambda: state(installed, mine) == ("", False), seconds=120)
        assert state(installed, foreign) == (OTHER, True)
        assert theirs.finished(theirs.submit(value="well"))["state"] == "Completed"


def test_without_the_right_to_list_no_live_queue_is_swept(
    cluster: Cluster, installed: Installed, theirs: Endpoint
) -> None:
    name, count = f"{theirs.namespace}/theirs", len(theirs.all_jobs())
    rights(theirs, ["get", "watch"])
    try:
        # A watch that still runs is kept, so that a deletion is seen without the right to list.
        wait_until("a list to be refused", lambda: is_refused(theirs), seconds=90)
        purge_something(installed, theirs.namespace)
        assert state(installed, name) == (OTHER, True)
        # A new operator without permission knows no endpoints, and does nothing.
        (pod,) = cluster.get("pods", "-l", SELECTOR, "--namespace", theirs.namespace)["items"]
        theirs.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=true")
        wait_until("the next to be refused", lambda: is_refused(theirs), seconds=90)
        assert theirs.finished(theirs.submit(value="without"))["state"] == "Completed"
        assert state(installed, name) == (OTHER, True)
    finally:
        rights(theirs, ["get", "list", "watch"])
    cluster.rollout(theirs.namespace, OTHER_OPERATOR)
    assert theirs.finished(theirs.submit(value="with"))["state"] == "Completed"
    theirs.until("all are counted", lambda status: status["jobs"]["completed"] == count + 2)


def rights(theirs: Endpoint, verbs: list[str]) -> None:
    """Set the permissions of the other operator on AsyncEndpoints."""
    role = ("clusterrole", f"{theirs.namespace}:{OTHER}-asyncendpoints-operator")
    rules = theirs.cluster.get(*role)["rules"]
    (at,) = (n for n, rule in enumerate(rules) if rule["resources"] == ["asyncendpoints"])
    patch = [{"op": "replace", "path": f"/rules/{at}/verbs", "value": verbs}]
    theirs.kubectl("patch", *role, "--type=json", "-p", json.dumps(patch))


def is_refused(theirs: Endpoint) -> bool:
    """Return whether the other operator reports that it may not list; False until it runs."""
    try:
        said = theirs.kubectl("logs", OTHER_OPERATOR, "--tail=20")
    except CommandError:
        return False
    return "the cluster cannot be read yet" in said
