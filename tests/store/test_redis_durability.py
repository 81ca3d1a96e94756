"""What Redis promises is read, said, and under `strict` waited for."""

import asyncio
from collections.abc import Iterator

import pytest
from redis import Redis

from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.health import CONFIRM_MS
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


@pytest.fixture
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and a replica, both with AOF."""
    options = {"appendonly": True, "repl_diskless_sync_delay": 0}
    with RedisServer(**options) as master, RedisServer(**options) as replica:  # type: ignore[arg-type]
        with Redis.from_url(replica.url) as client, Redis.from_url(master.url) as source:
            client.replicaof(master.host, str(master.port))
            wait_until(lambda: bool(source.wait(1, 100)), "a replica")
        yield master, replica


async def test_strict_waits_for_disk_or_replica(pair: tuple[RedisServer, RedisServer]) -> None:
    master, replica = pair
    store = RedisStore(master.url, ENDPOINT, strict=True)
    await store.open()
    ids = await put(store, new(), new())
    waits_for_replica = store._caller.confirmation[0] == "WAIT"
    with Redis.from_url(replica.url) as client:
        stored = f"aep:{{{ENDPOINT}}}:jobs"
        if not waits_for_replica:  # from 7.2 on the master's own disk is enough
            wait_until(lambda: client.hlen(stored) == 2, "the jobs on the replica")
        assert client.hlen(stored) == 2
    if waits_for_replica:
        replica.pause()
        late = new()
        with pytest.raises(StoreUnavailable, match="in time"):
            await asyncio.wait_for(store.enqueue([late]), CONFIRM_MS / 1000 + 20)
        replica.resume()
        # Written all the same: sent again under its id it is the same job, confirmed now.
        await put(store, late)
        ids.append(late.id)
    assert all(found.job for found in await store.get(ids))
    await store.close()


async def test_strict_without_replicas_does_not_wait() -> None:
    with RedisServer(appendonly=True, appendfsync="always") as server:
        store = RedisStore(server.url, ENDPOINT, strict=True)
        await store.open()
        await put(store, new())
        await store.close()
