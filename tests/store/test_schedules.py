"""Schedules: one script decides on each time, whoever asks and however often."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes
from asyncendpoints_core.jobs.schedules import Concurrency, FireStatus, Firing, ScheduleState
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from support.store.stores import DONE, ERROR, START_MS, Backend, drain, hand, look, new, policy, put

HASH, OTHER = "a1" * 8, "b2" * 8
HOUR, DAY = 3_600_000, 86_400_000
# The first time after the schedule's creation, and the one after that.
DUE = START_MS + 60_000
MINUTE = 60_000


def job(schedule: str = "nightly", due: int = DUE, **changes: Any) -> jobs.NewJob:
    """Return a job as a schedule makes it."""
    attributes = Attributes(schedule=schedule, scheduled_ms=due, tags=("night",))
    return msgspec.structs.replace(new(**changes), attributes=attributes)


def firing(due: int = DUE, seen: int = START_MS, **changes: Any) -> Firing:
    """Return a firing of the schedule `nightly`, which is due every minute."""
    made: dict[str, Any] = {"schedule": "nightly", "hash": HASH, "next_ms": due + MINUTE}
    made |= {"job": job(due=due)} | changes
    return Firing(due_ms=due, seen_ms=seen, **made)


async def fire(store: Store, one: Firing) -> str:
    """Return what became of a firing."""
    return (await store.fire(one)).status.value


async def state(store: Store) -> ScheduleState:
    """Return the only schedule's state."""
    [found] = (await store.stats()).schedules
    return found


@pytest.fixture
async def scheduled(backend: Backend) -> Store:
    """A store whose policy has one schedule."""
    await backend.store.configure(policy(schedules={"nightly": HASH}))
    return backend.store


async def test_a_schedule_begins_when_it_is_configured(backend: Backend, scheduled: Store) -> None:
    assert await state(scheduled) == ScheduleState("nightly", HASH, START_MS)
    await backend.advance(HOUR)
    await scheduled.configure(policy(schedules={"nightly": HASH}, max_depth=5))
    assert (await state(scheduled)).last_ms == START_MS  # another field changed
    in_force = await scheduled.configure(policy(), overwrite=False)
    assert in_force.schedules == {"nightly": HASH}


async def test_a_due_time_creates_one_job(backend: Backend, scheduled: Store) -> None:
    one = firing()
    assert await fire(scheduled, one) == FireStatus.OUTDATED  # not due yet
    await backend.advance(MINUTE)
    fired = await scheduled.fire(one)
    assert (fired.status, fired.now_ms) == (FireStatus.CREATED, DUE)
    found = await look(scheduled, one.job.id)
    assert (found.state, found.created_ms) == (State.QUEUED, DUE)
    assert found.attributes == Attributes(schedule="nightly", scheduled_ms=DUE, tags=("night",))
    assert await state(scheduled) == ScheduleState("nightly", HASH, DUE, DUE)
    # Sent again after a lost reply, and by another gateway.
    assert await fire(scheduled, one) == FireStatus.CREATED
    assert await fire(scheduled, firing()) == FireStatus.DONE
    assert await fire(scheduled, firing(seen=DUE)) == FireStatus.DONE
    assert (await scheduled.stats()).counts[State.QUEUED] == 1
    worker = await hand(scheduled)
    [claimed] = await worker.take()
    assert claimed.job.attributes.schedule == "nightly"
    assert claimed.request.body == one.job.request.body


async def test_of_many_at_once_one_creates_the_job(backend: Backend, scheduled: Store) -> None:
    await backend.advance(MINUTE)
    answers = await asyncio.gather(*(fire(scheduled, firing()) for _ in range(20)))
    assert sorted(answers) == ["created", *["done"] * 19]


async def test_operators_that_configure_beside_gateways_repeat_and_lose_no_time(
    backend: Backend, scheduled: Store
) -> None:
    same = policy(schedules={"nightly": HASH})
    for due in (DUE, DUE + MINUTE):
        await backend.advance(MINUTE)
        # Two gateways whose clocks are apart: one does not know yet that the time is over.
        early = firing(due + MINUTE, seen=due)
        answers = await asyncio.gather(
            *(scheduled.configure(same) for _ in range(4)),
            *(fire(scheduled, firing(due, seen=due - MINUTE)) for _ in range(4)),
            *(fire(scheduled, early) for _ in range(4)),
            *(scheduled.configure(same, overwrite=False) for _ in range(4)),
        )
        counts = Counter(answer for answer in answers if isinstance(answer, str))
        assert counts == {"created": 1, "done": 3, "outdated": 4}
    assert (await scheduled.stats()).counts[State.QUEUED] == 2


