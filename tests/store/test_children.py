"""Jobs that an attempt enqueued: they exist if and only if its outcome was applied."""

import asyncio

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes, ErrorCode, NewJob, Priority, Result
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Settled, SettleStatus
from support.store.stores import (
    DONE,
    Backend,
    hand,
    look,
    new,
    policy,
    put,
    settle_one,
    state_of,
)

APPLIED = Settled(SettleStatus.APPLIED, State.COMPLETED)
REFUSED = Settled(SettleStatus.APPLIED, State.FAILED)


def child(parent: JobId, **given: object) -> NewJob:
    """Return a job that `parent` enqueues."""
    return new("step", attributes=Attributes(parent=parent), **given)  # type: ignore[arg-type]


async def test_the_jobs_of_an_attempt_are_created_when_it_completes(store: Store) -> None:
    [parent] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    first = child(parent, priority=Priority.HIGH, body=b"1")
    later = child(parent, delay_ms=5_000, body=b"x" * 2_000)
    large = child(parent, body=b"y" * 2_000)
    assert [await state_of(store, one.id) for one in (first, later, large)] == [None] * 3
    answers = await store.settle([jobs.complete(claim, DONE, (first, later, large))])
    assert answers == [APPLIED]
    assert (await store.result(parent))[1] == DONE
    assert [await state_of(store, one.id) for one in (first, later, large)] == [
        State.QUEUED,
        State.SCHEDULED,
        State.QUEUED,
    ]
    job = await look(store, later.id)
    assert (job.name, job.attributes.parent, job.not_before_ms - job.created_ms) == (
        "step",
        parent,
        5_000,
    )
    taken = await worker.take()
    assert [(one.job.id, one.request.body) for one in taken] == [
        (first.id, b"1"),
        (large.id, b"y" * 2_000),
    ]
    assert (await store.stats()).totals["created"] == 4


async def test_a_delayed_child_runs_when_it_is_due(backend: Backend) -> None:
    store = backend.store
    [parent] = await put(store, new())
    worker = await hand(store)
    later = child(parent, delay_ms=5_000, body=b"x" * 2_000)
    await worker.settle(jobs.complete((await worker.one()).claim, DONE, (later,)))
    await backend.advance(4_999)
    assert await worker.take() == []
    await backend.advance(1)
    [taken] = await worker.take()
    assert (taken.job.id, taken.request.body) == (later.id, b"x" * 2_000)


async def test_a_settlement_sent_again_creates_nothing(store: Store) -> None:
    [parent] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    outcome = jobs.complete(claim, DONE, (child(parent),))
    assert await store.settle([outcome]) == [APPLIED]
    [taken] = await worker.take()
    await worker.settle(jobs.complete(taken.claim, DONE))
    again = jobs.complete(claim, DONE, (child(parent),))
    for sent in (outcome, again):
        assert await store.settle([sent]) == [Settled(SettleStatus.ALREADY, State.COMPLETED)]
    both = await store.settle([again, outcome])
    assert [one.status for one in both] == [SettleStatus.ALREADY] * 2
    assert (await store.stats()).totals["created"] == 2


async def test_an_outcome_that_is_twice_in_a_batch_creates_its_jobs_once(store: Store) -> None:
    [parent] = await put(store, new())
    claim = (await (await hand(store)).one()).claim
    outcome = jobs.complete(claim, DONE, (child(parent),))
    answers = await store.settle([outcome, outcome])
    assert answers == [APPLIED, Settled(SettleStatus.ALREADY, State.COMPLETED)]
    assert (await store.stats()).totals["created"] == 2


async def test_a_claim_that_is_not_current_creates_nothing(store: Store) -> None:
    [parent] = await put(store, new())
    worker, other = await hand(store), await hand(store, "w2")
    old = (await worker.one()).claim
    await settle_one(store, jobs.release(old))
    stale = jobs.complete(old, DONE, (child(parent),))
    assert await store.settle([stale]) == [Settled(SettleStatus.ALREADY, State.QUEUED)]
    again = (await worker.one()).claim  # of the same worker
    assert await settle_one(store, stale) is SettleStatus.STALE
    await settle_one(store, jobs.release(again))
    current = (await other.one()).claim
    assert await settle_one(store, stale) is SettleStatus.STALE
    await settle_one(store, jobs.fail(current, jobs.JobError("code", "why")))
    await store.delete([parent])
    assert await settle_one(store, stale) is SettleStatus.GONE
    [unclaimed] = await put(store, new())
    never = jobs.complete(jobs.Claim(unclaimed, 1, "w1"), DONE, (child(unclaimed),))
    assert await store.settle([never]) == [Settled(SettleStatus.STALE, State.QUEUED)]
    totals = (await store.stats()).totals
    assert (totals["created"], totals["stale"]) == (2, 3)


