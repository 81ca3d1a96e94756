"""The doorbell: as many workers wake as there are new jobs, and no ring is lost with a waiter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Limit, Policy, limits_of
from asyncendpoints_core.jobs.records import Attributes, Claim, ClaimedJob
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause
from support.store.stores import DONE, ERROR, Backend, Hand, hand, new, policy, put, settle_one
from support.store.waits import LONG, SHORT, hands, next_claim, waiting, waiting_for_nothing


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


async def retry_soon(backend: Backend, _: Hand, claim: Claim) -> None:
    await settle_one(backend.store, jobs.retry_later(claim, ERROR, 200))


async def enqueue_child_soon(backend: Backend, _: Hand, claim: Claim) -> None:
    await settle_one(backend.store, jobs.complete(claim, DONE, (new(delay_ms=200),)))


async def recover(backend: Backend, holder: Hand, _: Claim) -> None:
    await backend.store.release_worker(holder.id, Cause.LOST)


async def crash(backend: Backend, holder: Hand, _: Claim) -> None:
    await backend.store.release_worker(holder.id, Cause.CRASH)


async def reconcile(backend: Backend, holder: Hand, _: Claim) -> None:
    await backend.store.reconcile(holder.id, [])


async def redrive(backend: Backend, _: Hand, claim: Claim) -> None:
    await settle_one(backend.store, jobs.fail(claim, ERROR))
    await backend.store.redrive([claim.job_id])


RINGERS: list[Act] = [
    *(enqueue, promote, release, retry_soon, enqueue_child_soon, recover, crash, reconcile, redrive)
]


async def retry_later(backend: Backend, _: Hand, claim: Claim) -> None:
    await settle_one(backend.store, jobs.retry_later(claim, ERROR, 5_000))


async def enqueue_child_later(backend: Backend, _: Hand, claim: Claim) -> None:
    await settle_one(backend.store, jobs.complete(claim, DONE, (new(delay_ms=5_000),)))


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


@pytest.mark.parametrize("act", [retry_later, enqueue_child_later])
async def test_what_an_idle_worker_finds_by_itself_wakes_none(
    backend: Backend, store: Store, act: Act
) -> None:
    holder = await hand(store, "holder")
    await put(store, new())
    claim = (await holder.one()).claim
    [task] = await waiting(backend, await hands(store, 1), SHORT)
    await act(backend, holder, claim)
    assert not await task


async def test_resume_wakes_workers(backend: Backend, store: Store) -> None:
    workers = await hands(store, 2)
    tasks = await waiting(backend, workers)
    await store.pause()
    await put(store, *(new() for _ in range(5)))
    done, _ = await asyncio.wait(tasks, timeout=0.1)
    assert not done
    await store.resume()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 20) == [True] * 2


@pytest.mark.parametrize("stop", ["pause", "close"])
async def test_a_worker_that_claimed_while_no_claims_were_allowed_is_woken_once_they_are(
    backend: Backend, store: Store, stop: str
) -> None:
    [worker] = await hands(store, 1)
    await put(store, new())
    await (store.pause() if stop == "pause" else store.close_queue())
    claimed = asyncio.create_task(store.claim_next(worker.id, 1, 1, SHORT))
    assert (await asyncio.wait_for(claimed, 20)).refused
    waits = await next_claim(backend, worker, LONG)
    await (store.resume() if stop == "pause" else store.reopen_queue())
    assert len((await asyncio.wait_for(waits, 20)).jobs) == 1


@pytest.mark.parametrize("limits", LIMITED)
async def test_resume_wakes_a_worker_for_a_place_that_was_freed_meanwhile(
    backend: Backend, store: Store, limits: str
) -> None:
    held, idle = await held_and_idle(store, limits)
    [task] = await waiting(backend, [idle])
    await store.pause()
    await settle_one(store, jobs.complete(held.claim, DONE))
    await store.resume()
    assert await asyncio.wait_for(task, 20)
    assert len(await idle.take()) == 1


async def test_a_job_that_is_due_soon_wakes_another_worker_when_the_first_is_full(
    backend: Backend, store: Store
) -> None:
    full, idle = await hands(store, 2)
    looking = await next_claim(backend, full, LONG)
    await put(store, new(delay_ms=600))
    assert (await asyncio.wait_for(looking, 20)).next_due_ms  # it waits for that job now
    looking = asyncio.create_task(store.claim_next(full.id, 100, 1, LONG))
    await asyncio.wait_for(backend.waiters(1), 20)
    task = asyncio.create_task(store.wait_for_work(idle.id, LONG))
    await asyncio.wait_for(backend.waiters(2), 20)
    await put(store, new())
    assert len((await asyncio.wait_for(looking, 20)).jobs) == 1
    assert await asyncio.wait_for(task, 20)


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


async def test_a_worker_that_waits_through_a_cordon_is_woken_after_it(
    backend: Backend, store: Store
) -> None:
    [worker] = await hands(store, 1)
    [task] = await waiting(backend, [worker])
    await store.cordon([worker.id], 30, "operator")
    await store.uncordon([worker.id], "operator")
    await put(store, new())
    assert await asyncio.wait_for(task, 20)


async def test_a_claim_that_leaves_work_wakes_another_worker(
    backend: Backend, store: Store
) -> None:
    await put(store, new(), new(), new())  # nobody waits yet: nobody is rung for
    busy, *others = await hands(store, 3)
    tasks = await waiting_for_nothing(backend, others)
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


@pytest.mark.parametrize("work", ["ready", "due soon", "place"])
async def test_a_worker_that_leaves_unserved_forwards_its_wake_up(
    backend: Backend, store: Store, work: str
) -> None:
    workers = await hands(store, 2)
    await store.configure(LIMITED["job"])
    holder = await hand(store, "holder")
    await put(store, *(new() for _ in range(1 + (work == "place"))))
    held = (await holder.one()).claim
    if work != "place":
        await settle_one(store, jobs.complete(held, DONE))
    tasks = await waiting(backend, workers, 10_000)
    if work == "place":
        await settle_one(store, jobs.complete(held, DONE))
    else:
        await put(store, new(delay_ms=200 if work == "due soon" else 0))
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
