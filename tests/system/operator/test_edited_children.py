"""What people do to children by hand: it is put right at once, and nothing stays blind."""

import pytest

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
