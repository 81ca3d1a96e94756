"""The part of a job that never changes is of a newer version, its run of this one: left alone."""

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.store.record_layout import FORMAT_KIND, FORMAT_VERSION
from asyncendpoints_core.store.replies import (
    CancelStatus,
    Cause,
    DeleteStatus,
    PromoteStatus,
    RedriveStatus,
)
from support.redis.backend import RedisBackend
from support.store.stores import ERROR, hand, new, put


@pytest.fixture
async def redis_backend(redis_url: str) -> RedisBackend:
    backend = RedisBackend(redis_url)
    await backend.open()
    return backend


async def _make_newer(backend: RedisBackend, job_id: JobId) -> tuple[bytes, bytes]:
    """Raise the version of what never changes; return it and the run."""
    key = backend.key("jobs")
    newer = bytes([FORMAT_KIND + FORMAT_VERSION + 1]) + (await backend.redis.hget(key, job_id))[1:]
    await backend.redis.hset(key, job_id, newer)
    return await _parts(backend, job_id)


async def _parts(backend: RedisBackend, job_id: JobId) -> tuple[bytes, bytes]:
    job = await backend.redis.hget(backend.key("jobs"), job_id)
    return job, await backend.redis.hget(backend.key("runs"), job_id)


async def test_a_final_one_is_neither_deleted_nor_queued_again(redis_backend: RedisBackend) -> None:
    store = redis_backend.store
    worker = await hand(store)
    first, second = await put(store, new(), new())
    await worker.settle(*(jobs.fail(claimed.claim, ERROR) for claimed in await worker.take()))
    parts = await _make_newer(redis_backend, first)
    [redriven] = await store.redrive([first])
    assert redriven.status is RedriveStatus.UNREADABLE
    assert await store.delete([first, second]) == [DeleteStatus.UNREADABLE, DeleteStatus.DELETED]
    assert await _parts(redis_backend, first) == parts
    await redis_backend.close()


async def test_a_waiting_one_is_neither_canceled_nor_promoted(redis_backend: RedisBackend) -> None:
    store = redis_backend.store
    first, second = await put(store, new(delay_ms=60_000), new(delay_ms=60_000))
    parts = await _make_newer(redis_backend, first)
    assert [each.status for each in await store.cancel([first])] == [CancelStatus.UNREADABLE]
    assert await store.promote([first, second]) == [
        PromoteStatus.UNREADABLE,
        PromoteStatus.PROMOTED,
    ]
    assert await _parts(redis_backend, first) == parts
    await redis_backend.close()


async def test_one_that_is_to_run_alone_holds_up_no_other(redis_backend: RedisBackend) -> None:
    store = redis_backend.store
    worker = await hand(store)
    first, second = sorted(await put(store, new(), new()))  # in this order they wait
    await worker.take()
    await store.release_worker(worker.id, Cause.CRASH)
    parts = await _make_newer(redis_backend, first)
    batch = await (await hand(store, "w2")).claim()
    assert ([each.job.id for each in batch.jobs], batch.exclusive) == ([second], True)
    assert await _parts(redis_backend, first) == parts
    await redis_backend.close()
