"""Workers that end badly: who is charged, who is suspected, who runs alone, what goes back."""

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause, LeaseRenewal, Released
from support.store.stores import (
    DONE,
    ERROR,
    Backend,
    Hand,
    claims,
    drain,
    hand,
    look,
    new,
    policy,
    put,
    settle_one,
    state_of,
)


async def crash(store: Store, worker: Hand) -> Released:
    return await store.release_worker(worker.id, Cause.CRASH)


async def test_a_crash_alone_is_charged_and_does_not_spend_an_attempt(store: Store) -> None:
    [job_id] = await put(store, new(max_attempts=1))
    worker = await hand(store)
    await worker.one()
    released = await crash(store, worker)
    assert (released.requeued, released.charged, released.more) == (1, 1, False)
    job = await look(store, job_id)
    assert (job.state, job.attempt, job.crashes, job.releases) == (State.QUEUED, 0, 1, 0)
    assert job.suspect
    assert [attempt.outcome for attempt in job.attempts] == ["recovered"]
    assert (await store.stats()).totals["crashed"] == 1


async def test_the_errors_say_how_the_process_died(backend: Backend, store: Store) -> None:
    await store.configure(policy(retry=RetryPolicy(max_crashes=1, jitter="none")))
    how = "killed by SIGKILL: the container ran out of memory (limit 128 MiB)"
    [first, other] = await put(store, new(), new())
    beside = await hand(store, "beside")
    await beside.take(2)
    await store.release_worker(beside.id, Cause.CRASH, how=how)
    expected = jobs.JobError("worker-crashed", f"its worker's process died: {how}", True)
    assert [each.error for each in (await look(store, first)).attempts] == [expected]
    await store.cancel([other])
    for number in range(2):
        alone = await hand(store, f"alone-{number}")
        assert (await alone.one()).job.id == first
        await store.release_worker(alone.id, Cause.CRASH, how=how)
        await backend.advance(10_000)
    job = await look(store, first)
    text = f"its worker's process died 2 times while running it: {how}"
    final = jobs.JobError("worker-crashed", text)
    assert (job.state, job.error) == (State.FAILED, final)
    assert [each.error for each in job.attempts] == [expected, expected, final]


async def test_the_crash_budget_is_apart_from_the_retry_budget(
    backend: Backend, store: Store
) -> None:
    await store.configure(policy(retry=RetryPolicy(max_retries=1, max_crashes=2, jitter="none")))
    [job_id] = await put(store, new(max_attempts=2))
    for number in range(2):
        worker = await hand(store, f"crashing-{number}")
        await worker.one()
        await crash(store, worker)
        await backend.advance(10_000)
    worker = await hand(store, "failing")
    await settle_one(store, jobs.retry_later((await worker.one()).claim, ERROR, 0))
    job = await look(store, job_id)
    assert (job.attempt, job.crashes, job.suspect) == (1, 2, False)
    last = await hand(store, "last")
    await last.one()
    released = await crash(store, last)
    assert (released.failed, released.requeued, released.charged) == (1, 0, 1)
    job = await look(store, job_id)
    assert job.state is State.FAILED
    assert job.error is not None
    text = "its worker's process died 3 times while running it"
    assert (job.error.code, job.error.message) == ("worker-crashed", text)
    assert job.crashes == 3


async def test_a_single_crash_is_no_plural(store: Store) -> None:
    await store.configure(policy(retry=RetryPolicy(max_crashes=0)))
    [job_id] = await put(store, new())
    worker = await hand(store, "crashing")
    await worker.one()
    await crash(store, worker)
    job = await look(store, job_id)
    assert job.error is not None
    assert job.error.message == "its worker's process died once while running it"


async def test_a_crash_from_the_second_on_backs_off(backend: Backend, store: Store) -> None:
    await store.configure(
        policy(retry=RetryPolicy(initial_ms=2_000, multiplier=3, max_ms=5_000, max_crashes=9))
    )
    await put(store, new())
    for number, backoff in enumerate([0, 2_000, 5_000, 5_000]):
        worker = await hand(store, f"w{number}")
        await worker.one()
        await crash(store, worker)
        other = await hand(store, f"other-{number}")
        if backoff:
            batch = await other.claim()
            assert (batch.jobs, batch.next_due_ms) == ((), backoff)
            await backend.advance(backoff - 1)
            assert await other.take() == []
            await backend.advance(1)


async def test_neighbours_of_a_crash_are_suspected_not_charged(store: Store) -> None:
    order = await put(store, *(new() for _ in range(8)))
    worker = await hand(store)
    await worker.take(8)
    released = await crash(store, worker)
    assert (released.requeued, released.suspected, released.charged) == (8, 8, 0)
    for job_id in order:
        job = await look(store, job_id)
        assert (job.suspect, job.crashes, job.releases, job.attempt) == (True, 0, 0, 0)
    assert (await store.stats()).suspects == 8
    assert (await store.stats()).counts[State.QUEUED] == 8


