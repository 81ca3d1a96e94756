"""What the operator needs of a Redis Cluster: endpoints on every node, a user for each, push."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisConnection, RedisStore
from asyncendpoints_core.store.redis.keys import channel
from asyncendpoints_core.store.redis.users import (
    delete_user,
    ensure_user,
    url_of,
    user_of,
    users,
)
from asyncendpoints_operator.queues.queue_connection import QueueConnection, Reading
from asyncendpoints_operator.queues.redis_locations import location_of
from asyncendpoints_operator.status.observed import QueueReason
from support.queues import Seen, called_for_push, endpoint, new_job, reading
from support.redis.cluster import RedisCluster
from support.store.work import eventually

NAMES = [f"demo/e{number}" for number in range(6)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One whose servers want a password."""
    with RedisCluster(requirepass="owner", masterauth="owner") as one:
        homes = {one.owner_of(one.slot_of(f"{{{name}}}")) for name in NAMES}
        assert homes == {0, 1, 2}
        yield one


@pytest.fixture
async def owner(cluster: RedisCluster) -> AsyncIterator[RedisConnection]:
    cluster.flush()
    connection = RedisConnection(url(cluster))
    yield connection
    await connection.close()


def url(cluster: RedisCluster) -> str:
    """Its URL as users write it: any of the servers leads to all."""
    return f"redis+cluster://:owner@{cluster.nodes[0].host}:{cluster.nodes[0].port}"


@asynccontextmanager
async def tenant(cluster: RedisCluster, name: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(url_of(url(cluster), name, "secret"), name)
    try:
        yield store
    finally:
        await store.close()


async def test_an_endpoints_user_reaches_it_wherever_it_is(
    cluster: RedisCluster, owner: RedisConnection
) -> None:
    for name in NAMES:
        await ensure_user(owner, name, "secret")
        async with tenant(cluster, name) as store:
            await store.open()
            await store.enqueue([new_job()])
            async with store.events():
                pass
    assert {user_of(name) for name in NAMES} <= await users(owner)
    slot = cluster.slot_of(f"{{{NAMES[0]}}}")
    target = (cluster.owner_of(slot) + 1) % 3
    await asyncio.to_thread(move, cluster, slot, target)
    async with tenant(cluster, NAMES[0]) as store:
        await store.open()
        assert (await store.stats()).counts[State.QUEUED] == 1


def move(cluster: RedisCluster, slot: int, target: int) -> None:
    """Move a slot that has keys; the servers' password must go with the command."""
    source = cluster.owner_of(slot)
    cluster.begin_migration(slot, target)
    with Redis.from_url(cluster.nodes[source].url) as client:
        keys = client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1_000)
        to = cluster.nodes[target]
        client.execute_command(
            "MIGRATE", to.host, to.port, "", 0, 5_000, "AUTH", "owner", "KEYS", *keys
        )
    cluster.finish_migration(slot, target)


async def test_a_user_that_one_server_lost_counts_as_lost(
    cluster: RedisCluster, owner: RedisConnection
) -> None:
    await ensure_user(owner, NAMES[1], "secret")
    with Redis.from_url(cluster.nodes[2].url) as client:
        client.execute_command("ACL", "DELUSER", user_of(NAMES[1]))
    assert user_of(NAMES[1]) not in await users(owner)
    await ensure_user(owner, NAMES[1], "secret")
    assert user_of(NAMES[1]) in await users(owner)


async def test_a_deleted_user_is_gone_from_every_server(
    cluster: RedisCluster, owner: RedisConnection
) -> None:
    await ensure_user(owner, NAMES[2], "secret")
    await delete_user(owner, NAMES[2])
    for node in cluster.nodes:
        with Redis.from_url(node.url) as client:
            assert user_of(NAMES[2]) not in client.acl_users()


async def test_queues_on_every_server_are_read_and_pushed(
    cluster: RedisCluster, owner: RedisConnection
) -> None:
    async with reading() as (queues, seen):
        connections = [
            await queues.connect(named(name), location_of(url(cluster))) for name in NAMES
        ]
        for connection in connections:
            await seen.reason(QueueReason.REACHABLE, connection.key)
        assert await connections[0].redis.directory.names() == NAMES
        for connection in connections:
            await until_told(cluster, seen, connection, owner)


async def test_a_moved_slot_is_listened_to_where_it_is(
    cluster: RedisCluster, owner: RedisConnection
) -> None:
    async with reading() as (queues, seen):
        connection = await queues.connect(named(NAMES[3]), location_of(url(cluster)))
        await eventually(lambda: is_listened_to(cluster, connection.key))
        slot = cluster.slot_of(f"{{{connection.key}}}")
        await asyncio.to_thread(move, cluster, slot, (cluster.owner_of(slot) + 1) % 3)
        await until_told(cluster, seen, connection, owner)


async def test_a_lost_subscription_is_made_again(
    cluster: RedisCluster, owner: RedisConnection
) -> None:
    async with reading() as (queues, seen):
        connection = await queues.connect(named(NAMES[4]), location_of(url(cluster)))
        await eventually(lambda: is_listened_to(cluster, connection.key))
        for node in cluster.nodes:
            with Redis.from_url(node.url) as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await until_told(cluster, seen, connection, owner)


def named(name: str) -> AsyncEndpoint:
    return endpoint(name.partition("/")[2])


async def until_told(
    cluster: RedisCluster, seen: Seen, connection: QueueConnection, owner: RedisConnection
) -> None:
    """Let the connection be idle: the next reading by itself would be an hour off. Then submit."""
    store = RedisStore(owner, connection.key)
    await eventually(lambda: is_listened_to(cluster, connection.key))
    await seen.reason(QueueReason.REACHABLE, connection.key)  # the subscription itself woke it
    connection.wake()
    connection.idle = True
    await seen.reason(QueueReason.REACHABLE, connection.key)
    await called_for_push(store)
    assert connection.idle
    await store.enqueue([new_job()])
    await seen.until(lambda key, found: key == connection.key and has_waiting(found))
    assert not connection.idle


def is_listened_to(cluster: RedisCluster, name: str) -> bool:
    """Tell whether the changes of an endpoint reach a subscriber.

    That is one to its channel on its own server; before Redis 7.0, which has no channels of
    shards, one to the pattern of all channels on any server.
    """
    nodes = [Redis.from_url(node.url) for node in cluster.nodes]
    try:
        owner = nodes[cluster.owner_of(cluster.slot_of(f"{{{name}}}"))]
        if int(owner.info("server")["redis_version"].partition(".")[0]) >= 7:
            return bool(owner.execute_command("PUBSUB", "SHARDNUMSUB", channel(name))[1] == 1)
        return sum(node.pubsub_numpat() for node in nodes) == 1
    finally:
        for node in nodes:
            node.close()


def has_waiting(found: Reading) -> bool:
    return found.queue.stats is not None and found.queue.stats.counts[State.QUEUED] > 0
