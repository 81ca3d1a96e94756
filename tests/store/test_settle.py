"""Settlements: fenced by claim, safe to send twice, and what each leaves in the record."""

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Claim, JobError, Progress, Result
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Settled, SettleStatus
from support.store.outcomes import KINDS
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
    put,
    settle_one,
    state_of,
)


async def test_progress_of_a_job_that_was_never_claimed_is_stale_and_counted(store: Store) -> None:
    [job_id] = await put(store, new())
    nobody = Claim(job_id, 1, "w1")
    assert await store.progress([(nobody, Progress(0.5))]) == [SettleStatus.STALE]
    assert (await store.stats()).totals["stale"] == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_only_the_present_claim_settles(store: Store, kind: str) -> None:
    [job_id] = await put(store, new())
    worker, other = await hand(store), await hand(store, "w2")
    old = (await worker.one()).claim
    await settle_one(store, jobs.release(old))
    current = (await other.one()).claim
    before = await look(store, job_id)

    wrong = [
        old,
        Claim(job_id, current.number, worker.id),  # the right number in the wrong hands
        Claim(job_id, current.number + 1, other.id),
        Claim(job_id, current.number - 1, other.id),
        Claim(job_id, 0, other.id),
        Claim(job_id, 0, ""),
    ]
    stale = Settled(SettleStatus.STALE, State.IN_PROGRESS)
    answers = await store.settle([KINDS[kind](claim) for claim in wrong])
    assert answers == [stale] * len(wrong)
    # Each alone, too: the first outcome of a job in a batch takes a shorter way.
    assert [await store.settle([KINDS[kind](claim)]) for claim in wrong] == [[stale]] * len(wrong)
    assert await look(store, job_id) == before
    assert (await store.stats()).totals["stale"] == 2 * len(wrong)
    progress = await store.progress([(claim, Progress(0.5)) for claim in wrong])
    assert progress == [SettleStatus.STALE] * len(wrong)
    assert await look(store, job_id) == before

    assert await settle_one(store, KINDS[kind](current)) is SettleStatus.APPLIED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", KINDS)
async def test_a_claim_settles_once(store: Store, kind: str, again: str) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    assert await settle_one(store, KINDS[kind](claim)) is SettleStatus.APPLIED
    settled = await look(store, job_id)
    [answer] = await store.settle([KINDS[again](claim)])
    assert answer == Settled(SettleStatus.ALREADY, settled.state)
    assert await store.progress([(claim, Progress(0.1))]) == [SettleStatus.ALREADY]
    assert await look(store, job_id) == settled


async def test_one_batch_of_everything(store: Store) -> None:
    await put(store, *(new() for _ in range(len(KINDS))))
    worker = await hand(store)
    taken = claims(await worker.claim(20))
    unknown = Claim(ids.new(START_MS), taken[0].number, worker.id)
    outcomes = [make(claim) for make, claim in zip(KINDS.values(), taken, strict=True)]
    outcomes += [jobs.complete(unknown, DONE), outcomes[0]]
    answers = await store.settle(outcomes)
    assert [answer.status for answer in answers] == [
        *[SettleStatus.APPLIED] * len(KINDS),
        SettleStatus.GONE,
        SettleStatus.ALREADY,
    ]
    assert [answer.state for answer in answers] == [
        State.COMPLETED,
        State.SCHEDULED,
        State.FAILED,
        State.QUEUED,
        State.QUEUED,
        State.SCHEDULED,
        State.CANCELED,
        State.SCHEDULED,
        State.FAILED,
        None,
        State.COMPLETED,
    ]


async def test_a_result_comes_back_byte_for_byte(store: Store) -> None:
    results = [
        Result("application/json", b"null"),
        Result("application/octet-stream", b""),
        Result("application/pdf", bytes(range(256)) * 50, "bericht ü.pdf"),
        Result("", b"no type"),
        Result("text/plain; charset=utf-8", "☃".encode()),
    ]
    order = await put(store, *(new() for _ in results))
    worker = await hand(store)
    taken = claims(await worker.claim(20))
    await store.settle(
        [jobs.complete(claim, result) for claim, result in zip(taken, results, strict=True)]
    )
    for job_id, result in zip(order, results, strict=True):
        found, stored = await store.result(job_id)
        assert stored == result
        assert found.job == await look(store, job_id)


