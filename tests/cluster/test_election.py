"""Two replicas of the operator: one leads, and the other takes over when it dies."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError, wait_until
from support.kube.watching import kill_pod, scale, seconds_between

LEASE = "asyncendpoints-operator"
SELECTOR = "app.kubernetes.io/component=operator,app.kubernetes.io/instance=asyncendpoints"
TAKEOVER_SECONDS = 15


@pytest.fixture
def two_replicas(installed: Installed) -> Iterator[None]:
    """Two operators for the test, one after it."""
    scale(installed.cluster, SYSTEM_NAMESPACE, OPERATOR, 2)
    yield
    scale(installed.cluster, SYSTEM_NAMESPACE, OPERATOR, 1)


def test_a_standby_takes_over_from_a_killed_leader(
    cluster: Cluster, installed: Installed, two_replicas: None, namespace: str
) -> None:
    wait_until(
        "a leader", lambda: leaders(cluster) == [lease(cluster)["holderIdentity"]], seconds=60
    )
    before = lease(cluster)
    dead = before["holderIdentity"]
    kill_pod(cluster, SYSTEM_NAMESPACE, dead)
    last = before

    def taken_over() -> bool:
        nonlocal last
        now = lease(cluster)
        if now["holderIdentity"] in (dead, ""):
            last = now
            return False
        return True

    wait_until("another leader", taken_over, seconds=90)
    after = lease(cluster)
    assert after["leaseTransitions"] == before["leaseTransitions"] + 1
    # The new leader acquired it after the last renewal of the old one: there were never two.
    gap = seconds_between(last["renewTime"], after["acquireTime"])
    assert 0 <= gap <= TAKEOVER_SECONDS, (last, after)
    wait_until("one leader", lambda: leaders(cluster) == [after["holderIdentity"]], seconds=30)

    with installed.endpoint(namespace, "led") as endpoint:
        job = endpoint.finished(endpoint.submit(value="from zero"))
        assert (job["state"], job["attempt"]) == ("Completed", 1)


def lease(cluster: Cluster) -> dict[str, Any]:
    """The spec of the Lease."""
    spec: dict[str, Any] = cluster.get("lease", LEASE, "--namespace", SYSTEM_NAMESPACE)["spec"]
    return spec


def leaders(cluster: Cluster) -> list[str]:
    """The operator's pods that report that they lead."""
    pods = cluster.get("pods", "-l", SELECTOR, "--namespace", SYSTEM_NAMESPACE)["items"]
    running = [pod["metadata"]["name"] for pod in pods if pod["status"].get("podIP")]
    return [name for name in running if metric(cluster, name, "leading") == 1]


def metric(cluster: Cluster, pod: str, name: str) -> float:
    """The value of one of the operator's metrics; 0 if the pod does not respond."""
    path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}:9090/proxy/metrics"
    try:
        text = cluster.kubectl("get", "--raw", path)
    except CommandError:
        return 0
    wanted = f"asyncendpoints_operator_{name} "
    line = next((line for line in text.splitlines() if line.startswith(wanted)), f"{wanted}0")
    return float(line.rpartition(" ")[2])
