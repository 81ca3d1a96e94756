"""Endpoints whose Redis accepts connections but never replies, beside a healthy one."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Endpoint, Installed, is_ready
from support.kube.own_redis import restricted
from support.kube.provider.client import Cluster
from support.kube.provider.shell import wait_until

SELECTOR = "app.kubernetes.io/component=operator,app.kubernetes.io/instance=asyncendpoints"
# More than are reconciled concurrently, and silent at two points: at once, or after the login.
HOLES = ("/0", "/0", "/1", "/2", "/3", "/4")
SILENCE = """
import socket
server = socket.create_server(("", 6379), backlog=512)
taken = []
while True:
    taken.append(server.accept())
"""


@pytest.fixture
def holes(installed: Installed, namespace: str, base_image: str) -> Iterator[list[Endpoint]]:
    """The endpoints with their Redis."""
    labels = {"app": "silence"}
    meta = {"name": "silence", "namespace": namespace, "labels": labels}
    command = ["python3", "-c", SILENCE]
    probe = {"tcpSocket": {"port": 6379}, "periodSeconds": 1}
    container = {"name": "silence", "image": base_image, "command": command}
    spec = restricted({**container, "readinessProbe": probe})
    spec["securityContext"] |= {"runAsUser": 65532}
    ports = {"selector": labels, "ports": [{"port": 6379}]}
    installed.cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
    )
    installed.cluster.wait(namespace, "pod/silence", "condition=Ready")
    found = []
    with contextlib.ExitStack() as stack:
        for number, path in enumerate(HOLES):
            url = f"redis://silence.{namespace}.svc:6379{path}"
            gateway = {"replicas": int(number == 0)}
            resource = installed.resource(
                namespace, f"hole-{number}", redis={"url": url}, gateway=gateway
            )
            installed.cluster.apply(resource)
            endpoint = Endpoint(installed.cluster, namespace, f"hole-{number}")
            stack.callback(endpoint.delete, "--wait=false")
            found.append(endpoint)
        yield found


def test_silent_servers_do_not_stall_others(
    cluster: Cluster, installed: Installed, namespace: str, holes: list[Endpoint]
) -> None:
    for endpoint in holes:
        endpoint.until("the silence to be told", is_unreachable)
    # A new operator that starts among them becomes ready and leads.
    operator = pod_of_operator(cluster)
    cluster.kubectl("delete", "pod", operator, "--namespace", SYSTEM_NAMESPACE, "--wait=true")
    cluster.rollout(SYSTEM_NAMESPACE, OPERATOR)
    before = pod_of_operator(cluster)

    with installed.endpoint(namespace, "well", onDelete="Purge") as well:
        well.until_workers(0)
        job = well.finished(well.submit(value="from zero"), seconds=60)
        assert (job["state"], job["attempt"]) == ("Completed", 1)
        for endpoint in holes:
            assert is_unreachable(endpoint.status)
            assert endpoint.condition("Ready")["status"] == "False"
    key = f"aep:{{{namespace}/well}}:jobs"
    wait_until("the purge", lambda: installed.redis("EXISTS", key) == "0", seconds=60)
    assert pod_of_operator(cluster) == before


def is_unreachable(status: Mapping[str, Any]) -> bool:
    found = {one["type"]: one for one in status.get("conditions", [])}.get("QueueReachable", {})
    return (found.get("status"), found.get("reason")) == ("False", "Unreachable")


def pod_of_operator(cluster: Cluster) -> str:
    """The name of the operator's pod: there is one, ready and never restarted."""
    pods = cluster.get("pods", "-l", SELECTOR, "--namespace", SYSTEM_NAMESPACE)["items"]
    (pod,) = (pod for pod in pods if "deletionTimestamp" not in pod["metadata"])
    assert is_ready(pod)
    return str(pod["metadata"]["name"])
