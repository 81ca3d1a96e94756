"""A resource that was deleted and that another controller's finalizer keeps."""

import pytest
from redis import Redis

from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.users import user_of
from asyncendpoints_core.store.replies import EnqueueStatus
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import ENDPOINT, condition, leading, reason, replicas, resource
from support.queues import new_job
from support.redis.server import RedisServer
from support.store.work import eventually

DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/x"]}


async def refuses(store: RedisStore) -> bool:
    (answer,) = await store.enqueue([new_job()])
    return answer.status is EnqueueStatus.CLOSED


async def test_it_runs_what_it_accepted_and_accepts_no_more_also_after_a_restart(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        cluster.change(ENDPOINT, {"metadata": DELETED})
        await cluster.until(lambda: reason(cluster, "Ready") == "Terminating")
        assert "example.com/x" in condition(cluster, "Ready")["message"]
        await eventually(lambda: refuses(store))
    cluster.change(ENDPOINT, {"status": {"conditions": []}})
    await store.reopen_queue()
    await store.enqueue([new_job()])
    children = len(cluster.objects)
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "Ready") == "Terminating")
        await eventually(lambda: refuses(store))
        await cluster.until(lambda: replicas(cluster) == 1)  # for the job that was accepted
    assert len(cluster.objects) == children


async def test_an_invalid_one_accepts_no_more_either(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        cluster.change(ENDPOINT, {"spec": {"routes": [{"path": "no-slash", "job": "x"}]}})
        await cluster.until(lambda: reason(cluster, "Ready") == "InvalidSpec")
        cluster.change(ENDPOINT, {"metadata": DELETED})
        await cluster.until(lambda: reason(cluster, "Ready") == "Terminating")
        await eventually(lambda: refuses(store))


@pytest.mark.parametrize("restarted", [False, True])
async def test_its_redis_user_is_made_again_for_the_jobs_that_it_accepted(
    cluster: FakeCluster, restarted: bool
) -> None:
    with RedisServer(requirepass="owner") as server, Redis.from_url(server.url) as client:
        user = user_of("demo/reports")
        cluster.save(resource())
        async with leading(cluster, redis_url=server.url):
            await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
            await eventually(lambda: user in client.acl_users())
            secrets = [o for o in cluster.objects.values() if o["kind"] == "Secret"]
            cluster.change(ENDPOINT, {"metadata": DELETED})
            await cluster.until(lambda: reason(cluster, "Ready") == "Terminating")
            if not restarted:
                server.restart()
                await eventually(lambda: user in client.acl_users())
        if restarted:
            server.restart()
            async with leading(cluster, redis_url=server.url):
                await eventually(lambda: user in client.acl_users())
        assert [o for o in cluster.objects.values() if o["kind"] == "Secret"] == secrets
