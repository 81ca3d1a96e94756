"""What ends pods: named in the status, whichever of gateway and workers they belong to."""

import time

from asyncendpoints_operator.status.build import time_text
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import (
    GATEWAY,
    WORKER,
    condition,
    deployed,
    event,
    leading,
    pod,
    reason,
    resource,
)


async def test_pods_that_the_kubelet_refuses_one_after_the_other_are_named(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url, replicas=1))
    async with leading(cluster):
        await cluster.until(lambda: GATEWAY.path in cluster.objects)
        await cluster.until(lambda: WORKER.path in cluster.objects)
        now = {"creationTimestamp": time_text(time.time())}
        for number in range(3):
            made = pod(
                cluster,
                f"reports-gateway-{number}",
                of=GATEWAY,
                phase="Failed",
                reason="OutOfmemory",
                message="Node didn't have enough resource: memory",
            )
            cluster.save({**made, "metadata": {**made["metadata"], **now}})
        made = pod(cluster, "reports-gateway-3", of=GATEWAY, phase="Pending")
        cluster.save({**made, "metadata": {**made["metadata"], **now}})
        await cluster.until(lambda: reason(cluster, "GatewayAvailable") == "OutOfmemory")
        assert "enough resource" in condition(cluster, "Degraded")["message"]
        await cluster.until(lambda: event(cluster, "OutOfmemory"))
        deployed(cluster, GATEWAY, 2)
        await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")


async def test_a_gateway_that_ran_out_of_memory_is_named_though_it_is_ready_again(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: GATEWAY.path in cluster.objects)
        deployed(cluster, GATEWAY, 2)
        ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": time_text(time.time())}
        status = {
            "name": "gateway",
            "ready": True,
            "restartCount": 1,
            "state": {"running": {"startedAt": time_text(time.time())}},
            "lastState": {"terminated": ended},
        }
        ready = [{"type": "Ready", "status": "True"}]
        pod(cluster, "gateway", of=GATEWAY, conditions=ready, containerStatuses=[status])
        await cluster.until(lambda: reason(cluster, "Degraded") == "GatewayCrashed")
        assert "memory limit 512Mi" in condition(cluster, "Degraded")["message"]
        assert condition(cluster, "GatewayAvailable")["status"] == "True"
        await cluster.until(lambda: event(cluster, "GatewayCrashed"))
