"""Time to live, retention, pauses, and that every sweep is bounded and comes to an end."""

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import JobError
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import CancelStatus, Cause
from support.store.stores import (
    DONE,
    ERROR,
    START_MS,
    Backend,
    claims,
    drain,
    hand,
    look,
    new,
    policy,
    put,
    settle_one,
    state_of,
    sweep_all,
)

TTL = 60_000


async def code(store: Store, job_id: ids.JobId) -> str:
    job = await look(store, job_id)
    assert job.state is State.FAILED
    return job.error.code if job.error else ""


async def test_a_waiting_job_expires(backend: Backend, store: Store) -> None:
    await store.configure(policy(ttl_ms=TTL))
    queued, scheduled, own, late = await put(
        store,
        new(),
        new(delay_ms=30_000),
        new(ttl_ms=5_000),
        new(delay_ms=10_000, ttl_ms=5_000),
    )
    now = await backend.now()
    expires = [
        (await look(store, one)).expires_at_ms - now for one in (queued, scheduled, own, late)
    ]
    assert expires == [TTL, 30_000 + TTL, 5_000, 5_000]
    await backend.advance(4_999)
    assert (await store.sweep()).expired == 0
    await backend.advance(1)
    assert (await store.sweep()).expired == 2
    assert [await code(store, own), await code(store, late)] == ["expired"] * 2
    await backend.advance(TTL - 5_000)
    await sweep_all(store)
    assert await code(store, queued) == "expired"
    assert await state_of(store, scheduled) is State.QUEUED
    await backend.advance(30_000)
    await sweep_all(store)
    assert await code(store, scheduled) == "expired"
    totals = (await store.stats()).totals
    assert (totals["expired"], totals["failed"]) == (4, 4)


async def test_claims_meet_no_expired_job(backend: Backend, store: Store) -> None:
    await store.configure(policy(ttl_ms=TTL))
    old = await put(store, *(new() for _ in range(5)))
    due = await put(store, new(delay_ms=1_000, ttl_ms=TTL))
    await backend.advance(TTL)
    fresh = await put(store, new())
    worker = await hand(store)
    assert [job.job.id for job in await worker.take()] == fresh
    for job_id in [*old, *due]:
        assert await code(store, job_id) == "expired"


async def test_what_has_started_never_expires(backend: Backend, store: Store) -> None:
    await store.configure(policy(ttl_ms=TTL, lease_ms=10 * TTL))
    await put(store, *(new(ttl_ms=TTL) for _ in range(4)))
    worker = await hand(store)
    running, retried, released, crashed = claims(await worker.claim(4))
    await store.settle([jobs.retry_later(retried, ERROR, 1_000), jobs.release(released)])
    await backend.advance(5 * TTL)
    swept = await sweep_all(store)
    assert (swept.expired, swept.promoted) == (0, 1)
    assert (await look(store, released.job_id)).expires_at_ms == 0
    taken = await worker.take()
    assert {job.job.id for job in taken} == {retried.job_id, released.job_id}
    assert await settle_one(store, jobs.complete(running, DONE)) == "applied"
    assert await settle_one(store, jobs.complete(crashed, DONE)) == "applied"


