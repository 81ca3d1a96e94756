"""How the operator reads queues: real Redis servers, one that is away, one that never answers."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Identity
from asyncendpoints_operator.queues.redis_locations import RedisLocation, identity_of, location_of
from asyncendpoints_operator.status.observed import QueueReason
from support.queues import IDLE_SECONDS, called_for_push, endpoint, new_job, reading
from support.redis.server import RedisServer
from support.store.stores import new, put
from support.store.work import eventually


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    """The same queue as a gateway has it."""
    one = RedisStore(redis_url, "demo/reports")
    yield one
    await one.close()


async def test_a_reading_configures_the_store_and_enters_the_directory(
    redis_url: str, store: RedisStore
) -> None:
    async with reading() as (queues, seen):
        connection = await queues.connect(
            endpoint(queue={"maxDepth": 7}, onDelete="Purge"), location_of(redis_url)
        )
        found = await seen.reason(QueueReason.REACHABLE)
        assert found.queue.stats is not None
        assert found.queue.identity == identity_of(redis_url)
        assert await connection.redis.directory.names() == ["demo/reports"]
        await store.open()
        assert (await store.configure(Policy(), overwrite=False)).max_depth == 7
        owned = await store.ownership()
        assert owned.owner == Identity("here", "uid-1")
        assert owned.notes["on-delete"] == "Purge"


async def test_what_waits_for_webhooks_is_read_where_there_are_any(
    redis_url: str, store: RedisStore
) -> None:
    hook = {
        "name": "billing",
        "url": "https://billing.example.com/",
        "secrets": {"secretRef": {"name": "hooks", "key": "billing"}},
    }
    async with reading() as (queues, seen):
        location = location_of(redis_url)
        await queues.connect(endpoint(), location)
        found = await seen.reason(QueueReason.REACHABLE)
        assert found.queue.webhooks is None
        await queues.connect(endpoint(webhooks=[hook]), location)
        await seen.until(lambda _, r: r.queue.webhooks is not None)
        await store.open()
        [job_id] = await put(store, new())
        await store.cancel([job_id])
        await seen.until(lambda _, r: bool(r.queue.webhooks and r.queue.webhooks.pending == 1))


async def test_a_changed_resource_reaches_the_store(redis_url: str, store: RedisStore) -> None:
    async with reading() as (queues, seen):
        location = location_of(redis_url)
        connection = await queues.connect(endpoint(), location)
        await seen.reason(QueueReason.REACHABLE)
        changed = endpoint(queue={"maxDepth": 3}, suspend=True)
        assert await queues.connect(changed, location) is connection
        await seen.until(lambda _, r: bool(r.queue.stats and r.queue.stats.suspended))
        await store.open()
        assert (await store.configure(Policy(), overwrite=False)).max_depth == 3
        await queues.connect(endpoint(), location)
        await seen.until(lambda _, r: bool(r.queue.stats and not r.queue.stats.suspended))


async def test_an_idle_queue_is_read_at_once_when_something_happens(
    redis_url: str, store: RedisStore
) -> None:
    async with reading() as (queues, seen):
        connection = await queues.connect(endpoint(), location_of(redis_url))
        await seen.reason(QueueReason.REACHABLE)
        connection.idle = True  # as the scaler says; the next reading would be an hour off
        connection.wake()
        connection.idle = True
        await seen.reason(QueueReason.REACHABLE)
        await store.open()
        await called_for_push(store)
        await store.enqueue([new_job()])
        found = await seen.until(lambda _, r: bool(r.queue.stats and r.queue.stats.oldest_ms))
        assert found.queue.stats is not None
        assert not connection.idle


async def test_one_that_has_just_turned_idle_is_read_at_once_when_something_happens(
    redis_url: str, store: RedisStore
) -> None:
    async with reading() as (queues, seen), asyncio.timeout(30):
        poller = queues.poll(location_of(redis_url))
        while not poller.redis.connects:  # which would have it read once more
            await poller.redis.directory.names()
        connection = await queues.connect(endpoint(), poller.redis.location)
        await seen.reason(QueueReason.REACHABLE)
        await store.open()
        while not await of_meta(store, "tick"):
            pass
        connection.idle = True  # the scaler says so only after that reading was dealt with
        await called_for_push(store)
        await store.enqueue([new_job()])
        await seen.until(lambda _, r: bool(r.queue.stats and r.queue.stats.oldest_ms))


async def of_meta(store: RedisStore, field: str) -> bytes | None:
    """A field of the queue's own record."""
    (value,) = await store._caller.send([("HGET", store._caller.prefix + "meta", field)])
    assert value is None or isinstance(value, bytes)
    return value


