"""Cancel in every state, what it does to a run, and redrive."""

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Progress
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import CancelStatus, LeaseRenewal, Settled, SettleStatus
from support.store.outcomes import KINDS
from support.store.stores import (
    START_MS,
    Backend,
    drain,
    hand,
    look,
    new,
    put,
    settle_one,
)

CANCELED_BY = {kind: make for kind, make in KINDS.items() if kind not in ("complete", "fail")}


@pytest.mark.parametrize("kind", CANCELED_BY)
async def test_after_a_cancel_request_no_run_follows(store: Store, kind: str) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    await store.cancel([job_id])
    [answer] = await store.settle([KINDS[kind](claim)])
    assert answer == Settled(SettleStatus.APPLIED, State.CANCELED)
    job = await look(store, job_id)
    assert (job.state, job.error) == (State.CANCELED, None)
    runs = 0 if kind == "release-unstarted" else 1
    assert [attempt.outcome for attempt in job.attempts] == ["canceled"] * runs
    assert (await store.stats()).totals["canceled"] == 1
    assert await worker.take() == []


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("complete", State.COMPLETED), ("fail", State.FAILED)],
)
async def test_an_end_that_comes_before_the_cancel_stands(
    store: Store, outcome: str, state: State
) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    await store.cancel([job_id])
    await settle_one(store, KINDS[outcome](claim))
    job = await look(store, job_id)
    assert job.state is state
    assert job.cancel_requested_ms


@pytest.mark.parametrize("outcome", ["complete", "fail", "canceled"])
async def test_cancel_of_a_final_job_changes_nothing(store: Store, outcome: str) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    await settle_one(store, KINDS[outcome]((await worker.one()).claim))
    before = await look(store, job_id)
    [answer] = await store.cancel([job_id])
    assert (answer.status, answer.job) == (CancelStatus.FINAL, before)
    assert await look(store, job_id) == before


async def test_worker_of_a_running_job_is_notified_of_its_cancel(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    assert (await store.heartbeat([LeaseRenewal(worker.id)]))[0].cancels == ()
    await store.cancel([job_id])
    for _ in range(2):  # repeated until it is settled
        assert (await store.heartbeat([LeaseRenewal(worker.id)]))[0].cancels == (claim,)
    await settle_one(store, jobs.canceled(claim))
    assert (await store.heartbeat([LeaseRenewal(worker.id)]))[0].cancels == ()


async def test_cancel_in_every_state(backend: Backend, store: Store) -> None:
    queued, scheduled, running = await put(store, new(), new(delay_ms=9), new(name="run"))
    worker = await hand(store)
    first = (await worker.take(2))[0].claim  # both Queued ones; the first goes back
    await settle_one(store, jobs.release(first))
    await backend.advance(3)
    answers = await store.cancel([queued, scheduled, running, ids.new(START_MS)])
    assert [answer.status for answer in answers] == [
        CancelStatus.CANCELED,
        CancelStatus.CANCELED,
        CancelStatus.REQUESTED,
        CancelStatus.MISSING,
    ]
    assert [answer.job for answer in answers[:3]] == [
        await look(store, job_id) for job_id in (queued, scheduled, running)
    ]
    now = await backend.now()
    asked = await look(store, running)
    assert (asked.state, asked.cancel_requested_ms) == (State.IN_PROGRESS, now)
    await backend.advance(3)
    again = await store.cancel([queued, running])
    assert [answer.status for answer in again] == [CancelStatus.FINAL, CancelStatus.REQUESTED]
    assert await look(store, running) == asked  # asking twice changes nothing
    await store.delete([queued])
    assert (await store.cancel([queued]))[0].status is CancelStatus.GONE
    assert await worker.take() == []


async def test_a_redriven_job_is_as_new_with_its_history(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new(ttl_ms=50_000))
    worker = await hand(store)
    claim = (await worker.one()).claim
    await store.progress([(claim, Progress(0.9))])
    await store.cancel([job_id])
    await settle_one(store, jobs.canceled(claim))
    await backend.advance(1_000)
    [other] = await put(store, new())
    [answer] = await store.redrive([job_id])
    job = await look(store, job_id)
    now = await backend.now()
    assert (answer.status, answer.job, answer.position.ahead) == ("requeued", job, 1)
    assert (job.attempt, job.crashes, job.releases) == (0, 0, 0)
    assert (job.started_ms, job.completed_ms, job.cancel_requested_ms) == (0, 0, 0)
    assert (job.error, job.progress, job.not_before_ms) == (None, None, 0)
    assert job.expires_at_ms == now + 86_400_000
    assert [attempt.outcome for attempt in job.attempts] == ["canceled"]
    assert await drain(store, worker) == [other, job_id]
    [final] = await store.redrive([job_id])
    assert (final.status, final.job) == ("not-retryable", await look(store, job_id))


# Only a job of a revision that the caller names


async def test_a_cancel_leaves_a_job_of_another_revision_as_it_is(store: Store) -> None:
    queued, scheduled, running = await put(store, new(), new(delay_ms=9), new(name="run"))
    worker = await hand(store)
    first = (await worker.take(2))[0].claim
    await settle_one(store, jobs.release(first))
    found = [await look(store, job_id) for job_id in (queued, scheduled, running)]
    for named in (set(), {99, 100}):
        for job_id, before in zip((queued, scheduled, running), found, strict=True):
            [answer] = await store.cancel([job_id], revisions=named)
            assert (answer.status, answer.job) == (CancelStatus.CHANGED, before)
            assert await look(store, job_id) == before
    for before in found:
        [answer] = await store.cancel([before.id], revisions={99, before.revision})
        assert answer.status in (CancelStatus.CANCELED, CancelStatus.REQUESTED)
    # What has been done already is answered as without them.
    answers = await store.cancel([queued, running, ids.new(START_MS)], revisions={99})
    assert [answer.status for answer in answers] == ["final", "requested", "missing"]


async def test_redrive_and_delete_leave_a_job_of_another_revision(store: Store) -> None:
    [job_id] = await put(store, new())
    assert [each.status for each in await store.redrive([job_id], revisions={99})] == [
        "not-retryable"
    ]
    assert await store.delete([job_id], revisions={99}) == ["not-final"]
    await store.cancel([job_id])
    before = await look(store, job_id)
    for named in (set(), {before.revision - 1, before.revision + 1}):
        [answer] = await store.redrive([job_id], revisions=named)
        assert (answer.status, answer.job) == ("changed", before)
        assert await store.delete([job_id], revisions=named) == ["changed"]
        assert await look(store, job_id) == before
    [answer] = await store.redrive([job_id], revisions={before.revision})
    assert answer.status == "requeued"
    await store.cancel([job_id])
    after = await look(store, job_id)
    assert await store.delete([job_id], revisions={after.revision}) == ["deleted"]
    assert await store.delete([job_id], revisions={after.revision}) == ["gone"]
