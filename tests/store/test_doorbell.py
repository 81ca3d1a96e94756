"""The doorbell: as many workers wake as there are new jobs, and no ring is lost with a waiter."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Limit, Policy, limits_of
from asyncendpoints_core.jobs.records import Attributes, Claim, ClaimedJob
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause, ClaimBatch, SettleStatus
from support.store.stores import DONE, ERROR, Backend, Hand, hand, new, policy, put, settle_one

LONG = 30_000
SHORT = 300


async def waiting(
    backend: Backend, workers: list[Hand], ms: int = LONG
) -> list[asyncio.Task[bool]]:
    """Let workers find nothing and then wait for the bell."""
    store = backend.store
    for worker in workers:
        assert await worker.take() == []
    tasks = [asyncio.create_task(store.wait_for_work(worker.id, ms)) for worker in workers]
    await asyncio.wait_for(backend.waiters(len(workers)), 20)
    return tasks


async def hands(store: Store, count: int) -> list[Hand]:
    return [await hand(store, f"w{number}") for number in range(count)]


async def test_a_hundred_jobs_wake_all_five_workers(backend: Backend, store: Store) -> None:
    tasks = await waiting(backend, await hands(store, 5))
    await put(store, *(new() for _ in range(100)))
    assert await asyncio.wait_for(asyncio.gather(*tasks), 20) == [True] * 5


async def test_one_job_wakes_one_worker(backend: Backend, store: Store) -> None:
    tasks = await waiting(backend, await hands(store, 5), SHORT)
    await put(store, new())
    woken = await asyncio.gather(*tasks)
    assert woken.count(True) == 1


@pytest.mark.parametrize(("delay_ms", "wakes"), [(200, True), (5_000, False)])
async def test_a_job_that_is_due_soon_wakes_a_worker_to_wait_for_it(
    backend: Backend, store: Store, delay_ms: int, wakes: bool
) -> None:
    tasks = await waiting(backend, await hands(store, 3), SHORT)
    await put(store, new(delay_ms=delay_ms))
    assert (await asyncio.gather(*tasks)).count(True) == wakes


def limited_to(places: int) -> dict[str, Policy]:
    """Return policies of each kind of limit that apply to jobs `report` of a key."""
    limit = Limit(concurrency=places)
    kinds = {
        "key": limits_of(every_key=limit),
        "job": limits_of(jobs={"report": limit}),
        "total": limits_of(total=limit),
    }
    return {kind: policy(limits=limits) for kind, limits in kinds.items()}


LIMITED, RAISED = limited_to(1), limited_to(2)
KEYED = Attributes(key="acme")


async def held_and_idle(store: Store, limits: str) -> tuple[ClaimedJob, Hand]:
    """Let a worker have the only place of two jobs; return its job, and an idle worker."""
    await store.configure(LIMITED[limits])
    holder, idle = await hands(store, 2)
    await put(store, new(attributes=KEYED), new(attributes=KEYED))
    return await holder.one(), idle


@pytest.mark.parametrize("limits", LIMITED)
async def test_a_place_that_is_freed_wakes_a_worker_and_a_job_without_one_none(
    backend: Backend, store: Store, limits: str
) -> None:
    held, idle = await held_and_idle(store, limits)
    [task] = await waiting(backend, [idle], SHORT)
    await put(store, new(attributes=KEYED))
    assert not await task
    [task] = await waiting(backend, [idle])
    await settle_one(store, jobs.complete(held.claim, DONE))
    assert await asyncio.wait_for(task, 20)
    assert len(await idle.take()) == 1


@pytest.mark.parametrize("limits", LIMITED)
async def test_a_limit_that_is_raised_wakes_a_worker_and_the_same_limits_none(
    backend: Backend, store: Store, limits: str
) -> None:
    _, idle = await held_and_idle(store, limits)
    [task] = await waiting(backend, [idle], SHORT)
    await store.configure(LIMITED[limits])
    assert not await task
    [task] = await waiting(backend, [idle])
    await store.configure(RAISED[limits])
    assert await asyncio.wait_for(task, 20)
    assert len(await idle.take()) == 1


async def test_without_work_the_wait_ends_by_itself(store: Store) -> None:
    [worker] = await hands(store, 1)
    assert not await store.wait_for_work(worker.id, 50)


Act = Callable[[Backend, Hand, Claim], Awaitable[object]]


async def enqueue(backend: Backend, _: Hand, __: Claim) -> None:
    await put(backend.store, new())


async def promote(backend: Backend, _: Hand, __: Claim) -> None:
    await put(backend.store, new(delay_ms=100))
    await backend.advance(100)
    await backend.store.sweep()


async def release(backend: Backend, _: Hand, claim: Claim) -> None:
    await settle_one(backend.store, jobs.release(claim))


async def recover(backend: Backend, holder: Hand, _: Claim) -> None:
    await backend.store.release_worker(holder.id, Cause.LOST)


async def crash(backend: Backend, holder: Hand, _: Claim) -> None:
    await backend.store.release_worker(holder.id, Cause.CRASH)


async def reconcile(backend: Backend, holder: Hand, _: Claim) -> None:
    await backend.store.reconcile(holder.id, [])


async def redrive(backend: Backend, _: Hand, claim: Claim) -> None:
    await settle_one(backend.store, jobs.fail(claim, ERROR))
    await backend.store.redrive([claim.job_id])


RINGERS: list[Act] = [enqueue, promote, release, recover, crash, reconcile, redrive]


@pytest.mark.parametrize("act", RINGERS)
async def test_everything_that_makes_a_job_ready_wakes_a_worker(
    backend: Backend, store: Store, act: Act
) -> None:
    holder = await hand(store, "holder")
    await put(store, new())
    claim = (await holder.one()).claim
    [task] = await waiting(backend, await hands(store, 1))
    await act(backend, holder, claim)
    assert await asyncio.wait_for(task, 20)


async def test_resume_wakes_workers(backend: Backend, store: Store) -> None:
    workers = await hands(store, 2)
    tasks = await waiting(backend, workers)
    await store.pause()
    await put(store, *(new() for _ in range(5)))
    done, _ = await asyncio.wait(tasks, timeout=0.1)
    assert not done
    await store.resume()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 20) == [True] * 2


async def test_resume_wakes_a_worker_that_claimed_while_the_queue_was_paused(
    backend: Backend, store: Store
) -> None:
    [worker] = await hands(store, 1)
    await store.pause()
    await put(store, new())
    claimed = asyncio.create_task(store.claim_next(worker.id, 1, 1, SHORT))
    assert (await asyncio.wait_for(claimed, 20)).refused
    waits = await next_claim(backend, worker, LONG)
    await store.resume()
    assert len((await asyncio.wait_for(waits, 20)).jobs) == 1


async def test_a_job_between_a_claim_and_the_wait_behind_it_ends_the_wait(
    backend: Backend, store: Store
) -> None:
    [worker] = await hands(store, 1)
    await put(store, new())
    assert len(await worker.take()) == 1  # there is room for more
    await backend.advance(5_000)  # its process was busy until its wait
    await put(store, new())
    assert await asyncio.wait_for(store.wait_for_work(worker.id, LONG), 20)
    assert len(await worker.take()) == 1


async def test_a_claim_that_leaves_work_wakes_another_worker(
    backend: Backend, store: Store
) -> None:
    await put(store, new(), new(), new())  # nobody waits yet: nobody is rung for
    busy, *others = await hands(store, 3)
    tasks = [asyncio.create_task(store.wait_for_work(one.id, LONG)) for one in others]
    await asyncio.wait_for(backend.waiters(2), 20)
    assert (await busy.claim(1)).more
    done, pending = await asyncio.wait(tasks, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [True]
    woken = others[tasks.index(next(iter(done)))]
    assert (await woken.claim(1)).more  # and so on, until nothing is left
    assert await asyncio.wait_for(next(iter(pending)), 20)


async def test_a_canceled_wait_forwards_its_wake_up(backend: Backend, store: Store) -> None:
    one, two = await hands(store, 2)
    tasks = await waiting(backend, [one, two], 2_000)
    await put(store, new())
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # Whoever the ring was for is gone; the job is found by the next claim all the same.
    assert len(await one.take() + await two.take()) == 1


async def next_claim(backend: Backend, worker: Hand, ms: int) -> asyncio.Task[ClaimBatch]:
    """Let a worker find nothing and then wait with its next claim."""
    assert await worker.take() == []
    task = asyncio.create_task(worker.claim_next(ms))
    await asyncio.wait_for(backend.waiters(1), 20)
    return task


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


async def test_a_worker_that_leaves_unserved_forwards_its_wake_up(
    backend: Backend, store: Store
) -> None:
    workers = await hands(store, 2)
    tasks = await waiting(backend, workers, 10_000)
    await put(store, new())
    done, pending = await asyncio.wait(tasks, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    woken = workers[tasks.index(next(iter(done)))]
    await store.release_worker(woken.id, Cause.DRAINED)
    assert await asyncio.wait_for(next(iter(pending)), 20)


async def test_a_suspect_wakes_a_worker_when_its_backoff_is_over(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(retry=RetryPolicy(max_crashes=5, initial_ms=500)))
    await put(store, new())
    for number in range(2):
        crashing = await hand(store, f"crashing-{number}")
        await crashing.one()
        await store.release_worker(crashing.id, Cause.CRASH)
    worker = await hand(store)
    assert (await worker.claim()).next_due_ms == 500  # how long its wait should be
