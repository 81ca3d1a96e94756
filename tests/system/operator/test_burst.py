"""A burst into an endpoint at zero, whose workers' template was ready before or not."""

from asyncendpoints_core.store.redis import RedisStore
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import ENDPOINT, WORKER, leading, pod, reason, replicas, resource
from support.queues import new_job


async def test_a_template_that_was_ready_is_remembered_and_starts_with_all(
    redis_url: str, store: RedisStore
) -> None:
    cluster = FakeCluster()
    cluster.save(resource(redis_url, autoscaling={"maxReplicas": 6}))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Steady")
        pod(cluster, conditions=[{"type": "Ready", "status": "True"}])
        await cluster.until(lambda: cluster.endpoint()["status"].get("readyTemplate"))
        annotations = cluster.objects[WORKER.path]["spec"]["template"]["metadata"]["annotations"]
        known = cluster.endpoint()["status"]["readyTemplate"]
        assert known in annotations.values()
    cluster.objects = {path: one for path, one in cluster.objects.items() if one["kind"] != "Pod"}
    async with leading(cluster):  # a new leader knows it from the status
        await store.enqueue([new_job() for _ in range(200)])
        await cluster.until(lambda: replicas(cluster))
        assert replicas(cluster) == 6
    cluster.change(WORKER, {"spec": {"replicas": 0}})
    ended = {"reason": "Error", "exitCode": 1}
    crashed = {"name": "side", "restartCount": 3, "lastState": {"terminated": ended}}
    pod(cluster, phase="Failed", reason="Evicted", containerStatuses=[crashed])
    async with leading(cluster):  # a pod that was evicted stays there and says nothing of new ones
        await cluster.until(lambda: replicas(cluster))
        assert replicas(cluster) == 6
    cluster.change(ENDPOINT, {"status": {"readyTemplate": "another"}})
    cluster.change(WORKER, {"spec": {"replicas": 0}})
    async with leading(cluster):
        await cluster.until(lambda: replicas(cluster))
        assert replicas(cluster) == 1
