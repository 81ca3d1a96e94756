"""An operator that was stopped for a while, on an API server without a history of that time."""

from collections.abc import Mapping
from typing import Any

import pytest

from support.kube.control_plane import forget_history, frozen, is_forgotten
from support.kube.installed import SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import wait_until

KINDS = "deployments,services,pdb,serviceaccounts,secrets,configmaps"
ALL = "/apis/asyncendpoints.io/v1alpha1/asyncendpoints"
OPERATOR = "app.kubernetes.io/component=operator,app.kubernetes.io/instance=asyncendpoints"


@pytest.fixture
def native_node(cluster: Cluster) -> None:
    """Processes of the node are stopped and killed, which only the native node allows."""
    if cluster.provider.name != "native":
        pytest.skip("does something to the processes of the native node")


def operator(cluster: Cluster) -> dict[str, Any]:
    """The operator's pod; there is one."""
    found = cluster.get("pods", "-l", OPERATOR, "--namespace", SYSTEM_NAMESPACE)["items"]
    (pod,) = (pod for pod in found if "deletionTimestamp" not in pod["metadata"])
    return dict(pod)


def made_for(endpoint: Endpoint, pod: Mapping[str, Any]) -> list[str]:
    """The objects that the operator has created for an endpoint."""
    where = ("logs", "--namespace", SYSTEM_NAMESPACE, pod["metadata"]["name"])
    said = endpoint.cluster.kubectl(*where).splitlines()
    return [line for line in said if f"{endpoint.namespace}/{endpoint.name}: applied" in line]


def children(endpoint: Endpoint) -> list[str]:
    """The existing objects of an endpoint."""
    found = endpoint.kubectl("get", KINDS, "-o", "name").split()
    return [name for name in found if endpoint.name in name]


def test_an_endpoint_whose_deletion_was_missed_is_removed_for_good(
    native_node: None, cluster: Cluster, installed: Installed, namespace: str
) -> None:
    key = f"aep:{{{namespace}/unheard}}:jobs"
    with (
        installed.endpoint(namespace, "kept") as other,
        installed.endpoint(namespace, "unheard", onDelete="Purge") as endpoint,
    ):
        assert endpoint.finished(endpoint.submit(value=1))["state"] == "Completed"
        assert installed.redis("EXISTS", key) == "1"
        before = operator(cluster)
        made = made_for(endpoint, before)
        assert made
        version = endpoint.get()["metadata"]["resourceVersion"]
        with frozen(before):
            endpoint.delete()
            wait_until("the children to be collected", lambda: not children(endpoint), seconds=60)
            forget_history(cluster)
            assert is_forgotten(cluster, ALL, version)
            assert installed.redis("EXISTS", key) == "1"
        wait_until("the purge", lambda: installed.redis("EXISTS", key) == "0", seconds=90)
        assert f"aep.{namespace}.unheard" not in installed.redis("ACL", "USERS").splitlines()
        # It keeps working for the existing endpoints and created nothing more for the deleted one.
        assert other.finished(other.submit(value=2))["state"] == "Completed"
        assert children(endpoint) == []
        after = operator(cluster)
        assert made_for(endpoint, after) == made
        same = [pod["status"]["containerStatuses"][0]["containerID"] for pod in (before, after)]
        assert same[0] == same[1]
