"""Kinds that come and go while the operator runs, and a ServiceAccount that is made anew."""

import pytest

from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError, wait_until

ROUTES = "httproutes.gateway.networking.k8s.io"


def crd() -> dict[str, object]:
    """The smallest CRD of HTTPRoute."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
    }
    approved = {"api-approved.kubernetes.io": "https://example.com/for-a-test"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": ROUTES, "annotations": approved},
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {"plural": "httproutes", "singular": "httproute", "kind": "HTTPRoute"},
            "versions": [version],
        },
    }


def operator_log(cluster: Cluster) -> str:
    return cluster.kubectl("logs", "--namespace", SYSTEM_NAMESPACE, OPERATOR, "--tail=-1")


def test_a_kind_that_comes_and_goes_affects_no_other(installed: Installed, namespace: str) -> None:
    cluster = installed.cluster
    names = cluster.kubectl("get", "crd", "-o", "name")
    if ROUTES in names:
        pytest.skip("this cluster has the Gateway API")

    def logged(text: str, more_than: int = 0) -> bool:
        return operator_log(cluster).count(text) > more_than

    with installed.endpoint(namespace, "watched", gateway={"replicas": 1}) as endpoint:
        absent = operator_log(cluster).count("the kind HTTPRoute is not there")
        cluster.apply(crd())
        try:
            come = "the kind HTTPRoute is there"
            wait_until("the kind is watched", lambda: logged(come), seconds=45)
        finally:
            cluster.kubectl("delete", "crd", ROUTES)
        gone = "the kind HTTPRoute is not there"
        wait_until("the kind is not watched", lambda: logged(gone, absent), seconds=45)

        def service_uid() -> str:
            try:
                found = cluster.get("service", "watched", "--namespace", namespace)
            except CommandError:
                return ""
            return str(found["metadata"]["uid"])

        before = service_uid()
        endpoint.kubectl("delete", "service", "watched")
        wait_until("the Service", lambda: service_uid() not in {"", before}, seconds=20)
    assert "Traceback" not in operator_log(cluster)


@pytest.mark.timeout(400)
def test_an_operator_that_the_api_server_does_not_accept_is_not_ready(
    installed: Installed,
) -> None:
    cluster = installed.cluster
    where = ("--namespace", SYSTEM_NAMESPACE)
    account = "serviceaccount/asyncendpoints"
    manifest = cluster.get(account, *where)
    for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        manifest["metadata"].pop(name, None)

    def ready() -> int:
        found = cluster.get(OPERATOR, *where)
        return int(found["status"].get("readyReplicas", 0))

    cluster.kubectl("delete", account, *where)
    cluster.apply(manifest)
    try:
        wait_until("not ready", lambda: ready() == 0, seconds=150)
        log = operator_log(cluster)
        assert log.count("the lease could not be read or written") >= 1
        assert "Traceback" not in log
    finally:
        cluster.kubectl("rollout", "restart", OPERATOR, *where)
        wait_until("ready again", lambda: ready() == 1, seconds=120)