async def test_a_job_whose_cancel_was_requested_completes_with_its_children(store: Store) -> None:
    [parent] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    await store.cancel([parent])
    made = child(parent)
    assert await store.settle([jobs.complete(claim, DONE, (made,))]) == [APPLIED]
    assert await state_of(store, made.id) is State.QUEUED


async def test_outcomes_with_and_without_children_are_settled_in_one_call(store: Store) -> None:
    ids = await put(store, *(new() for _ in range(4)))
    worker = await hand(store)
    first, second, third, fourth = (one.claim for one in await worker.take())
    outcomes = [
        jobs.complete(first, DONE, (child(ids[0]), child(ids[0]))),
        jobs.complete(second, DONE),
        jobs.retry_later(third, jobs.JobError("code", "why", True), 1_000),
        jobs.complete(fourth, Result("text/plain", b"z" * 2_000), (child(ids[3]),)),
    ]
    assert await store.settle(outcomes) == [
        APPLIED,
        APPLIED,
        Settled(SettleStatus.APPLIED, State.SCHEDULED),
        APPLIED,
    ]
    assert (await store.result(ids[3]))[1] == Result("text/plain", b"z" * 2_000)
    assert (await store.stats()).by_name["step"][State.QUEUED] == 3


async def test_children_wake_the_workers_that_wait(backend: Backend) -> None:
    store = backend.store
    [parent] = await put(store, new())
    worker, idle = await hand(store), await hand(store, "idle")
    claim = (await worker.one()).claim
    assert await idle.take() == []
    waiting = asyncio.ensure_future(store.wait_for_work(idle.id, 30_000))
    await backend.waiters(1)
    await store.settle([jobs.complete(claim, DONE, (child(parent),))])
    assert await asyncio.wait_for(waiting, 20)


async def test_the_children_of_a_paused_queue_wait(backend: Backend) -> None:
    store = backend.store
    [parent] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    await store.pause()
    await backend.advance(1_000)
    made, later = child(parent), child(parent, delay_ms=1_000)
    assert await store.settle([jobs.complete(claim, DONE, (made, later))]) == [APPLIED]
    assert await worker.take() == []
    await backend.advance(3_000)
    await store.resume()
    assert {one.job.id for one in await worker.take()} == {made.id, later.id}


# What is refused


async def refused(store: Store, parent: JobId) -> str:
    """Return why a job failed that was refused its children."""
    job = await look(store, parent)
    assert job.state is State.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == (ErrorCode.ENQUEUE_REFUSED, False)
    assert job.attempts[-1].outcome == "failed"
    assert job.attempts[-1].error == job.error
    assert (await store.result(parent))[1] is None
    return job.error.message


async def test_children_are_exempt_from_the_depth_up_to_twice_of_it(store: Store) -> None:
    await store.configure(policy(max_depth=3))
    ids = await put(store, new(), new(), new())
    worker = await hand(store)
    first, second, third = (one.claim for one in await worker.take())
    await put(store, new(), new(), new())
    outcomes = [
        jobs.complete(first, DONE, tuple(child(ids[0]) for _ in range(2))),
        jobs.complete(second, DONE, tuple(child(ids[1]) for _ in range(2))),
        jobs.complete(third, DONE, (child(ids[2]),)),
    ]
    assert await store.settle(outcomes) == [APPLIED, REFUSED, APPLIED]
    message = await refused(store, ids[1])
    assert message == "with its 2 jobs more than 2 x maxDepth = 6 would wait"
    stats = await store.stats()
    assert (stats.counts[State.QUEUED], stats.held) == (6, 0)


