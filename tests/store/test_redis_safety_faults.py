"""The safety timer while something goes wrong: lost replies, a full memory, a restart."""

import pytest
from redis import Redis

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore, scripts
from support.redis.backend import ENDPOINT, QUIET_MS, RedisBackend
from support.redis.proxy import Command, ReplyDroppingProxy
from support.redis.server import RedisServer
from support.store.stores import check, drain, hand, new, put


@pytest.mark.parametrize(("verb", "k"), [("enqueue", 1), ("enqueue", 2), ("cancel_timer", 1)])
async def test_a_reply_lost_on_the_way_costs_nothing(
    redis_proxy: ReplyDroppingProxy, redis_url: str, verb: str, k: int
) -> None:
    shas = {scripts.load(verb, full=full).sha.encode() for full in (False, True)}

    def matches(command: Command) -> bool:
        return command[0] == b"EVALSHA" and command[1] in shas

    backend = RedisBackend(redis_url, redis_proxy.url)
    await backend.open()
    # Both are known to the server, so that what follows is one call each.
    await put(backend.store, new())
    await drain(backend.store, await hand(backend.store))
    await backend.come_to_rest()
    fault = redis_proxy.drop_reply(matches, k)
    await put(backend.store, new())
    assert fault.happened.is_set()
    assert not await backend.check_timers()
    assert (await backend.store.stats()).counts[State.QUEUED] == 1
    await check(backend)
    await backend.close()


async def test_an_acceptance_at_rest_is_confirmed_when_strict() -> None:
    with RedisServer(appendonly=True, appendfsync="always") as server:
        backend = RedisBackend(server.url)
        backend.store = backend.redis_store = RedisStore(server.url, ENDPOINT, strict=True)
        await backend.open()
        await put(backend.store, new())
        assert not await backend.check_timers()
        await backend.close()
        server.stop()
        server.start()
        backend = RedisBackend(server.url)
        await backend.redis_store.open()
        assert (await backend.store.stats()).counts[State.QUEUED] == 1
        assert not await backend.check_timers()
        await backend.close()


async def test_full_memory_lets_a_queue_come_to_rest() -> None:
    with RedisServer(maxmemory="20mb", maxmemory_policy="noeviction") as server:
        backend = RedisBackend(server.url)
        await backend.open()
        store = backend.store
        await put(store, new())
        await backend.advance(QUIET_MS)
        worker = await hand(store)
        server_side = Redis.from_url(server.url)
        server_side.config_set("maxmemory", "1mb")
        await drain(store, worker)
        await store.sweep()
        assert await backend.check_timers()
        with pytest.raises(StoreUnavailable, match="memory limit"):
            await store.enqueue([new()])
        await backend.check_timers()
        server_side.config_set("maxmemory", "20mb")
        await backend.come_to_rest()  # again, if the attempt took it off
        await put(store, new())
        assert not await backend.check_timers()
        server_side.close()
        await backend.close()