async def test_only_the_definition_of_the_policy_fires(backend: Backend, scheduled: Store) -> None:
    await backend.advance(MINUTE)
    assert await fire(scheduled, firing(hash=OTHER)) == FireStatus.OTHER
    assert await fire(scheduled, firing(schedule="unknown")) == FireStatus.OTHER
    # Changed while due: it begins anew, and the old definition fires nothing any more.
    await scheduled.configure(policy(schedules={"nightly": OTHER}))
    assert await fire(scheduled, firing()) == FireStatus.OTHER
    assert await fire(scheduled, firing(hash=OTHER)) == FireStatus.DONE
    await backend.advance(MINUTE)
    later = firing(DUE + MINUTE, seen=DUE, hash=OTHER)
    assert await fire(scheduled, later) == FireStatus.CREATED


async def test_a_removed_schedule_is_remembered_for_a_day(
    backend: Backend, scheduled: Store
) -> None:
    await backend.advance(MINUTE)
    assert await fire(scheduled, firing()) == FireStatus.CREATED
    await scheduled.configure(policy())
    assert (await scheduled.stats()).schedules == ()
    await backend.advance(MINUTE)
    assert await fire(scheduled, firing(DUE + MINUTE, seen=DUE)) == FireStatus.OTHER
    # There again: what fell due in between is not made up for.
    await scheduled.configure(policy(schedules={"nightly": HASH}))
    assert await fire(scheduled, firing(DUE + MINUTE, seen=DUE)) == FireStatus.DONE
    assert await state(scheduled) == ScheduleState("nightly", HASH, DUE + MINUTE, DUE)
    await scheduled.configure(policy())
    await backend.advance(DAY)
    await scheduled.configure(policy())
    await scheduled.configure(policy(schedules={"nightly": HASH}))
    assert (await state(scheduled)).fired_ms == 0  # forgotten


async def test_only_the_latest_time_fires_and_the_others_are_counted(
    backend: Backend, scheduled: Store
) -> None:
    await backend.advance(4 * MINUTE + 1_000)
    # From a gateway whose clock is behind.
    late = firing(DUE + MINUTE, missed=1)
    assert await fire(scheduled, late) == FireStatus.OUTDATED
    assert await fire(scheduled, firing(DUE + 3 * MINUTE, missed=3)) == FireStatus.CREATED
    shown = await state(scheduled)
    assert (shown.last_ms, shown.fired_ms) == (DUE + 3 * MINUTE, DUE + 3 * MINUTE)
    assert (shown.missed, shown.missed_ms) == (3, await backend.now())
    assert (await scheduled.stats()).counts[State.QUEUED] == 1


async def test_a_sender_that_missed_a_decision_looks_again(
    backend: Backend, scheduled: Store
) -> None:
    await backend.advance(MINUTE)
    assert await fire(scheduled, firing()) == FireStatus.CREATED
    await backend.advance(MINUTE)
    assert await fire(scheduled, firing(DUE + MINUTE, missed=1)) == FireStatus.OUTDATED
    assert await fire(scheduled, firing(DUE + MINUTE, seen=DUE)) == FireStatus.CREATED
    assert (await state(scheduled)).missed == 0


async def test_past_its_deadline_a_time_is_missed(backend: Backend, scheduled: Store) -> None:
    await backend.advance(MINUTE + 5_000)
    on_time = firing(deadline_ms=DUE + 5_000)
    await backend.advance(1)
    assert await fire(scheduled, on_time) == FireStatus.MISSED
    assert await fire(scheduled, on_time) == FireStatus.DONE
    assert (await state(scheduled)).missed == 1
    await backend.advance(MINUTE - 1)
    later = firing(DUE + MINUTE, seen=DUE, deadline_ms=DUE + MINUTE + 5_000)
    assert await fire(scheduled, later) == FireStatus.CREATED
    assert (await scheduled.stats()).counts[State.QUEUED] == 1


async def test_a_full_or_closed_queue_is_tried_again(backend: Backend, scheduled: Store) -> None:
    await scheduled.configure(policy(schedules={"nightly": HASH}, max_depth=1))
    [waiting] = await put(scheduled, new())
    await backend.advance(MINUTE)
    assert await fire(scheduled, firing()) == FireStatus.FULL
    assert (await state(scheduled)).last_ms == START_MS
    await scheduled.cancel([waiting])
    await scheduled.close_queue()
    assert await fire(scheduled, firing()) == FireStatus.CLOSED
    await scheduled.reopen_queue()
    assert await fire(scheduled, firing()) == FireStatus.CREATED
    big = firing(DUE + MINUTE, seen=DUE, job=job(body=b"x" * 2_000))
    await scheduled.configure(policy(schedules={"nightly": HASH}, max_bytes=1_500))
    await backend.advance(MINUTE)
    assert await fire(scheduled, big) == FireStatus.FULL


