"""One value of each hash cut short: no verb fails; all of them are in tests/hostile."""

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.record_layout import RUN
from asyncendpoints_core.store.replies import Cause
from support.redis.backend import RedisBackend
from support.redis.server import RedisServer
from support.store.short_values import ShortValues
from support.store.stores import ERROR, hand, look, new, put, state_of


@pytest.mark.timeout(300)
async def test_a_short_value_fails_no_verb(redis_server: RedisServer) -> None:
    failures = []
    scene = ShortValues(redis_server.url)
    await scene.build()
    names = list(await scene.hashes())
    await scene.backend.close()
    assert len(names) > 10
    for name in names:
        scene = ShortValues(redis_server.url)
        await scene.build()
        field = (await scene.hashes())[name][0]
        await scene.cut(name, field, 1 if name == "jobs" else 0.6)
        failures += [f"{name}: {failure}" for failure in await scene.use()]
        await scene.backend.close()
    assert not failures


async def test_damaged_descriptions_of_workers_fail_no_verb(redis_server: RedisServer) -> None:
    scene = ShortValues(redis_server.url)
    await scene.build()
    redis, key = scene.backend.redis, scene.backend.key
    for worker in await redis.hkeys(key("winfo")):
        await redis.hset(key("winfo"), worker, b"\x81\xa1x" + b"\x91" * 3_000)  # nested too deep
    assert await scene.use() == []
    await scene.backend.close()


async def test_a_run_whose_worker_is_no_text_fails_no_recovery(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    worker = await hand(backend.store)
    damaged, other = await put(backend.store, new(), new())
    assert len(await worker.take(2)) == 2
    key = backend.key("runs")
    run = await backend.redis.hget(key, damaged)
    await backend.redis.hset(key, damaged, run.replace(worker.id.encode()[:4], b"\xe5\xe5\xe5\xe5"))
    recovery = await backend.store.recover()
    assert recovery.orphaned == ()
    error = (await look(backend.store, damaged)).error
    assert error is not None
    assert error.code == "corrupt"
    assert await state_of(backend.store, other) is State.IN_PROGRESS
    await backend.close()


async def test_a_run_with_a_short_history_fails_no_release(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    worker = await hand(backend.store)
    [damaged] = await put(backend.store, new(max_attempts=20))
    for _ in range(10):
        await worker.settle(jobs.retry_later((await worker.one()).claim, ERROR, 0))
    [other] = await put(backend.store, new())
    assert len(await worker.take(2)) == 2
    key = backend.key("runs")
    run = bytearray(await backend.redis.hget(key, damaged))
    at = RUN.offset("history_size")
    run[at : at + 2] = (1).to_bytes(2)
    await backend.redis.hset(key, damaged, bytes(run))
    released = await backend.store.release_worker(worker.id, Cause.LOST)
    assert (released.requeued, released.failed) == (1, 1)
    error = (await look(backend.store, damaged)).error
    assert error is not None
    assert error.code == "corrupt"
    assert await state_of(backend.store, other) is State.QUEUED
    await backend.close()
