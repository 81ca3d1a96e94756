"""The users on the operator's Redis: lost by the server, and recreated with another password."""

import json
import secrets
from collections.abc import Iterator

import pytest

from support.kube.installed import REDIS_POD, SYSTEM_NAMESPACE, Endpoint, Installed, is_ready
from support.kube.own_redis import bring_secrets
from support.kube.provider.shell import CommandError, wait_until
from support.kube.watching import (
    Load,
    kill_pod,
    outcomes,
    starts,
    starts_of,
    taken_back,
    until_ended,
    until_jobs,
)

REDIS = "statefulset/asyncendpoints-redis"
PARTS = "app.kubernetes.io/instance=asyncendpoints"


@pytest.fixture(scope="module")
def endpoint(installed: Installed) -> Iterator[Endpoint]:
    """An endpoint with one permanent worker."""
    stays = {"minReplicas": 1, "maxReplicas": 1}
    with (
        installed.cluster.namespace("users") as place,
        installed.endpoint(place, "reports", autoscaling=stays) as endpoint,
    ):
        endpoint.until_workers(1)
        yield endpoint


def test_a_user_that_redis_lost_is_made_again(installed: Installed, endpoint: Endpoint) -> None:
    user, pods = f"aep.{endpoint.namespace}.reports", starts(endpoint)
    with Load(endpoint, seconds=0.1) as load:
        load.until_more(20)
        # Redis also closes the connections of a deleted user.
        assert installed.redis("ACL", "DELUSER", user) == "1"
        wait_until("the user", lambda: user in installed.redis("ACL", "USERS"), seconds=60)
        load.until_more(20)
    assert outcomes(until_ended(endpoint, load.accepted)) == {("Completed", 1)}
    assert set(load.answers) <= {202, 503}
    assert starts(endpoint) == pods


def test_the_operators_own_password_changed_under_load_restarts_and_loses_nothing(
    installed: Installed, endpoint: Endpoint
) -> None:
    # The kubelet updates no Secret of a pod that is being deleted.
    job, draining = drain(endpoint, seconds=40)
    pods, parts = running(endpoint, draining), installation(installed)
    secret = mounted(endpoint)
    with Load(endpoint, seconds=0.1) as load:
        load.until_more(20)
        change_password(installed, secrets.token_hex(8))  # another one in each run
        wait_until("the endpoint's Secret", lambda: mounted(endpoint) != secret, seconds=90)
        cut(installed)
        selector = "asyncendpoints.io/endpoint=reports"
        bring_secrets(installed.cluster, endpoint.namespace, selector)
        load.until_more(20)
    assert endpoint.job(job)["state"] == "InProgress"
    assert outcomes(until_ended(endpoint, [job, *load.accepted])) == {("Completed", 1)}
    assert endpoint.result(job)["pod"] == draining
    assert set(load.answers) <= {202, 503}
    assert running(endpoint, draining) == pods
    assert installation(installed) == parts
    assert taken_back(installed, endpoint) == 0
    count = len(endpoint.all_jobs())
    endpoint.until("all are counted", lambda status: status["jobs"]["completed"] == count)


def test_a_job_of_a_replaced_resource_survives_a_restart_of_redis(
    installed: Installed, endpoint: Endpoint
) -> None:
    job, pod = start(endpoint, seconds=40)
    resource = endpoint.kubectl("get", "aep", endpoint.name, "-o", "json")
    endpoint.kubectl("replace", "--force", "-f", "-", stdin=resource)
    endpoint.close()
    endpoint.url = ""  # its Service is another one
    endpoint.until_ready()
    assert endpoint.job(job)["state"] == "InProgress"
    kill_pod(installed.cluster, SYSTEM_NAMESPACE, REDIS_POD)
    installed.cluster.rollout(SYSTEM_NAMESPACE, REDIS)
    until_jobs(endpoint, [job], {"InProgress"}, seconds=30)
    assert outcomes(until_ended(endpoint, [job])) == {("Completed", 1)}
    assert endpoint.result(job)["pod"] == pod


def start(endpoint: Endpoint, *, seconds: float) -> tuple[str, str]:
    """A job that runs, and the name of its pod."""
    endpoint.until_workers(1)
    (pod,) = endpoint.pods("worker")
    job = endpoint.submit(seconds=seconds)
    until_jobs(endpoint, [job], {"InProgress"})
    return job, pod["metadata"]["name"]


def drain(endpoint: Endpoint, *, seconds: float) -> tuple[str, str]:
    """A job that runs on a pod that is being deleted, beside its successor; and the pod's name."""
    job, pod = start(endpoint, seconds=seconds)
    endpoint.kubectl("delete", "pod", pod, "--wait=false")
    wait_until("the successor", lambda: any(map(is_ready, endpoint.pods("worker"))), seconds=30)
    return job, pod


def running(endpoint: Endpoint, draining: str) -> set[tuple[str, int]]:
    """The endpoint's pods without the draining one, each with its restart count."""
    pods = endpoint.pods("gateway") + endpoint.pods("worker")
    return starts_of(pod for pod in pods if pod["metadata"]["name"] != draining)


def change_password(installed: Installed, password: str) -> None:
    """Change the operator's Redis password in the server and in its Secret, and disconnect all."""
    url = f"redis://:{password}@asyncendpoints-redis.{SYSTEM_NAMESPACE}.svc:6379/0"
    patch = json.dumps({"stringData": {"password": password, "url": url}})
    where = ("secret", "asyncendpoints-redis", "--namespace", SYSTEM_NAMESPACE)
    installed.redis("ACL", "SETUSER", "default", "resetpass", f">{password}")
    installed.cluster.kubectl("patch", *where, "-p", patch)
    bring_secrets(installed.cluster, SYSTEM_NAMESPACE, PARTS)

    def known() -> bool:
        try:
            return installed.redis("PING") == "PONG"
        except CommandError:
            return False

    wait_until("the server's pod to know its password", known, seconds=120)
    cut(installed)


def cut(installed: Installed) -> None:
    """Close every connection, so that clients have to authenticate again."""
    for kind in ("normal", "pubsub"):
        installed.redis("CLIENT", "KILL", "TYPE", kind)


def mounted(endpoint: Endpoint) -> str:
    """The UID of the Secret that the endpoint's pods mount; "" while there is none."""
    volumes = endpoint.pods("gateway")[0]["spec"]["volumes"]
    name = next(v["secret"]["secretName"] for v in volumes if v.get("secret"))
    found = ("get", "secret", name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    return endpoint.kubectl(*found)


def installation(installed: Installed) -> set[tuple[str, int]]:
    """The pods of the installation, each with its restart count."""
    where = ("pods", "-l", PARTS, "--namespace", SYSTEM_NAMESPACE)
    return starts_of(installed.cluster.get(*where)["items"])