async def test_a_paused_endpoint_fires(backend: Backend, scheduled: Store) -> None:
    await scheduled.pause()
    await backend.advance(MINUTE)
    big = firing(job=job(body=b"x" * 2_000))
    assert await fire(scheduled, big) == FireStatus.CREATED
    await backend.advance(HOUR)
    await scheduled.resume()
    [claimed] = await (await hand(scheduled)).take()
    assert claimed.request.body == b"x" * 2_000


async def unfinished(backend: Backend, store: Store, how: str) -> JobId:
    """Fire once; return the job, which is then as `how` says."""
    await backend.advance(MINUTE)
    one = firing()
    assert await fire(store, one) == FireStatus.CREATED
    worker = await hand(store)
    if how == "waiting":
        return one.job.id
    taken = await worker.one()
    if how == "retried":
        await store.settle([jobs.retry_later(taken.claim, ERROR, 7 * DAY)])
    elif how == "redriven":
        await store.settle([jobs.fail(taken.claim, ERROR)])
        await store.redrive([one.job.id])
    elif how == "done":
        await store.settle([jobs.complete(taken.claim, DONE)])
    return one.job.id


@pytest.mark.parametrize("how", ["waiting", "running", "retried", "redriven"])
async def test_forbid_skips_while_a_job_is_unfinished(
    backend: Backend, scheduled: Store, how: str
) -> None:
    earlier = await unfinished(backend, scheduled, how)
    await backend.advance(MINUTE)
    forbid = firing(DUE + MINUTE, seen=DUE, concurrency=Concurrency.FORBID)
    assert await fire(scheduled, forbid) == FireStatus.SKIPPED
    shown = await state(scheduled)
    assert (shown.last_ms, shown.fired_ms, shown.skipped) == (DUE + MINUTE, DUE, 1)
    assert shown.skipped_ms == await backend.now()
    assert (await look(scheduled, earlier)).cancel_requested_ms == 0


async def test_forbid_fires_once_the_earlier_job_is_final(
    backend: Backend, scheduled: Store
) -> None:
    await unfinished(backend, scheduled, "done")
    await put(scheduled, new(), job("other"))  # no jobs of this schedule
    await backend.advance(MINUTE)
    forbid = firing(DUE + MINUTE, seen=DUE, concurrency=Concurrency.FORBID)
    assert await fire(scheduled, forbid) == FireStatus.CREATED


@pytest.mark.parametrize("how", ["waiting", "running", "retried", "redriven"])
async def test_replace_cancels_what_is_unfinished(
    backend: Backend, scheduled: Store, how: str
) -> None:
    earlier = await unfinished(backend, scheduled, how)
    await backend.advance(MINUTE)
    replace = firing(DUE + MINUTE, seen=DUE, concurrency=Concurrency.REPLACE)
    assert await fire(scheduled, replace) == FireStatus.CREATED
    found = await look(scheduled, earlier)
    if how == "running":
        assert (found.state, found.cancel_requested_ms) == (State.IN_PROGRESS, DUE + MINUTE)
    else:
        assert found.state is State.CANCELED
    assert (await look(scheduled, replace.job.id)).state is State.QUEUED


async def test_replace_takes_the_place_of_what_it_cancels(
    backend: Backend, scheduled: Store
) -> None:
    limits = policy(schedules={"nightly": HASH}, max_depth=2)
    await scheduled.configure(limits)
    earlier = await unfinished(backend, scheduled, "waiting")
    await put(scheduled, new())
    await backend.advance(MINUTE)
    replace = firing(DUE + MINUTE, seen=DUE, concurrency=Concurrency.REPLACE)
    assert await fire(scheduled, replace) == FireStatus.CREATED
    assert (await look(scheduled, earlier)).state is State.CANCELED
    # Nothing is canceled for a job that finds no room.
    await scheduled.configure(msgspec.structs.replace(limits, max_depth=1))
    await backend.advance(MINUTE)
    again = firing(DUE + 2 * MINUTE, seen=DUE + MINUTE, concurrency=Concurrency.REPLACE)
    assert await fire(scheduled, again) == FireStatus.FULL
    assert (await look(scheduled, replace.job.id)).state is State.QUEUED


async def test_replace_cancels_any_number(backend: Backend, scheduled: Store) -> None:
    due, last = DUE, START_MS
    made: list[JobId] = []
    for _ in range(250):
        await backend.advance(due - await backend.now())
        one = firing(due, seen=last)
        assert await fire(scheduled, one) == FireStatus.CREATED
        made.append(one.job.id)
        due, last = due + MINUTE, due
    await backend.advance(MINUTE)
    replace = firing(due, seen=last, concurrency=Concurrency.REPLACE)
    answers = [await fire(scheduled, replace) for _ in range(6)]
    assert answers[-1] == FireStatus.CREATED
    assert set(answers) <= {FireStatus.CREATED, FireStatus.OUTDATED}
    found = await scheduled.get(made)
    assert {one.job.state for one in found if one.job} == {State.CANCELED}
    assert (await scheduled.stats()).counts[State.QUEUED] == 1


