"""What Redis promises is read, said, and under `strict` waited for."""

import asyncio
from collections.abc import Iterator

import pytest
from redis import Redis

from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.confirmation import CONFIRM_MS
from support.redis.cluster import wait_until
from support.redis.server import RedisServer
from support.store.stores import new, put

ENDPOINT = "tests/reports"


async def test_no_persistence_is_said(redis_url: str) -> None:
    store = RedisStore(redis_url, ENDPOINT)
    health = await store.open()
    assert health.durable is False
    assert any("AOF is off" in warning for warning in health.warnings)
    await store.close()


async def test_no_persistence_is_refused_when_strict(redis_url: str) -> None:
    store = RedisStore(redis_url, ENDPOINT, strict=True)
    with pytest.raises(StoreError, match="AOF is off"):
        await store.open()
    await store.close()


async def test_eviction_is_said() -> None:
    with RedisServer(maxmemory="100mb", maxmemory_policy="allkeys-lru") as server:
        store = RedisStore(server.url, ENDPOINT)
        health = await store.open()
        assert health.eviction == "allkeys-lru"
        assert any("noeviction" in warning for warning in health.warnings)
        await store.close()


OPTIONS = {"appendonly": True, "repl_diskless_sync_delay": 0}


def follow(replica: RedisServer, master: RedisServer) -> None:
    with Redis.from_url(replica.url) as client, Redis.from_url(master.url) as source:
        client.replicaof(master.host, str(master.port))
        wait_until(lambda: bool(source.wait(1, 100)), "a replica")


@pytest.fixture(params=["default", "redis-8.2"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, RedisServer]]:
    """Two servers with AOF: without WAITAOF, and with it."""
    master, replica = (RedisServer(**OPTIONS, server=request.param) for _ in range(2))  # type: ignore[arg-type]
    with master, replica:
        yield master, replica


@pytest.mark.parametrize("joins", ["before", "later"])
async def test_strict_waits_for_a_replica(
    pair: tuple[RedisServer, RedisServer], joins: str
) -> None:
    master, replica = pair
    if joins == "before":
        follow(replica, master)
    store = RedisStore(master.url, ENDPOINT, strict=True)
    await store.open()
    ids = await put(store, new(), new())
    if joins == "later":
        follow(replica, master)
        unconfirmed = new()
        with pytest.raises(StoreUnavailable, match="no replica confirmed"):
            await store.enqueue([unconfirmed])  # sees that there is one now
        ids += await put(store, unconfirmed)
    ids += await put(store, new())
    with Redis.from_url(replica.url) as client:
        assert client.hlen(f"aep:{{{ENDPOINT}}}:jobs") == len(ids)
    replica.pause()
    late = new()
    with pytest.raises(StoreUnavailable, match="in time"):
        await asyncio.wait_for(store.enqueue([late]), CONFIRM_MS / 1000 + 20)
    # Another gateway finds it and writes nothing itself.
    other = RedisStore(master.url, ENDPOINT, strict=True)
    await other.open()
    with pytest.raises(StoreUnavailable, match="in time"):
        await asyncio.wait_for(other.enqueue([late]), CONFIRM_MS / 1000 + 20)
    await other.close()
    replica.resume()
    # Written all the same: sent again under its id it is the same job, confirmed now.
    await put(store, late)
    assert all(found.job for found in await store.get([*ids, late.id]))
    await store.close()


async def test_strict_without_replicas_does_not_wait() -> None:
    with RedisServer(appendonly=True, appendfsync="always") as server:
        store = RedisStore(server.url, ENDPOINT, strict=True)
        await store.open()
        await put(store, new())
        await store.close()