async def test_a_completed_job(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    await backend.advance(5)
    claim = (await worker.one()).claim
    started = await backend.now()
    await backend.advance(40)
    await settle_one(store, jobs.complete(claim, DONE))
    job = await look(store, job_id)
    now = await backend.now()
    assert (job.state, job.completed_ms, job.attempt, job.error) == (State.COMPLETED, now, 1, None)
    assert job.attempts == (jobs.Attempt(1, started, now, "completed"),)
    totals = (await store.stats()).totals
    assert (totals["completed"], totals["busy_ms"], totals["wait_ms"]) == (1, 40, 5)


async def test_a_retry_spends_its_attempt_and_goes_to_the_tail(
    backend: Backend, store: Store
) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    await settle_one(store, jobs.retry_later((await worker.one()).claim, ERROR, 2_000))
    job = await look(store, job_id)
    assert (job.state, job.attempt, job.error) == (State.SCHEDULED, 1, ERROR)
    assert job.not_before_ms == await backend.now() + 2_000
    assert job.attempts[0].outcome == "retry"
    assert job.attempts[0].error == ERROR
    others = await put(store, new(), new())
    await backend.advance(2_000)
    second = await worker.take()
    assert [taken.job.id for taken in second] == [*others, job_id]
    assert second[-1].job.attempt == 2
    assert (await store.stats()).totals["retried"] == 1


async def test_a_retry_without_delay_is_scheduled_and_due(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    await settle_one(store, jobs.retry_later((await worker.one()).claim, ERROR, 0))
    assert await state_of(store, job_id) is State.SCHEDULED
    assert (await worker.one()).job.attempt == 2


async def test_a_failure_keeps_its_error(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    error = JobError("no-such-customer", "ü" * 1_000)
    await settle_one(store, jobs.fail((await worker.one()).claim, error))
    job = await look(store, job_id)
    assert (job.state, job.error, job.attempts[0].outcome) == (State.FAILED, error, "failed")
    assert (await store.result(job_id))[1] is None


async def test_a_release_returns_to_the_old_place(store: Store) -> None:
    order = await put(store, *(new() for _ in range(5)))
    worker = await hand(store)
    taken = claims(await worker.claim(3))
    await put(store, new())
    await store.settle([jobs.release(claim) for claim in reversed(taken)])
    job = await look(store, order[0])
    assert (job.attempt, job.releases, job.attempts[0].outcome) == (0, 1, "released")
    assert (await drain(store, worker))[:5] == order


async def test_a_release_sent_twice_takes_back_one_attempt(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    await settle_one(store, jobs.retry_later((await worker.one()).claim, ERROR, 0))
    claim = (await worker.one()).claim
    assert await settle_one(store, jobs.release(claim)) is SettleStatus.APPLIED
    assert await settle_one(store, jobs.release(claim)) is SettleStatus.ALREADY
    job = await look(store, job_id)
    assert (job.attempt, job.releases) == (1, 1)


async def test_an_unstarted_release_charges_nothing(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    before = await look(store, job_id)
    await backend.advance(10)
    for _ in range(jobs.MAX_RELEASES + 5):
        await settle_one(store, jobs.release((await worker.one()).claim, started=False))
    job = await look(store, job_id)
    assert (job.state, job.attempt, job.releases) == (State.QUEUED, 0, 0)
    assert (job.attempts, job.started_ms, job.expires_at_ms) == ((), 0, before.expires_at_ms)


async def test_the_releases_budget_ends_a_job(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    for count in range(1, jobs.MAX_RELEASES + 1):
        await settle_one(store, jobs.release((await worker.one()).claim))
        assert (await look(store, job_id)).releases == count
    claim = (await worker.one()).claim
    assert await store.settle([jobs.release(claim)]) == [
        Settled(SettleStatus.APPLIED, State.FAILED)
    ]
    job = await look(store, job_id)
    assert job.error is not None
    assert job.error.code == "never-finished"
    assert len(job.attempts) == jobs.MAX_ATTEMPTS_KEPT
    assert (await store.stats()).totals["failed"] == 1


async def test_a_delayed_release_waits_and_goes_to_the_tail(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    missing = JobError("handler-missing", "no handler named report")
    outcome = jobs.release((await worker.one()).claim, started=False, delay_ms=300, error=missing)
    await settle_one(store, outcome)
    job = await look(store, job_id)
    assert (job.state, job.attempt, job.error) == (State.SCHEDULED, 0, missing)
    others = await put(store, new())
    await backend.advance(300)
    assert await drain(store, worker) == [*others, job_id]


async def test_history_keeps_the_last_ten(store: Store) -> None:
    [job_id] = await put(store, new(max_attempts=100))
    worker = await hand(store)
    for number in range(13):
        error = JobError("handler-error", f"failure {number}", retryable=True)
        await settle_one(store, jobs.retry_later((await worker.one()).claim, error, 0))
    attempts = (await look(store, job_id)).attempts
    assert [attempt.number for attempt in attempts] == list(range(4, 14))
    assert [attempt.error.message for attempt in attempts if attempt.error] == [
        f"failure {number}" for number in range(3, 13)
    ]


async def test_a_time_out_spends_the_attempt(backend: Backend, store: Store) -> None:
    again, ended = await put(store, new(), new())
    worker = await hand(store)
    one, two = claims(await worker.claim(2))
    late = JobError("execution-timeout", "too long", retryable=True)
    await store.settle([jobs.timed_out(one, late, 100), jobs.timed_out(two, late, None)])
    job = await look(store, again)
    assert (job.state, job.attempt, job.error) == (State.SCHEDULED, 1, late)
    job = await look(store, ended)
    assert (job.state, job.error, job.attempts[0].outcome) == (State.FAILED, late, "timed-out")
    assert (await store.stats()).totals["timed_out"] == 2


async def test_progress_shows_and_a_new_run_clears_it(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    before = await look(store, job_id)
    said = Progress(0.25, "rendering ☃ " + "x" * 400)
    assert await store.progress([(claim, Progress(0.1)), (claim, said)]) == ["applied"] * 2
    job = await look(store, job_id)
    assert job.progress == said
    assert job.revision > before.revision
    unknown = Claim(ids.new(START_MS), claim.number, worker.id)
    assert await store.progress([(unknown, said)]) == [SettleStatus.GONE]
    await settle_one(store, jobs.retry_later(claim, ERROR, 0))
    assert (await worker.one()).job.progress is None