async def test_suspects_run_alone(store: Store) -> None:
    suspects = await put(store, new(), new())
    worker = await hand(store)
    await worker.take(2)
    await crash(store, worker)
    await put(store, *(new() for _ in range(5)))
    one, two = await hand(store, "one"), await hand(store, "two")
    first = await one.claim(5)
    assert (first.exclusive, first.stop_claiming, len(first.jobs)) == (True, False, 1)
    assert first.jobs[0].job.suspect
    second = await two.claim(5)
    assert (second.exclusive, len(second.jobs)) == (True, 1)
    assert {first.jobs[0].job.id, second.jobs[0].job.id} == set(suspects)
    await one.settle(jobs.complete(first.jobs[0].claim, DONE))
    ordinary = await one.claim(5)
    assert (ordinary.exclusive, len(ordinary.jobs)) == (False, 5)


async def test_a_poison_job_ends_and_its_neighbours_complete(
    backend: Backend, store: Store
) -> None:
    order = await put(store, *(new() for _ in range(8)))
    poison = order[3]
    for number in range(100):
        worker = await hand(store, f"w{number}")
        taken = await worker.take(8)
        if not taken:
            await backend.advance(1_000)
            continue
        if any(job.job.id == poison for job in taken):
            await crash(store, worker)
            if await state_of(store, poison) is State.FAILED:
                break
        else:
            await worker.settle(*(jobs.complete(job.claim, DONE) for job in taken))
    await drain(store, await hand(store, "sweeper"))
    states = [await state_of(store, job_id) for job_id in order]
    assert states.count(State.COMPLETED) == 7
    job = await look(store, poison)
    assert (job.state, job.crashes) == (State.FAILED, 4)
    for job_id in set(order) - {poison}:
        assert (await look(store, job_id)).crashes == 0


async def test_a_busy_worker_is_drained_for_a_suspect(backend: Backend, store: Store) -> None:
    [suspect] = await put(store, new())
    await worker_crashes(store)
    await put(store, *(new() for _ in range(4)))
    busy, other = await hand(store, "busy"), await hand(store, "other")
    held = await hold_one(store, busy)
    held_too = await hold_one(store, other)
    batch = await busy.claim(3)
    assert (batch.stop_claiming, batch.jobs, batch.exclusive) == (True, (), False)
    # The reservation is the first one's: the other goes on with ordinary work.
    ordinary = await other.claim(1)
    assert (ordinary.stop_claiming, len(ordinary.jobs)) == (False, 1)
    assert (await busy.claim(3)).stop_claiming
    await busy.settle(jobs.complete(held, DONE))
    batch = await busy.claim(3)
    assert batch.exclusive
    assert [job.job.id for job in batch.jobs] == [suspect]
    await other.settle(jobs.complete(held_too, DONE))