async def test_push_is_requested_until_well_after_the_next_reading(
    redis_url: str, store: RedisStore
) -> None:
    async with reading() as (queues, seen):
        connection = await queues.connect(endpoint(), location_of(redis_url))
        await seen.reason(QueueReason.REACHABLE)
        connection.wake()
        connection.idle = True
        await seen.reason(QueueReason.REACHABLE)
        await called_for_push(store)
        with Redis.from_url(redis_url) as client:
            assert client.ttl("aep:{demo/reports}:watch") > 2 * IDLE_SECONDS


async def test_a_redis_that_never_answers_delays_no_other(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        silent = f"redis://127.0.0.1:{hole.getsockname()[1]}/0"
        async with reading() as (queues, seen):
            await queues.connect(endpoint("stuck"), location_of(silent))
            await queues.connect(endpoint("fine"), location_of(redis_url))
            for _ in range(3):
                await seen.reason(QueueReason.REACHABLE, "demo/fine")
            assert not any(r.queue.stats for key, r in seen.readings if key == "demo/stuck")
            found = await seen.reason(QueueReason.UNREACHABLE, "demo/stuck")
            assert found.queue.stats is None
            assert "127.0.0.1" in found.queue.message


async def test_an_outage_and_its_end_are_reported() -> None:
    with RedisServer(appendonly=True) as server:
        async with reading() as (queues, seen):
            await queues.connect(endpoint(), location_of(server.url))
            await seen.reason(QueueReason.REACHABLE)
            await asyncio.to_thread(server.stop)
            await seen.reason(QueueReason.UNREACHABLE)
            await asyncio.to_thread(server.start)
            await seen.reason(QueueReason.REACHABLE)


async def test_an_outage_of_a_redis_is_logged_once_for_all_its_queues(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = [f"queue-{number}" for number in range(5)]
    with caplog.at_level(logging.INFO), RedisServer(appendonly=True) as server:
        async with reading() as (queues, seen):
            for name in names:
                await queues.connect(endpoint(name), location_of(server.url))
                await seen.reason(QueueReason.REACHABLE, f"demo/{name}")
            await asyncio.to_thread(server.stop)
            await eventually(lambda: bool(caplog.records))
            await asyncio.to_thread(server.start)
            for name in names:
                await seen.reason(QueueReason.REACHABLE, f"demo/{name}")
    identity = identity_of(server.url)
    logged = [r.message for r in caplog.records if r.name == "asyncendpoints.operator"]
    assert [text.split(": ")[0].split(" after ")[0] for text in logged] == [
        identity,
        f"{identity} answers again",
    ]


async def test_a_queue_that_fails_alone_is_no_outage_of_its_redis(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with reading() as (queues, seen):
            fine = await queues.connect(endpoint("fine"), location_of(redis_url))
            await seen.reason(QueueReason.REACHABLE, "demo/fine")
            fine.wake()
            fine.idle = True
            await seen.reason(QueueReason.REACHABLE, "demo/fine")
            alone = await queues.connect(endpoint("alone"), location_of(redis_url))
            await seen.reason(QueueReason.REACHABLE, "demo/alone")
            await alone.close()  # as if its node of a cluster were down
            for _ in range(3):
                await seen.reason(QueueReason.UNREACHABLE, "demo/alone")
                fine.idle = True
            fine.wake()
            await seen.reason(QueueReason.REACHABLE, "demo/fine")
            assert fine.redis.up
    assert not [r.message for r in caplog.records if r.name == "asyncendpoints.operator"]


async def test_a_connection_that_is_closed_while_it_is_read_is_no_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO), RedisServer() as server:
        async with reading() as (queues, seen):
            connection = await queues.connect(endpoint(), location_of(server.url))
            await seen.reason(QueueReason.REACHABLE)
            server.pause()
            connection.reconnected()  # so that it is also configured, by more calls
            await eventually(lambda: connection.next_poll(0.0) > 0)  # its reading has begun
            await queues.disconnect(connection.key)
            server.resume()
            await queues.connect(endpoint("other"), location_of(server.url))
            await seen.reason(QueueReason.REACHABLE, "demo/other")
            assert not [key for key, r in seen.readings if r.queue.stats is None]
    assert not [r.message for r in caplog.records if r.name == "asyncendpoints.operator"]


async def test_queues_that_nothing_recovered_for_a_while_are_no_outage(
    redis_url: str, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with reading() as (queues, seen):
            await queues.connect(endpoint(), location_of(redis_url))
            await seen.reason(QueueReason.REACHABLE)
        meta = store._caller.prefix + "meta"
        await store.open()
        await store._caller.send([("HSET", meta, "tick", "1000", "ticked", "1000")])
        async with reading() as (queues, seen), asyncio.timeout(30):  # as after a restart
            await queues.connect(endpoint(), location_of(redis_url))
            while not seen.recovered:
                await seen.reason(QueueReason.REACHABLE)
    assert seen.recovered[0][1].leases_extended
    assert not [r.message for r in caplog.records if "extended" in r.message]


async def test_a_redis_that_lost_everything_is_set_up_again() -> None:
    with RedisServer() as server:
        async with reading() as (queues, seen):
            connection = await queues.connect(
                endpoint(queue={"maxDepth": 5}), location_of(server.url)
            )
            await seen.reason(QueueReason.REACHABLE)
            await asyncio.to_thread(server.restart)
            await seen.until(
                lambda _, r: r.queue.stats is not None and connection.configured is not None
            )
            store = RedisStore(server.url, "demo/reports")
            await store.open()
            async with asyncio.timeout(30):
                while (await store.ownership()).owner != Identity("here", "uid-1"):
                    await seen.until(lambda _, r: r.queue.stats is not None)
            assert (await store.configure(Policy(), overwrite=False)).max_depth == 5
            await store.close()


async def test_what_redis_promises_is_read_again_at_each_connection() -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        async with reading() as (queues, seen):
            await queues.connect(endpoint(), location_of(server.url))
            assert (await seen.reason(QueueReason.REACHABLE)).queue.durable is False
            client.config_set("appendonly", "yes")
            client.client_kill_filter(_type="pubsub")
            await seen.until(lambda _, r: r.queue.durable is True)


async def test_another_installation_s_queue_is_left_alone(
    redis_url: str, store: RedisStore
) -> None:
    await store.open()
    await store.configure(Policy(max_depth=1), Identity("elsewhere", "uid-9"))
    async with reading() as (queues, seen):
        await queues.connect(endpoint(), location_of(redis_url))
        found = await seen.reason(QueueReason.OTHER_INSTALLATION)
        assert "elsewhere" in found.queue.message
    assert (await store.ownership()).owner == Identity("elsewhere", "uid-9")
    assert (await store.configure(Policy(), overwrite=False)).max_depth == 1


async def test_a_namesake_s_queue_is_adopted_and_opened(redis_url: str, store: RedisStore) -> None:
    await store.open()
    await store.configure(Policy(), Identity("here", "uid-0"))
    await store.enqueue([new_job()])
    await store.close_queue()
    async with reading() as (queues, seen):
        await queues.connect(endpoint(), location_of(redis_url))
        found = await seen.reason(QueueReason.REACHABLE)
        assert found.adopted
        assert found.queue.stats is not None
        assert not found.queue.stats.closed
        later = await seen.reason(QueueReason.REACHABLE)
        assert not later.adopted


async def test_strict_durability_refuses_a_redis_that_keeps_nothing(redis_url: str) -> None:
    async with reading() as (queues, seen):
        await queues.connect(endpoint(redis={"durability": "strict"}), location_of(redis_url))
        found = await seen.reason(QueueReason.NOT_DURABLE)
        assert found.queue.stats is None


async def test_refused_credentials_are_reported_as_such() -> None:
    with RedisServer(requirepass="right") as server:
        wrong = server.url.replace("right", "wrong")
        async with reading() as (queues, seen):
            await queues.connect(endpoint(), location_of(wrong))
            found = await seen.reason(QueueReason.AUTHENTICATION)
            assert "wrong" not in found.queue.message
            await queues.connect(endpoint(), location_of(server.url))
            await seen.reason(QueueReason.REACHABLE)
            # What the Secret said before is not asked again for ever.
            assert list(queues.pollers) == [server.url]


async def test_a_rotated_password_is_read_at_the_next_connect() -> None:
    with RedisServer(requirepass="first") as server:
        url = server.url
        own = RedisLocation("own", identity_of(url), lambda: url, own=True)
        async with reading() as (queues, seen):
            await queues.connect(endpoint(), own)
            await seen.reason(QueueReason.REACHABLE)
            store = RedisStore(server.url, "demo/reports")
            await store.open()
            await store._caller.send([("CONFIG", "SET", "requirepass", "second")])
            url = url.replace("first", "second")
            await store._caller.send([("CLIENT", "KILL", "TYPE", "normal")])
            await store.close()
            await seen.until(lambda _, r: r.queue.stats is not None)


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("redis://user:pass@redis.demo:6379/0", "redis://redis.demo:6379/0"),
        ("rediss://:p%40ss@a,b:1/2?ssl_password=x", "rediss://a,b:1/2"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_an_identity_shows_no_credentials(url: str, identity: str) -> None:
    assert identity_of(url) == identity