@pytest.mark.parametrize("running", [100, 130, 230])
async def test_replace_reaches_those_behind_many_running_ones(
    backend: Backend, scheduled: Store, running: int
) -> None:
    made = [requested() for _ in range(250)]
    for one in made[:running]:
        assert await fire(scheduled, one) == FireStatus.CREATED
    worker = await hand(scheduled)
    claimed = 0
    while claimed < running:
        claimed += len(await worker.take(running - claimed))
    for one in made[running:]:
        assert await fire(scheduled, one) == FireStatus.CREATED
    replace = requested(concurrency=Concurrency.REPLACE)
    answers = [await fire(scheduled, replace) for _ in range(8)]
    assert answers[-1] == FireStatus.CREATED
    assert set(answers) <= {FireStatus.CREATED, FireStatus.OUTDATED}
    found = [one.job for one in await scheduled.get([one.job.id for one in made]) if one.job]
    asked = [one for one in found[:running] if one.state is State.IN_PROGRESS]
    assert [bool(one.cancel_requested_ms) for one in asked] == [True] * running
    assert {one.state for one in found[running:]} <= {State.CANCELED}
    assert (await scheduled.stats()).counts[State.QUEUED] == 1
    # All of them run on: the next time still reaches the job that was created last.
    again = requested(concurrency=Concurrency.REPLACE)
    assert await fire(scheduled, again) == FireStatus.CREATED
    assert (await look(scheduled, replace.job.id)).state is State.CANCELED


def requested(**changes: Any) -> Firing:
    """Return the firing that a person requests."""
    return firing(due=0, seen=0, next_ms=0, **({"job": job()} | changes))


async def test_a_requested_job_leaves_the_times_as_they_are(
    backend: Backend, scheduled: Store
) -> None:
    assert await fire(scheduled, requested(hash=OTHER)) == FireStatus.OTHER
    one = requested()
    assert await fire(scheduled, one) == FireStatus.CREATED
    assert await fire(scheduled, one) == FireStatus.CREATED  # sent again: the same job
    assert await state(scheduled) == ScheduleState("nightly", HASH, START_MS)
    assert (await look(scheduled, one.job.id)).attributes.schedule == "nightly"
    assert (await scheduled.stats()).counts[State.QUEUED] == 1
    await backend.advance(MINUTE)
    assert await fire(scheduled, firing()) == FireStatus.CREATED
    assert (await scheduled.stats()).counts[State.QUEUED] == 2


@pytest.mark.parametrize("policy_", [Concurrency.FORBID, Concurrency.REPLACE])
async def test_a_requested_job_keeps_the_concurrency_policy(
    backend: Backend, scheduled: Store, policy_: Concurrency
) -> None:
    earlier = requested()
    assert await fire(scheduled, earlier) == FireStatus.CREATED
    answer = await fire(scheduled, requested(concurrency=policy_))
    replaced = policy_ is Concurrency.REPLACE
    assert answer == (FireStatus.CREATED if replaced else FireStatus.SKIPPED)
    found = await look(scheduled, earlier.job.id)
    assert found.state is (State.CANCELED if replaced else State.QUEUED)
    assert (await state(scheduled)).skipped == 0
    # The schedule's own times see requested jobs too.
    await backend.advance(MINUTE)
    forbid = firing(concurrency=Concurrency.FORBID)
    assert await fire(scheduled, forbid) == FireStatus.SKIPPED


async def test_a_requested_job_finds_no_room(scheduled: Store) -> None:
    await scheduled.configure(policy(schedules={"nightly": HASH}, max_depth=1))
    await put(scheduled, new())
    assert await fire(scheduled, requested()) == FireStatus.FULL
    await scheduled.close_queue()
    assert await fire(scheduled, requested()) == FireStatus.CLOSED


async def test_a_hundred_schedules_in_one_second(backend: Backend) -> None:
    store = backend.store
    names = [f"s{number}" for number in range(100)]
    await store.configure(policy(schedules=dict.fromkeys(names, HASH)))
    await backend.advance(MINUTE)
    both = [
        firing(schedule=name, job=job(name, job_id=ids.new(DUE))) for name in names for _ in "12"
    ]
    answers = await asyncio.gather(*(fire(store, one) for one in both))
    assert (answers.count("created"), answers.count("done")) == (100, 100)
    assert len((await store.stats()).schedules) == 100
    assert len(await drain(store, await hand(store))) == 100
