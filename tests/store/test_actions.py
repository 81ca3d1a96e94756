"""Actions on many jobs: which jobs they take, what stops them, and repeated requests."""

import msgspec
import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes, Idempotency
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.actions import (
    KEPT_MS,
    LOOK,
    MAX_KEPT,
    Action,
    ActionKind,
    NewAction,
    sections_of,
)
from asyncendpoints_core.store.listing import JobFilter
from asyncendpoints_core.store.protocol import Store
from support.store.stores import ERROR, Backend, drain, hand, new, policy, put, state_of

CANCEL, RETRY, PURGE = ActionKind


def action(kind: ActionKind, **more: object) -> NewAction:
    return NewAction(ids.new(1), kind, **more)  # type: ignore[arg-type]


async def begin(store: Store, wanted: NewAction) -> JobId:
    begun = await store.begin_action(wanted)
    assert (begun.status, begun.action.state) == ("started", "Running")
    return wanted.id


async def carry_out(store: Store, action_id: JobId, *, steps: int = 1_000) -> Action:
    """Step until the action has ended or waits for room."""
    for _ in range(steps):
        found = await store.step_action(action_id)
        assert found is not None
        if found.state != "Running" or found.waiting:
            return found
    raise AssertionError("it does not end")


async def run(store: Store, wanted: NewAction) -> tuple[str, int, int, int]:
    done = await carry_out(store, await begin(store, wanted))
    return done.state.value, done.matched, done.done, done.skipped


async def failed(store: Store, *news: jobs.NewJob) -> list[JobId]:
    """Make jobs that have failed."""
    worker = await hand(store, "failing")
    made = await put(store, *news)
    for job in await worker.take(len(news)):
        await store.settle([jobs.fail(job.claim, ERROR)])
    return made


async def test_a_cancel_takes_waiting_and_running_jobs_that_match(store: Store) -> None:
    tagged = Attributes(tags=("a", "b"))
    worker = await hand(store)
    [running] = await put(store, new("mine", attributes=tagged))
    [claimed] = await worker.take()
    matching = await put(
        store,
        new("mine", attributes=tagged),
        new("mine", attributes=tagged, delay_ms=60_000),
        new("mine", attributes=tagged, priority=jobs.Priority.HIGH),
        new("mine", attributes=tagged, priority=jobs.Priority.LOW),
    )
    others = await put(store, new("mine", attributes=Attributes(tags=("a",))), new("other"))
    only = JobFilter(job="mine", tags=("b",))
    assert await run(store, action(CANCEL, only=only)) == ("Done", 5, 5, 0)
    assert {await state_of(store, job_id) for job_id in matching} == {State.CANCELED}
    assert {await state_of(store, job_id) for job_id in others} == {State.QUEUED}
    [found] = await store.get([running])
    assert found.job is not None
    assert (found.job.state, found.job.cancel_requested_ms > 0) == (State.IN_PROGRESS, True)
    await store.settle([jobs.release(claimed.claim)])
    assert await state_of(store, running) is State.CANCELED


async def test_a_state_narrows_what_is_taken(store: Store) -> None:
    worker = await hand(store)
    await put(store, new())
    await worker.take()
    queued, later = await put(store, new(), new(delay_ms=60_000))
    assert await run(store, action(CANCEL, state=State.SCHEDULED)) == ("Done", 1, 1, 0)
    assert await state_of(store, queued) is State.QUEUED
    assert await state_of(store, later) is State.CANCELED
    for state in State:
        if state not in (State.FAILED, State.CANCELED):
            with pytest.raises(ValueError, match="retry acts on jobs that are Failed, Canceled"):
                sections_of(RETRY, state)


async def test_a_retry_takes_jobs_that_ended_before_it_began(
    backend: Backend, store: Store
) -> None:
    before = await failed(store, *(new() for _ in range(3)))
    [canceled] = await put(store, new())
    await store.cancel([canceled])
    worker = await hand(store)
    [waiting] = await put(store, new("late"))
    [late] = await worker.take()
    await backend.advance(1_000)
    action_id = await begin(store, action(RETRY, only=JobFilter()))
    await backend.advance(1_000)
    await store.settle([jobs.fail(late.claim, ERROR)])
    ended = await carry_out(store, action_id)
    assert (ended.matched, ended.done, ended.skipped) == (4, 4, 0)
    assert await state_of(store, waiting) is State.FAILED
    assert sorted(await drain(store, worker)) == sorted([*before, canceled])
    by_code = JobFilter(error="handler-error", job="late")
    assert await run(store, action(RETRY, state=State.FAILED, only=by_code)) == ("Done", 1, 1, 0)


async def test_a_purge_removes_final_jobs_only(store: Store) -> None:
    gone = await failed(store, *(new() for _ in range(LOOK + 20)))
    [kept] = await put(store, new())
    assert await run(store, action(PURGE)) == ("Done", len(gone), len(gone), 0)
    assert await state_of(store, kept) is State.QUEUED
    assert all(found.gone for found in await store.get(gone))


async def test_given_ids_are_taken_each_once(store: Store) -> None:
    taken = await put(store, *(new() for _ in range(LOOK + 5)))
    [final] = await failed(store, new("last", priority=jobs.Priority.HIGH))
    wanted = (*taken, final, ids.new(7), taken[0])
    ended = await run(store, action(CANCEL, ids=wanted))
    assert ended == ("Done", len(wanted), len(taken), 3)
    assert {await state_of(store, job_id) for job_id in taken} == {State.CANCELED}