async def test_children_must_fit_into_the_bytes(store: Store) -> None:
    await store.configure(policy(max_bytes=1_000))
    [parent, other] = await put(store, new(body=b"x" * 400), new(body=b"x" * 400))
    worker = await hand(store)
    first, second = (one.claim for one in await worker.take())
    # The body of the job that completes is freed.
    fits, too_large = child(parent, body=b"y" * 600), child(other, body=b"y" * 401)
    outcomes = [jobs.complete(first, DONE, (fits,)), jobs.complete(second, DONE, (too_large,))]
    assert await store.settle(outcomes) == [APPLIED, REFUSED]
    message = await refused(store, other)
    assert message == "with its 1 jobs more than maxBytes = 1000 would be stored"
    assert (await store.enqueue([new(body=b"z" * 401)]))[0].status == "full"
    assert (await store.enqueue([new(body=b"z" * 400)]))[0].status == "created"


async def test_a_closed_queue_takes_no_children(store: Store) -> None:
    [parent, _] = await put(store, new(), new())
    worker = await hand(store)
    first, second = (one.claim for one in await worker.take())
    await store.close_queue()
    outcomes = [jobs.complete(first, DONE, (child(parent),)), jobs.complete(second, DONE)]
    assert await store.settle(outcomes) == [REFUSED, APPLIED]
    assert await refused(store, parent) == "the endpoint is being deleted"
    await store.reopen_queue()


async def test_a_refused_attempt_that_is_sent_again_stays_failed(store: Store) -> None:
    await store.configure(policy(max_depth=1))
    [parent] = await put(store, new())
    claim = (await (await hand(store)).one()).claim
    outcome = jobs.complete(claim, DONE, tuple(child(parent) for _ in range(3)))
    assert await store.settle([outcome]) == [REFUSED]
    await store.configure(policy(max_depth=100))
    assert await store.settle([outcome]) == [Settled(SettleStatus.ALREADY, State.FAILED)]
    assert (await store.stats()).totals["created"] == 1
    # A person may run it again, with a claim of its own.
    assert (await store.redrive([parent]))[0].status == "requeued"


async def test_a_chain_that_never_ends_is_bounded(store: Store) -> None:
    await store.configure(policy(max_depth=8))
    await put(store, new())
    worker = await hand(store)
    stats, rounds = await store.stats(), 0
    while taken := await worker.take(4):
        rounds += 1
        await worker.settle(
            *(
                jobs.complete(one.claim, DONE, (child(one.job.id), child(one.job.id)))
                for one in taken
            )
        )
        stats = await store.stats()
        assert stats.counts[State.QUEUED] <= 16
        if rounds == 40:
            break
    assert stats.totals["failed"] > 0
    assert stats.totals["created"] == 1 + 2 * stats.totals["completed"]


@pytest.mark.parametrize("count", [1, 100])
async def test_an_outcome_with_many_children(store: Store, count: int) -> None:
    ids = await put(store, *(new() for _ in range(4)))
    worker = await hand(store)
    taken = await worker.take()
    outcomes = [
        jobs.complete(
            one.claim,
            DONE,
            tuple(child(one.job.id, body=b"%d" % n) for n in range(count)),
        )
        for one in taken
    ]
    assert await store.settle(outcomes) == [APPLIED] * len(ids)
    assert (await store.stats()).counts[State.QUEUED] == len(ids) * count
    order = [one.request.body for one in await worker.take(500)]
    assert order == [b"%d" % n for n in range(count)] * len(ids)


async def test_the_end_of_a_parent_is_an_event_for_webhooks(store: Store) -> None:
    await store.configure(policy(webhooks=1, webhook_states=7, max_depth=1))
    [parent] = await put(store, new())
    worker = await hand(store)
    made = child(parent)
    await worker.settle(jobs.complete((await worker.one()).claim, DONE, (made,)))
    await put_nothing_more(store)
    too_many = tuple(child(made.id) for _ in range(3))
    await worker.settle(jobs.complete((await worker.one()).claim, DONE, too_many))
    ended = await store.webhook_events(10)
    assert {one.id: one.state for one in ended} == {
        parent: State.COMPLETED,
        made.id: State.FAILED,
    }


async def put_nothing_more(store: Store) -> None:
    """The depth of clients is what it was: children do not raise it."""
    assert (await store.enqueue([new()]))[0].status == "full"


async def test_an_unreadable_parent_creates_nothing(backend: Backend) -> None:
    store = backend.store
    [parent] = await put(store, new())
    claim = (await (await hand(store)).one()).claim
    await backend.spoil(parent, b"\xa1garbage")
    status = await settle_one(store, jobs.complete(claim, DONE, (child(parent),)))
    assert status in (SettleStatus.STALE, SettleStatus.GONE)
    assert (await store.stats()).totals["created"] == 1