async def test_a_worker_stays_reserved_while_its_jobs_outlast_a_lease(
    backend: Backend, store: Store
) -> None:
    [suspect] = await put(store, new())
    await worker_crashes(store)
    await put(store, *(new() for _ in range(6)))
    busy, other = await hand(store, "busy"), await hand(store, "other")
    held = await hold_one(store, busy)
    held_too = await hold_one(store, other)
    assert (await busy.claim(3)).stop_claiming
    for _ in range(3):
        assert len(await other.take(1)) == 1
        assert (await busy.claim(3)).stop_claiming
        await backend.advance(policy().lease_ms * 2 // 3)
        await store.heartbeat([LeaseRenewal(busy.id), LeaseRenewal(other.id)])
    await busy.settle(jobs.complete(held, DONE))
    batch = await busy.claim(3)
    assert [job.job.id for job in batch.jobs] == [suspect]
    await other.settle(jobs.complete(held_too, DONE))


async def worker_crashes(store: Store) -> None:
    """Make a suspect of the one job that is ready, and let no worker be near."""
    worker = await hand(store, "crashing")
    await worker.one()
    await crash(store, worker)


async def hold_one(store: Store, worker: Hand) -> jobs.Claim:
    """Let a worker hold an ordinary job although a suspect waits: it was given it before."""
    suspects = [job for job in await worker.take(1) if job.job.suspect]
    if not suspects:
        raise AssertionError("expected the suspect first")
    # Give the suspect back, and take an ordinary one while another worker tries the suspect.
    keeper = await hand(store, f"keeper-of-{worker.id}")
    await worker.settle(jobs.release(suspects[0].claim))
    tried = await keeper.one()
    claim = (await worker.one()).claim
    await keeper.settle(jobs.release(tried.claim))
    return claim


async def test_a_reservation_ends_by_itself(backend: Backend, store: Store) -> None:
    await put(store, new())
    await worker_crashes(store)
    await put(store, *(new() for _ in range(4)))
    first, second = await hand(store, "first"), await hand(store, "second")
    await hold_one(store, first)
    await hold_one(store, second)
    assert (await first.claim(1)).stop_claiming
    await backend.advance(policy().lease_ms - 1)
    assert not (await second.claim(1)).stop_claiming
    await backend.advance(1)
    await store.register((await store.workers())[0].info)
    again = await hand(store, "second")
    again.request = second.request
    assert (await again.claim(1)).stop_claiming


async def test_jobs_that_had_not_started_are_never_charged(store: Store) -> None:
    started, *rest = await put(store, *(new() for _ in range(4)))
    worker = await hand(store)
    await worker.take(4)
    released = await store.release_worker(worker.id, Cause.CRASH, [started])
    assert (released.requeued, released.charged, released.suspected) == (4, 1, 0)
    assert (await look(store, started)).crashes == 1
    for job_id in rest:
        job = await look(store, job_id)
        assert (job.crashes, job.suspect, job.attempts, job.started_ms) == (0, False, (), 0)
        assert job.expires_at_ms


async def test_jobs_killed_for_a_neighbour_go_back_uncharged(store: Store) -> None:
    order = await put(store, *(new() for _ in range(3)))
    worker = await hand(store)
    taken = claims(await worker.claim(3))
    # The supervisor settles the one it killed for, then takes the others back.
    await settle_one(store, jobs.timed_out(taken[1], ERROR, None))
    released = await store.release_worker(worker.id, Cause.KILLED, [order[0]])
    assert (released.requeued, released.charged, released.suspected) == (2, 0, 0)
    job, idle = await look(store, order[0]), await look(store, order[2])
    assert (job.releases, job.crashes, job.suspect) == (1, 0, False)
    assert (idle.releases, idle.attempts) == (0, ())
    assert await drain(store, await hand(store, "w2")) == [order[0], order[2]]


async def test_a_lost_worker_counts_against_the_releases_budget(store: Store) -> None:
    [job_id] = await put(store, new())
    released = Released()
    for number in range(jobs.MAX_RELEASES + 1):
        worker = await hand(store, f"w{number}")
        await worker.one()
        released = await store.release_worker(worker.id, Cause.LOST)
    assert (released.failed, released.requeued) == (1, 0)
    job = await look(store, job_id)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.code == "never-finished"
    assert job.crashes == 0


async def test_jobs_of_a_lost_worker_return_to_their_old_place(store: Store) -> None:
    order = await put(store, *(new() for _ in range(6)))
    lost = await hand(store, "lost")
    await lost.take(3)
    await store.release_worker(lost.id, Cause.LOST)
    assert await drain(store, await hand(store)) == order
    assert (await store.stats()).totals["recovered"] == 3


async def test_a_job_with_a_requested_cancel_ends_canceled(store: Store) -> None:
    for cause in Cause:
        asked, other = await put(store, new(), new())
        worker = await hand(store, f"w-{cause}")
        await worker.take(2)
        await store.cancel([asked])
        released = await store.release_worker(worker.id, cause)
        assert released.canceled == 1
        assert await state_of(store, asked) is State.CANCELED
        await store.cancel([other])


async def test_releasing_twice_or_an_unknown_worker_changes_nothing(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    await worker.one()
    await crash(store, worker)
    job = await look(store, job_id)
    for cause in Cause:
        assert await store.release_worker(worker.id, cause) == Released()
        assert await store.release_worker("nobody", cause) == Released()
    assert await look(store, job_id) == job


async def test_a_suspect_released_in_order_stays_a_suspect(store: Store) -> None:
    await put(store, new())
    await worker_crashes(store)
    worker = await hand(store)
    batch = await worker.claim()
    assert batch.exclusive
    await settle_one(store, jobs.release(batch.jobs[0].claim, started=False))
    again = await worker.claim()
    assert again.exclusive
    await settle_one(store, jobs.retry_later(again.jobs[0].claim, ERROR, 0))
    assert not (await worker.claim()).exclusive


async def test_a_repeated_claim_of_a_suspect_is_alone_too(store: Store) -> None:
    await put(store, new())
    await worker_crashes(store)
    await put(store, new())
    worker = await hand(store)
    first = await store.claim(worker.id, 1, 5)
    again = await store.claim(worker.id, 1, 5)
    assert first.exclusive
    assert again.exclusive
    assert claims(again) == claims(first)
