"""A resource that was deleted and that another controller's finalizer keeps."""

from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import EnqueueStatus
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import ENDPOINT, condition, leading, reason, replicas, resource
from support.queues import new_job
from support.store.work import eventually


async def test_it_runs_what_it_accepted_and_accepts_no_more_also_after_a_restart(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    async def refuses() -> bool:
        (answer,) = await store.enqueue([new_job()])
        return answer.status is EnqueueStatus.CLOSED

    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/x"]}
        cluster.change(ENDPOINT, {"metadata": deleted})
        await cluster.until(lambda: reason(cluster, "Ready") == "Terminating")
        assert "example.com/x" in condition(cluster, "Ready")["message"]
        await eventually(refuses)
    cluster.change(ENDPOINT, {"status": {"conditions": []}})
    await store.reopen_queue()
    await store.enqueue([new_job()])
    children = len(cluster.objects)
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "Ready") == "Terminating")
        await eventually(refuses)
        await cluster.until(lambda: replicas(cluster) == 1)  # for the job that was accepted
    assert len(cluster.objects) == children
