"""Horizontal pod autoscalers on the Deployments of an endpoint.

The cluster has no metrics, which an HPA does not need to bring a number within its bounds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.kube.installed import Endpoint, Installed
from support.kube.provider.shell import wait_until

MANAGER = "field manager kube-controller-manager"


@pytest.fixture(scope="module")
def place(installed: Installed) -> Iterator[str]:
    """A namespace for the module."""
    with installed.cluster.namespace("hpa") as name:
        yield name


@contextmanager
def hpa(endpoint: Endpoint, component: str, replicas: int) -> Iterator[None]:
    """An HPA that wants this number of pods of a component."""
    name = f"{endpoint.name}-{component}"
    api, kind = "autoscaling/v2", "HorizontalPodAutoscaler"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": replicas, "maxReplicas": replicas}
    meta = {"name": name, "namespace": endpoint.namespace}
    endpoint.cluster.apply({"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec})
    try:
        yield
    finally:
        endpoint.kubectl("delete", "hpa", name)


def until_replicas(endpoint: Endpoint, component: str, count: int) -> None:
    name = f"{endpoint.name}-{component}"

    def scaled() -> bool:
        found = endpoint.cluster.get("deployment", name, "--namespace", endpoint.namespace)
        return bool(found["spec"]["replicas"] == count)

    wait_until(f"{count} replicas of {name}", scaled, seconds=60)


def until_named(endpoint: Endpoint, component: str) -> None:
    """Wait until the HPA is named as a writer that changes the Deployment back."""
    endpoint.until(
        "DriftLoop",
        lambda _: endpoint.condition("Degraded")["reason"] == "DriftLoop",
        seconds=120,
    )
    text = endpoint.condition("Degraded")["message"]
    assert f"{endpoint.name}-{component}" in text
    assert MANAGER in text
    wait_until("the Event", lambda: "DriftLoop" in endpoint.events(), seconds=20)


def test_an_hpa_owns_the_number_of_gateways_unless_the_resource_sets_it(
    installed: Installed, place: str
) -> None:
    free: dict[str, Any] = {"gateway": {"replicas": None}, "suspend": True}
    with installed.endpoint(place, "front", **free) as endpoint, hpa(endpoint, "gateway", 3):
        until_replicas(endpoint, "gateway", 3)
        # A change that the operator has to apply to the Deployment that the HPA scaled.
        endpoint.patch({"gateway": {"annotations": {"example.com/edition": "2"}}})
        endpoint.until("the change", lambda _: edition(endpoint) == "2")
        until_replicas(endpoint, "gateway", 3)
        assert endpoint.condition("Degraded")["reason"] == "AsExpected"
        endpoint.patch({"gateway": {"replicas": 1}})
        until_named(endpoint, "gateway")


def edition(endpoint: Endpoint) -> str:
    """The annotation of the change, "" before it is applied."""
    where = ("deployment", f"{endpoint.name}-gateway", "--namespace", endpoint.namespace)
    template = endpoint.cluster.get(*where)["spec"]["template"]
    return str((template["metadata"].get("annotations") or {}).get("example.com/edition", ""))


def test_an_hpa_on_the_workers_is_named_and_changes_nothing(
    installed: Installed, place: str
) -> None:
    one = {"minReplicas": 1, "maxReplicas": 1}
    with installed.endpoint(place, "back", autoscaling=one) as endpoint:
        endpoint.until_workers(1)
        with hpa(endpoint, "worker", 2):
            until_named(endpoint, "worker")
            assert endpoint.status["wantedReplicas"] == 1
        until_replicas(endpoint, "worker", 1)