async def test_an_unstarted_release_lets_the_time_to_live_run_on(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(ttl_ms=TTL, lease_ms=10 * TTL))
    plain, own = await put(store, new(), new(ttl_ms=TTL // 2))
    before = [(await look(store, job_id)).expires_at_ms for job_id in (plain, own)]
    worker = await hand(store)
    await backend.advance(1_000)
    batch = await worker.claim(2)
    await store.settle([jobs.release(claim, started=False) for claim in claims(batch)])
    assert [(await look(store, job_id)).expires_at_ms for job_id in (plain, own)] == before
    await backend.advance(TTL)
    assert (await sweep_all(store)).expired == 2


async def test_an_unstarted_release_expires_in_time_wherever_it_waits(
    backend: Backend, store: Store
) -> None:
    """Behind a head that is still fresh, and put off for longer than its time to live."""
    await store.configure(policy(ttl_ms=TTL, lease_ms=10 * TTL))
    head, own, late = await put(store, new(), new(ttl_ms=TTL // 2), new())
    first, second, third = claims(await (await hand(store)).claim(3))
    outcomes = [jobs.release(claim, started=False) for claim in (first, second)]
    await store.settle([*outcomes, jobs.release(third, started=False, delay_ms=5 * TTL)])
    await backend.advance(TTL // 2)
    assert (await sweep_all(store)).expired == 1
    assert await code(store, own) == "expired"
    await backend.advance(TTL // 2)
    assert (await sweep_all(store)).expired == 2
    assert [await code(store, job_id) for job_id in (head, late)] == ["expired"] * 2


async def test_a_job_that_ever_ran_does_not_expire_after_an_unstarted_release(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(ttl_ms=TTL, lease_ms=10 * TTL))
    released, crashed = await put(store, new(), new())
    for number, cause in enumerate((Cause.LOST, Cause.CRASH)):
        worker = await hand(store, f"w{number}")
        await worker.one()
        await store.release_worker(worker.id, cause)
        if cause is Cause.LOST:
            await store.cancel([released])  # out of the way of the other
    await store.redrive([released])
    worker = await hand(store, "last")
    while taken := await worker.take(1):
        await settle_one(store, jobs.release(taken[0].claim, started=False, delay_ms=1))
    await backend.advance(TTL)
    await sweep_all(store)
    assert await code(store, released) == "expired"  # redriven, and not started since
    assert await state_of(store, crashed) is State.QUEUED


async def test_a_job_without_its_handler_fails_so_at_its_time_to_live(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(ttl_ms=TTL, lease_ms=10 * TTL))
    [job_id] = await put(store, new())
    worker = await hand(store)
    missing = JobError("handler-missing", "this worker has no handler named report")
    while taken := await worker.take():
        outcome = jobs.release(taken[0].claim, started=False, delay_ms=7_000, error=missing)
        assert await settle_one(store, outcome) == "applied"
        await backend.advance(7_000)
    job = await look(store, job_id)
    assert (job.state, job.error) == (State.FAILED, missing)
    assert job.completed_ms - job.created_ms < TTL + 7_000


async def test_time_paused_is_not_counted(backend: Backend, store: Store) -> None:
    await store.configure(policy(ttl_ms=TTL))
    before, own = await put(store, new(), new(ttl_ms=TTL))
    await backend.advance(10_000)
    await store.pause()
    assert (await store.stats()).paused
    await backend.advance(100_000)
    [during] = await put(store, new())
    await backend.advance(100_000)
    assert (await sweep_all(store)).expired == 0
    assert (await look(store, before)).expires_at_ms == await backend.now() + TTL - 10_000
    worker = await hand(store)
    assert (await worker.claim()).refused == "paused"
    await store.pause()  # again: still the same pause
    await store.resume()
    await store.resume()
    ends = [(await look(store, job_id)).expires_at_ms for job_id in (before, own, during)]
    now = await backend.now()
    assert ends == [now + TTL - 10_000, now + TTL - 10_000, now + TTL]
    await backend.advance(TTL - 10_001)
    assert (await sweep_all(store)).expired == 0
    await backend.advance(1)
    assert (await sweep_all(store)).expired == 2
    await backend.advance(10_000)
    assert (await sweep_all(store)).expired == 1


async def test_a_changed_time_to_live_counts_for_jobs_that_wait(
    backend: Backend, store: Store
) -> None:
    plain, own = await put(store, new(), new(ttl_ms=TTL))
    await store.configure(policy(ttl_ms=1_000))
    assert (await look(store, plain)).expires_at_ms == await backend.now() + 1_000
    await backend.advance(1_000)
    assert (await sweep_all(store)).expired == 1
    assert await state_of(store, own) is State.QUEUED


async def test_finished_jobs_are_removed_after_their_retention(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(completed_ms=10_000, failed_ms=20_000))
    done, failed, canceled, waiting = await put(store, *(new() for _ in range(4)))
    worker = await hand(store)
    one, two, three = claims(await worker.claim(3))
    await backend.advance(1)
    await store.settle([jobs.complete(one, DONE), jobs.fail(two, ERROR), jobs.release(three)])
    await store.cancel([canceled])
    now = await backend.now()
    kept = [(await look(store, job_id)).expires_at_ms - now for job_id in (done, failed, canceled)]
    assert kept == [10_000, 20_000, 20_000]
    await backend.advance(9_999)
    assert (await sweep_all(store)).removed == 0
    await backend.advance(1)
    assert (await sweep_all(store)).removed == 1
    [found] = await store.get([done])
    assert (found.job, found.gone) == (None, True)
    assert (await store.result(done))[1] is None
    await backend.advance(10_000)
    assert (await sweep_all(store)).removed == 2
    assert await state_of(store, waiting) is State.QUEUED
    assert (await store.stats()).totals["removed"] == 3


async def test_finished_jobs_are_capped_by_count_the_oldest_first(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(max_finished=10))
    order = await put(store, *(new() for _ in range(16)))
    for job_id in order[:15]:
        await store.cancel([job_id])
        await backend.advance(1)
    swept = await sweep_all(store)
    assert swept.removed == 5
    found = await store.get(order)
    assert [one.gone for one in found] == [True] * 5 + [False] * 11


async def test_a_redriven_job_leaves_retention(backend: Backend, store: Store) -> None:
    await store.configure(policy(failed_ms=10_000, ttl_ms=TTL))
    [job_id] = await put(store, new())
    await store.cancel([job_id])
    await backend.advance(9_000)
    [answer] = await store.redrive([job_id])
    assert answer.status == "requeued"
    await backend.advance(20_000)
    assert (await sweep_all(store)).removed == 0
    assert await state_of(store, job_id) is State.QUEUED
    await backend.advance(TTL - 20_000)
    await sweep_all(store)
    assert await code(store, job_id) == "expired"


async def test_gone_is_reported_for_a_day(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new())
    await store.cancel([job_id])
    assert await store.delete([job_id]) == ["deleted"]
    assert await store.delete([job_id, ids.new(START_MS)]) == ["gone", "missing"]
    assert (await store.cancel([job_id]))[0].status is CancelStatus.GONE
    assert (await store.redrive([job_id]))[0].status == "gone"
    found, result = await store.result(job_id)
    assert (found.gone, result) == (True, None)
    await backend.advance(86_399_999)
    await sweep_all(store)
    assert (await store.get([job_id]))[0].gone
    await backend.advance(1)
    await sweep_all(store)
    assert not (await store.get([job_id]))[0].gone


@pytest.mark.parametrize("count", [1_200])
async def test_sweeps_are_bounded_and_come_to_an_end(
    backend: Backend, store: Store, count: int
) -> None:
    await store.configure(policy(ttl_ms=TTL, failed_ms=TTL))
    assert not (await store.sweep()).more
    for step in range(0, count, 50):
        await put(store, *(new(delay_ms=1_000 if one % 2 else 0) for one in range(step, step + 50)))
    await backend.advance(1_000)
    first = await store.sweep()
    assert first.more
    assert 0 < first.promoted < count // 2
    assert first.promoted + (await sweep_all(store)).promoted == count // 2
    await backend.advance(TTL)
    first = await store.sweep()
    assert first.more
    assert 0 < first.expired < count
    assert first.expired + (await sweep_all(store)).expired == count
    await backend.advance(TTL)
    first = await store.sweep()
    assert first.more
    assert 0 < first.removed < count
    assert first.removed + (await sweep_all(store)).removed == count
    assert sum((await store.stats()).counts.values()) == 0


async def test_a_claim_promotes_a_bounded_number_and_says_more(
    backend: Backend, store: Store
) -> None:
    order = []
    for _ in range(5):
        order += await put(store, *(new(delay_ms=10) for _ in range(50)))
    await backend.advance(10)
    worker = await hand(store)
    taken = 0
    for _ in range(10):
        batch = await worker.claim(500)
        taken += len(batch.jobs)
        assert batch.next_due_ms == 0 or taken == 250
        if taken == 250:
            break
    assert taken == 250


async def test_scheduled_jobs_are_promoted_by_their_due_time(
    backend: Backend, store: Store
) -> None:
    late, early = await put(store, new(delay_ms=2_000), new(delay_ms=1_000))
    await backend.advance(2_000)
    assert await drain(store, await hand(store)) == [early, late]


async def test_malformed_and_missing_records_do_not_stop_a_sweep(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(ttl_ms=TTL, failed_ms=10 * TTL))
    order = await put(store, *(new(delay_ms=1_000) for _ in range(4)), *(new() for _ in range(4)))
    await backend.spoil(order[0], b"\x00")
    await backend.spoil(order[1], None)
    await backend.spoil(order[4], b"\x00")
    await backend.spoil(order[5], None)
    await backend.advance(TTL)
    await sweep_all(store)
    assert await state_of(store, order[2]) is State.QUEUED
    assert await code(store, order[6]) == "expired"
    await backend.advance(TTL)
    await sweep_all(store)
    worker = await hand(store)
    assert await worker.take() == []
    assert await code(store, order[2]) == "expired"
    assert await code(store, order[0]) == "corrupt"
    assert await code(store, order[4]) == "corrupt"
    assert (await store.stats()).totals["corrupt"] == 4
