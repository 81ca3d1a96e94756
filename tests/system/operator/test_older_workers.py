"""Registered workers of an older version, which keep a feature from being used."""

from typing import Any

import msgspec
from redis import Redis

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import Attributes
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Cause, EnqueueStatus, WorkerInfo
from asyncendpoints_operator.desired.naming import AGENT_CONTAINER
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import WORKER, condition, event, leading, reason, resource
from support.store.stores import new
from support.store.work import eventually

HOOK = {
    "name": "billing",
    "url": "https://billing.example.com/",
    "secrets": {"secretRef": {"name": "hooks", "key": "billing"}},
}
TAGS = Attributes(tags=("blue",))


async def register_older(store: RedisStore, redis_url: str, worker: str) -> None:
    """Register a worker as a version does that knows the first schema alone."""
    await store.register(WorkerInfo(worker, "pod", "nonce", 4))
    key = store._caller.prefix + "winfo"
    with Redis.from_url(redis_url) as redis:
        info: dict[str, Any] = msgspec.msgpack.decode(redis.hget(key, worker))
        del info["schema"]
        redis.hset(key, worker, msgspec.msgpack.encode(info))


async def test_a_condition_has_how_many_until_the_last_is_gone(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url))
    await register_older(store, redis_url, "a")
    await register_older(store, redis_url, "b")
    await store.register(WorkerInfo("c", "pod", "nonce", 4))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        assert condition(cluster, "FeaturesHeld") == {}  # no feature is in use
        (answer,) = await store.enqueue([new(attributes=TAGS)])
        assert answer.status is EnqueueStatus.UNSUPPORTED
        await cluster.until(lambda: condition(cluster, "FeaturesHeld"))
        assert condition(cluster, "FeaturesHeld")["message"].startswith("2 workers are")
        assert "asyncendpoints/worker:" in condition(cluster, "FeaturesHeld")["message"]
        await cluster.until(lambda: event(cluster, "FeaturesHeld"))
        await store.release_worker("a", Cause.DRAINED)
        await cluster.until(lambda: condition(cluster, "FeaturesHeld")["message"][:8] == "1 worker")
        await store.release_worker("b", Cause.DRAINED)
        await cluster.until(lambda: not condition(cluster, "FeaturesHeld"))
        (answer,) = await store.enqueue([new(attributes=TAGS)])
        assert answer.status is EnqueueStatus.CREATED


async def test_webhooks_are_configured_once_they_are_gone(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    async def configured() -> bool:
        return (await store.configure(Policy(), overwrite=False)).webhooks != 0

    cluster.save(resource(redis_url, webhooks=[HOOK]))
    await register_older(store, redis_url, "a")
    async with leading(cluster):
        await cluster.until(lambda: condition(cluster, "FeaturesHeld"))
        assert not await configured()
        await store.release_worker("a", Cause.DRAINED)
        await eventually(configured)
        await cluster.until(lambda: not condition(cluster, "FeaturesHeld"))


async def test_in_http_mode_the_operator_replaces_its_container(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    def agent() -> dict[str, Any]:
        containers = cluster.objects[WORKER.path]["spec"]["template"]["spec"]["containers"]
        found: dict[str, Any] = next(one for one in containers if one["name"] == AGENT_CONTAINER)
        return found

    cluster.save(resource(redis_url, worker={"handlers": None, "http": {"port": 8000}}))
    async with leading(cluster):
        await cluster.until(lambda: WORKER.path in cluster.objects)
        current = agent()["image"]
    agent()["image"] = "asyncendpoints/worker:older"
    await register_older(store, redis_url, "a")
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        assert agent()["image"] == "asyncendpoints/worker:older"
        await store.enqueue([new(attributes=TAGS)])
        await cluster.until(lambda: agent()["image"] == current)
        assert "the operator replaces" in condition(cluster, "FeaturesHeld")["message"]
