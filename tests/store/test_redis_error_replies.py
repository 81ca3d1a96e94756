"""Error replies that belong to the server: no verb takes one for a job's fault."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from asyncendpoints_core.errors import RecordError, StoreAuthenticationError, StoreUnavailable
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import connection, scripts
from asyncendpoints_core.store.redis.caller import plain
from asyncendpoints_core.store.redis.error_replies import meaning_of
from asyncendpoints_core.store.replies import SettleStatus
from support.redis.backend import RedisBackend
from support.redis.proxy import Command, ReplyDroppingProxy
from support.redis.replies import CREDENTIALS, LUA_FAULTS, SERVER_ERRORS, forms
from support.store.stores import DONE, check, hand, look, new, put
from support.store.verbs import VERBS, Scene


@pytest.fixture
async def proxied(
    redis_proxy: ReplyDroppingProxy, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisBackend]:
    """A store behind the proxy, that sends a call again without waiting."""
    monkeypatch.setattr(connection, "RETRY_SECONDS", (0.0, 0.0))
    backend = RedisBackend(redis_url, redis_proxy.url)
    await backend.open()
    try:
        yield backend
        await check(backend)
    finally:
        await backend.close()


def runs(verb: str) -> Callable[[Command], bool]:
    shas = {scripts.load(verb, full=full).sha.encode() for full in (False, True)}
    return lambda command: len(command) > 1 and command[1] in shas


async def dump(redis: Any) -> dict[bytes, bytes]:
    return {name: await redis.dump(name) for name in sorted(await redis.keys("aep:*"))}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_server_error_is_unavailable_and_changes_nothing(
    proxied: RedisBackend, redis_proxy: ReplyDroppingProxy, verb: str
) -> None:
    scene = Scene(proxied.store)
    await scene.build()
    before = await dump(proxied.redis)
    for word in SERVER_ERRORS:
        for reply in forms(word):
            fault = redis_proxy.answer(runs(verb), reply)
            with pytest.raises(StoreUnavailable) as caught:
                await VERBS[verb](scene)
            assert fault.happened.is_set()
            assert (type(caught.value) is StoreAuthenticationError) == (word in CREDENTIALS), reply
            redis_proxy.forward()
    assert await dump(proxied.redis) == before
    answer = await VERBS[verb](scene)
    if verb == "settle":
        assert [settled.status for settled in answer] == [SettleStatus.APPLIED] * 2


@pytest.mark.parametrize("word", ["BUSY", "LOADING", "MASTERDOWN", "NOAUTH", "READONLY"])
async def test_what_passes_by_itself_is_sent_again(
    proxied: RedisBackend, redis_proxy: ReplyDroppingProxy, word: str
) -> None:
    for reply in forms(word):
        fault = redis_proxy.answer(runs("enqueue"), reply)
        waiting = asyncio.create_task(proxied.store.enqueue([new()]))
        await fault.happened.wait()
        redis_proxy.forward()
        assert [answer.status for answer in await waiting] == ["created"]


@pytest.mark.parametrize("reply", LUA_FAULTS)
async def test_only_a_failing_script_divides_a_batch(
    proxied: RedisBackend, redis_proxy: ReplyDroppingProxy, reply: str
) -> None:
    store = proxied.store
    good = await put(store, *(new() for _ in range(6)))
    worker = await hand(store)
    claims = [job.claim for job in await worker.take()]
    bad = claims[3]
    settles = runs("settle")
    redis_proxy.answer(lambda c: settles(c) and b"".join(c).count(bad.job_id) > 0, reply)
    settled = await store.settle([jobs.complete(claim, DONE) for claim in claims])
    assert [one.status == "applied" for one in settled] == [claim != bad for claim in claims]
    good.remove(bad.job_id)
    assert {(await look(store, job_id)).state for job_id in good} == {State.COMPLETED}
    redis_proxy.answer(runs("stats"), reply)
    with pytest.raises(RecordError):
        await store.stats()
    redis_proxy.forward()


@pytest.mark.parametrize(
    ("code", "record"),
    [
        ("local job = nil; return job.name", True),
        ("return struct.unpack('>I8', '')", True),
        ("local n = struct.unpack('>I8', ''); return n", True),
        ("return redis.call('HINCRBY', 'text', 'field', 'one')", False),
        ("redis.call('SET', 'text', 'x'); return redis.call('HGET', 'text', 'x')", False),
        ("return redis.error_reply('SURPRISE it is')", False),
    ],
)
async def test_a_real_server_distinguishes_lua_from_commands(
    proxied: RedisBackend, code: str, record: bool
) -> None:
    shared = proxied.redis_store._caller.connection
    (reply,) = await shared.call("text", plain([("EVAL", code, "0")]))
    assert (meaning_of(reply).error is RecordError) is record


async def test_credentials_that_changed_are_read_again(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as admin:
        await admin.execute_command("ACL", "SETUSER", "app", "on", ">first", "~*", "&*", "+@all")
        urls = [redis_url.replace("://", "://app:first@")]
        shared = connection.RedisConnection(lambda: urls[0])
        assert await shared.call("key", plain([("PING",)])) == [b"PONG"]
        await admin.execute_command("ACL", "SETUSER", "app", "resetpass", ">second")
        await admin.execute_command("CLIENT", "KILL", "USER", "app")
        with pytest.raises(StoreAuthenticationError):
            await shared.call("key", plain([("PING",)]))
        urls[0] = redis_url.replace("://", "://app:second@")
        assert await shared.call("key", plain([("PING",)])) == [b"PONG"]
        await shared.close()
        await admin.execute_command("ACL", "DELUSER", "app")


@pytest.mark.parametrize("word", SERVER_ERRORS)
async def test_a_claim_behind_a_wait_meets_a_server_error(
    proxied: RedisBackend, redis_proxy: ReplyDroppingProxy, word: str
) -> None:
    store = proxied.store
    worker = await hand(store)
    [job_id] = await put(store, new())
    for number, command in enumerate(("BLPOP", "EVALSHA"), start=1):
        claims = runs("claim")
        is_pop = command == "BLPOP"
        for reply in forms(word):
            redis_proxy.answer(
                (lambda c: c[0] == b"BLPOP") if is_pop else claims,
                reply,
            )
            with pytest.raises(StoreUnavailable):
                await store.claim_next(worker.id, number, 1, 50)
            redis_proxy.forward()
        batch = await store.claim(worker.id, number, 1)
        assert [job.job.id for job in batch.jobs] == [job_id]
        await store.settle([jobs.release(job.claim) for job in batch.jobs])
