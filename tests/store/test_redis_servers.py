"""What the store needs of a server, on each server that is supported: a short suite for each.

`make test-servers` runs every test of the store, and the system tests, on each of them.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from asyncendpoints_core.errors import (
    StoreAuthenticationError,
    StoreUnavailable,
    StoreUnsupported,
)
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisConnection, RedisStore
from asyncendpoints_core.store.redis.health import server_of
from asyncendpoints_core.store.replies import SettleStatus
from support.redis.binaries import NAMES
from support.redis.cluster import wait_until
from support.redis.faults import FAULTS, info
from support.redis.server import RedisServer
from support.redis.tls import TlsFront
from support.store.stores import DONE, POLICY, hand, look, new, put
from support.store.verbs import use_everything

ENDPOINT = "tests/reports"


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a supported server."""
    return str(request.param)


@pytest.fixture
def server(name: str) -> Iterator[RedisServer]:
    durable: dict[str, Any] = {"appendonly": True, "appendfsync": "always"}
    with RedisServer(server=name, repl_diskless_sync_delay=0, **durable) as server:
        yield server


@asynccontextmanager
async def opened(source: str | RedisConnection, **options: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore(source, ENDPOINT, **options)
    await store.open()
    await store.configure(POLICY)
    try:
        yield store
    finally:
        await store.close()


async def test_every_verb(server: RedisServer) -> None:
    async with opened(server.url) as store:
        await use_everything(store)


async def test_every_verb_behind_tls(server: RedisServer) -> None:
    with TlsFront(server) as front:
        async with opened(front.url) as store:
            await use_everything(store)


async def test_the_server_is_named_and_its_settings_are_read(
    name: str, server: RedisServer
) -> None:
    store = RedisStore(server.url, ENDPOINT, strict=True)
    health = await store.open()
    kind, _, version = name.partition("-")
    if version:
        assert health.server.startswith(f"{kind.capitalize()} {version}.")
    assert (health.durable, health.eviction, health.warnings) == (True, "noeviction", ())
    assert health.sharded is (name != "redis-6.2")
    await put(store, new())  # confirmed by the disk from 7.2 on
    by_disk = name in ("redis-8.2", "valkey-8.1", "valkey-9.1")
    if name != "default":
        assert store._caller.confirmation is not None
        assert (store._caller.confirmation.commands()[1][0] == "WAITAOF") is by_disk
    await store.close()


@pytest.mark.parametrize(
    ("info", "label", "compatible"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14", (6, 2)),
        (
            {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.8"},
            "Valkey 8.1.8",
            (7, 2),
        ),
        ({"redis_version": "7.4.0-v1"}, "Redis 7.4.0-v1", (7, 4)),
        ({"redis_version": "255.255.255"}, "Redis 255.255.255", (255, 255)),
        ({"redis_version": "7.4.0", "server_name": "other"}, "Other 7.4.0", (7, 4)),
        ({"redis_version": "unstable"}, "Redis unstable", None),
        ({}, "Redis", None),
    ],
)
def test_versions_are_read(
    info: dict[str, str], label: str, compatible: tuple[int, int] | None
) -> None:
    assert server_of(info) == (label, compatible)


async def test_a_killed_server_loses_nothing(server: RedisServer) -> None:
    async with opened(server.url) as store:
        ids = await put(store, *(new() for _ in range(10)))
        worker = await hand(store)
        claims = [job.claim for job in await worker.take(4)]
        await store.settle([jobs.complete(claims[0], DONE)])
        await asyncio.to_thread(server.restart, kill=True)
        settled = await store.settle([jobs.complete(claim, DONE) for claim in claims])
        assert {one.status for one in settled[1:]} == {SettleStatus.APPLIED}
        counts = (await store.stats()).counts
        assert (counts[State.COMPLETED], counts[State.QUEUED]) == (4, 6)
        assert all(found.job for found in await store.get(ids))


@pytest.mark.parametrize("word", FAULTS)
async def test_an_error_of_the_server_leaves_every_record_alone(
    server: RedisServer, word: str
) -> None:
    connection = RedisConnection(lambda: server.url, reply_seconds=20)
    async with opened(connection) as store:
        await put(store, *(new() for _ in range(6)))
        worker = await hand(store)
        claims = [job.claim for job in await worker.take()]
        with Redis.from_url(server.url) as client:
            end = FAULTS[word](server, client)
            outcomes = [jobs.complete(claim, DONE) for claim in claims]
            with pytest.raises(StoreUnavailable) as caught:
                await store.settle(outcomes)
            assert isinstance(caught.value, StoreAuthenticationError) == (word == "NOAUTH")
            assert not isinstance(caught.value, StoreUnsupported)
            with pytest.raises(StoreUnavailable):
                await store.enqueue([new()])
            end()
        settled = await store.settle(outcomes)
        assert {one.status for one in settled} == {SettleStatus.APPLIED}
        for claim in claims:
            job = await look(store, claim.job_id)
            assert (job.state, job.attempt, job.error) == (State.COMPLETED, 1, None)
        await put(store, new())
    await connection.close()


async def test_a_wait_that_a_demotion_ends_is_unavailable(server: RedisServer) -> None:
    connection = RedisConnection(server.url, reply_seconds=20)
    async with opened(connection) as store:
        worker = await hand(store)
        waiting = asyncio.ensure_future(worker.claim_next(20_000))
        with Redis.from_url(server.url) as client:
            await asyncio.to_thread(
                wait_until, lambda: bool(clients(client)["blocked_clients"]), "a waiting claim"
            )
            client.replicaof("127.0.0.1", "1")
            with pytest.raises(StoreUnavailable):
                await waiting
            client.replicaof("NO", "ONE")
        [job_id] = await put(store, new())
        batch = await worker.claim_next(20_000)
        assert [job.job.id for job in batch.jobs] == [job_id]
    await connection.close()


def clients(client: Redis) -> dict[str, Any]:
    found: Any = client.info("clients")
    return dict(found)


async def test_after_a_failover_behind_one_address_it_connects_anew(
    name: str, server: RedisServer
) -> None:
    with RedisServer(server=name, repl_diskless_sync_delay=0) as replica:
        current = server
        async with opened(RedisConnection(lambda: current.url)) as store:
            with Redis.from_url(server.url) as old, Redis.from_url(replica.url) as promoted:
                promoted.replicaof(server.host, str(server.port))
                [job_id] = await put(store, new())
                # Not WAIT: it counts the replicas that have what its own connection wrote.
                there = old.info("replication")["master_repl_offset"]
                wait_until(lambda: replicated(promoted) >= there, "the replica to have the job")
                promoted.replicaof("NO", "ONE")
                old.replicaof(replica.host, str(replica.port))
                current = replica  # what the address names now; open connections stay
            worker = await hand(store)
            assert [job.job.id for job in await worker.take()] == [job_id]
            await put(store, new())
            await store._caller.connection.close()


def replicated(replica: Redis) -> int:
    """Return how far a replica is; -1 before it is one."""
    info = replica.info("replication")
    return int(info["slave_repl_offset"]) if info.get("master_link_status") == "up" else -1


@pytest.mark.parametrize("before", ["default", "redis-6.2", "redis-8.2", "valkey-8.1"])
async def test_valkey_starts_on_the_data_of_the_server_before(before: str) -> None:
    with RedisServer(server=before, appendonly=True) as old:
        async with opened(old.url) as store:
            await put(store, new(), new())
            with Redis.from_url(old.url) as client:
                client.bgrewriteaof()
                wait_until(lambda: not info(client)["aof_rewrite_in_progress"], "a base file")
        old.stop()
        valkey = RedisServer(server="valkey-9.1", appendonly=True, rdb_version_check="relaxed")
        with valkey:
            valkey.stop()
            shutil.rmtree(valkey.directory)
            shutil.copytree(old.directory, valkey.directory)
            valkey.start()
            async with opened(valkey.url) as store:
                assert len(await (await hand(store)).take()) == 2
