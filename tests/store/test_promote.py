"""Queueing Scheduled jobs before they are due."""

import asyncio

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import PromoteStatus
from support.store.stores import (
    ERROR,
    START_MS,
    Backend,
    claims,
    hand,
    look,
    new,
    put,
    settle_one,
)


async def test_a_scheduled_job_is_queued_at_once(store: Store) -> None:
    [first] = await put(store, new())
    [job_id] = await put(store, new(delay_ms=60_000))
    before = await look(store, job_id)
    assert await store.promote([job_id]) == [PromoteStatus.PROMOTED]
    assert await store.promote([job_id]) == [PromoteStatus.NOT_SCHEDULED]
    job = await look(store, job_id)
    assert (job.state, job.revision) == (State.QUEUED, before.revision + 1)
    worker = await hand(store)
    assert [claim.job_id for claim in claims(await worker.claim(2))] == [first, job_id]


async def test_a_retry_that_waits_is_queued_at_once(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    [claim] = claims(await worker.claim(1))
    await settle_one(store, jobs.retry_later(claim, ERROR, 60_000))
    assert await store.promote([job_id]) == [PromoteStatus.PROMOTED]
    [again] = claims(await worker.claim(1))
    assert (again.job_id, (await look(store, job_id)).attempt) == (job_id, 2)


async def test_other_jobs_are_left_as_they_are(store: Store) -> None:
    queued, running, gone = await put(store, *(new(name) for name in "abc"))
    await store.cancel([gone])
    await store.delete([gone])
    unknown = ids.new(START_MS)
    assert await store.promote([queued, unknown, gone]) == [
        PromoteStatus.NOT_SCHEDULED,
        PromoteStatus.MISSING,
        PromoteStatus.GONE,
    ]
    assert (await look(store, running)).revision == 1
    assert await store.promote([]) == []


async def test_an_expired_job_is_not_queued(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new(delay_ms=60_000, ttl_ms=1_000))
    await backend.advance(2_000)
    assert await store.promote([job_id]) == [PromoteStatus.PROMOTED]
    job = await look(store, job_id)
    assert (job.state, job.error and job.error.code) == (State.FAILED, "expired")


async def test_it_wakes_a_worker(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new(delay_ms=3_600_000))
    worker = await hand(store)
    assert not (await worker.claim(1)).jobs
    waiting = asyncio.ensure_future(store.wait_for_work(worker.id, 20_000))
    await backend.waiters(1)
    await store.promote([job_id])
    assert await asyncio.wait_for(waiting, 20)
