"""A claim that is sent behind the wait for the doorbell (docs/adr/0007)."""

import asyncio
import random

import pytest

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause, SettleStatus
from support.store.stores import DONE, Backend, hand, new, put
from support.store.waits import LONG, SHORT, hands, next_claim


async def test_a_claim_behind_a_wait_takes_the_announced_job(
    backend: Backend, store: Store
) -> None:
    [worker] = await hands(store, 1)
    for limit in (1, 3):
        task = await next_claim(backend, worker, LONG)
        ids = await put(store, *(new() for _ in range(limit)))
        batch = await asyncio.wait_for(task, 20)
        assert [claimed.job.id for claimed in batch.jobs] == ids
        assert batch.jobs[0].claim.worker == worker.id


async def test_a_claim_behind_a_wait_is_made_when_the_time_is_over(store: Store) -> None:
    [worker] = await hands(store, 1)
    batch = await worker.claim_next(50)
    assert (batch.jobs, batch.refused) == ((), "")
    [job_id] = await put(store, new())  # no ring: it does not wait any more
    assert [claimed.job.id for claimed in (await worker.claim_next(50)).jobs] == [job_id]


async def test_a_claim_behind_a_wait_that_is_cancelled_loses_nothing(
    backend: Backend, store: Store
) -> None:
    [worker] = await hands(store, 1)
    for _ in range(20):
        task = await next_claim(backend, worker, LONG)
        # Cut short at any moment between the job's creation and the answer.
        putting = asyncio.create_task(put(store, new()))
        await asyncio.sleep(random.uniform(0, 0.003))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        [job_id] = await putting
        batch = await store.claim(worker.id, worker.request, 10)
        assert [claimed.job.id for claimed in batch.jobs] == [job_id]
        [settled] = await worker.settle(jobs.complete(batch.jobs[0].claim, DONE))
        assert settled.status is SettleStatus.APPLIED


async def test_a_claim_behind_a_wait_is_refused_as_any_other(
    backend: Backend, store: Store
) -> None:
    [worker] = await hands(store, 1)
    task = await next_claim(backend, worker, SHORT)
    await store.cordon([worker.id], 30, "operator")
    [job_id] = await put(store, new())
    assert (await asyncio.wait_for(task, 20)).refused == "cordoned"
    assert (await worker.claim_next(50)).refused == "cordoned"
    await store.release_worker(worker.id, Cause.LOST)
    with pytest.raises(WorkerGone):
        await worker.claim_next(50)
    [other] = [await hand(store, "other")]
    assert (await other.one()).job.id == job_id
