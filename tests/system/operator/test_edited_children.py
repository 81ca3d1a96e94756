"""What people do to children by hand: it is put right at once, and nothing stays blind."""

import pytest

from asyncendpoints_operator.control import failures
from asyncendpoints_operator.kube.client import Ref
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import (
    ENDPOINT,
    WORKER,
    condition,
    leading,
    reason,
    replicas,
    resource,
)

MANAGED_BY = "app.kubernetes.io/managed-by"


@pytest.mark.parametrize("label", [MANAGED_BY, "asyncendpoints.io/endpoint"])
async def test_a_label_that_is_taken_off_is_put_back_and_scaling_goes_on(
    cluster: FakeCluster, redis_url: str, label: str
) -> None:
    cluster.save(resource(redis_url, replicas=1))
    async with leading(cluster):
        await cluster.until(lambda: replicas(cluster) == 1)
        cluster.change(WORKER, {"metadata": {"labels": {label: None}}})
        await cluster.until(lambda: label in cluster.objects[WORKER.path]["metadata"]["labels"])
        cluster.change(ENDPOINT, {"spec": {"replicas": 3}})
        await cluster.until(lambda: replicas(cluster) == 3)
        await cluster.until(lambda: reason(cluster, "WorkersAvailable") == "WorkersStarting")
        assert condition(cluster, "Degraded")["status"] == "False"


async def test_a_child_that_is_taken_away_and_given_back_while_a_finalizer_keeps_it(
    cluster: FakeCluster, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "SHOWN_SECONDS", 0.3)
    ingress = Ref("networking.k8s.io/v1", "Ingress", "demo", "reports-gateway")
    cluster.save(resource(redis_url, gateway={"ingress": {"host": "example.com"}}))
    async with leading(cluster):
        await cluster.until(lambda: ingress.path in cluster.objects)
        uid = cluster.objects[ingress.path]["metadata"]["uid"]
        cluster.change(ingress, {"metadata": {"finalizers": ["example.com/balancer"]}})
        cluster.change(ENDPOINT, {"spec": {"gateway": {"ingress": None}}})
        await cluster.until(lambda: reason(cluster, "Degraded") == "ChildTerminating")
        assert "example.com/balancer" in condition(cluster, "Degraded")["message"]
        cluster.change(ENDPOINT, {"spec": {"gateway": {"ingress": {"host": "example.com"}}}})
        cluster.drop(ingress)
        await cluster.until(lambda: ingress.path in cluster.objects)
        assert cluster.objects[ingress.path]["metadata"]["uid"] != uid
        await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")