async def test_a_dry_run_counts_and_changes_nothing(store: Store) -> None:
    made = await put(store, *(new() for _ in range(LOOK + 1)))
    acting = await begin(store, action(CANCEL))
    dry = await carry_out(store, await begin(store, action(CANCEL, dry_run=True)))
    assert (dry.state, dry.dry_run, dry.matched, dry.done) == ("Done", True, LOOK + 1, 0)
    assert {await state_of(store, job_id) for job_id in made} == {State.QUEUED}
    assert (await carry_out(store, acting)).done == LOOK + 1


async def test_jobs_that_move_meanwhile_are_taken_once(backend: Backend, store: Store) -> None:
    worker = await hand(store)
    made = await put(store, *(new() for _ in range(3 * LOOK)), *(new(delay_ms=1) for _ in range(5)))
    action_id = await begin(store, action(CANCEL))
    await backend.advance(1)
    running: list[jobs.Claim] = []
    for _ in range(100):
        found = await store.step_action(action_id)
        assert found is not None
        if found.state == "Done":
            break
        # Backwards: to a place where the action has looked already.
        await store.settle([jobs.release(claim) for claim in running[:5]])
        running = [*running[5:], *(job.claim for job in await worker.take(10))]
        await put(store, new("newer"))
    else:
        raise AssertionError("it does not end")
    await store.settle([jobs.release(claim) for claim in running])
    assert {await state_of(store, job_id) for job_id in made} == {State.CANCELED}
    assert found.matched == found.done == len(made)
    newer = await store.list(State.QUEUED, 500, None)
    assert {job.name for job in newer.jobs} <= {"newer"}


async def test_a_retry_waits_for_room_and_leaves_some_to_clients(store: Store) -> None:
    await failed(store, *(new() for _ in range(12)))
    await store.configure(policy(max_depth=10))
    await put(store, *(new("client") for _ in range(5)))
    action_id = await begin(store, action(RETRY))
    found = await carry_out(store, action_id)
    assert (found.state, found.waiting, found.done) == ("Running", True, 4)
    await put(store, new("client"))  # the last place
    worker = await hand(store)
    for _ in range(2):
        await drain(store, worker)
        found = await carry_out(store, action_id)
    assert (found.state, found.waiting, found.done, found.matched) == ("Done", False, 12, 12)


async def test_one_runs_at_a_time_and_a_request_sent_again_is_the_same(store: Store) -> None:
    await put(store, new())
    key = Idempotency("k", b"print")
    wanted = action(CANCEL, idempotency=key)
    first = await store.begin_action(wanted)
    assert await store.begin_action(wanted) == first
    again = await store.begin_action(action(CANCEL, idempotency=key))
    assert (again.status, again.action) == ("replayed", first.action)
    other = await store.begin_action(action(CANCEL, idempotency=Idempotency("k", b"other")))
    assert other.status == "mismatch"
    busy = await store.begin_action(action(PURGE))
    assert (busy.status, busy.action.id) == ("busy", wanted.id)
    now, running = await store.action(None)
    assert running == first.action
    assert now >= first.action.begun_ms
    await carry_out(store, wanted.id)
    assert await store.action(None) == (now, None)
    assert (await store.begin_action(action(PURGE))).status == "started"


async def test_an_abort_keeps_what_was_done(backend: Backend, store: Store) -> None:
    await put(store, *(new() for _ in range(2 * LOOK)))
    action_id = await begin(store, action(CANCEL))
    await store.step_action(action_id)
    await backend.advance(5)
    aborted = await store.abort_action(action_id)
    assert aborted is not None
    assert (aborted.state, aborted.done) == ("Aborted", LOOK)
    assert await store.abort_action(action_id) == aborted
    assert await store.step_action(action_id) == aborted
    counts = (await store.stats()).counts
    assert (counts[State.QUEUED], counts[State.CANCELED]) == (LOOK, LOOK)
    assert await store.abort_action(ids.new(9)) is None
    assert await store.step_action(ids.new(9)) is None


async def test_a_closed_endpoint_ends_a_retry(store: Store) -> None:
    await failed(store, new())
    action_id = await begin(store, action(RETRY))
    await store.close_queue()
    assert (await carry_out(store, action_id)).state == "Aborted"


async def test_a_retry_respects_the_lock_of_an_equal_job(store: Store) -> None:
    lock = jobs.Lock(b"l" * 16, 60_000)
    unique = Attributes(lock=lock)
    [old] = await failed(store, new(attributes=unique))
    await put(store, msgspec.structs.replace(new(attributes=unique)))
    assert await run(store, action(RETRY)) == ("Done", 1, 0, 1)
    assert await state_of(store, old) is State.FAILED


async def test_old_actions_are_forgotten(backend: Backend, store: Store) -> None:
    first = action(PURGE, idempotency=Idempotency("k", b"print"))
    await run(store, first)
    await backend.advance(KEPT_MS - 1)
    await run(store, action(PURGE))
    assert (await store.action(first.id))[1] is not None
    await backend.advance(1)
    second = action(PURGE, idempotency=Idempotency("k", b"other"))
    await run(store, action(PURGE))
    assert (await store.action(first.id))[1] is None
    await run(store, second)
    for _ in range(MAX_KEPT):
        await run(store, action(PURGE, dry_run=True))
    assert (await store.action(second.id))[1] is None
