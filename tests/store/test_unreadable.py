"""One record that cannot be read, in a batch or a listing: the others are answered as usual."""

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import fail
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import (
    CancelStatus,
    DeleteStatus,
    EnqueueStatus,
    PromoteStatus,
    RedriveStatus,
)
from support.store.stores import ERROR, Backend, hand, new, put


async def _failed(store: Store) -> list[JobId]:
    jobs = await put(store, new(), new(), new())
    worker = await hand(store)
    for claimed in await worker.take():
        await worker.settle(fail(claimed.claim, ERROR))
    return jobs


async def test_look_ups_and_listings_pass_a_newer_record_by(backend: Backend, store: Store) -> None:
    first, second, third = jobs = await put(store, new(), new(), new())
    await backend.make_newer(second)
    found = await store.get(jobs)
    assert [each.unreadable for each in found] == [False, True, False]
    assert [each.job and each.job.id for each in found] == [first, None, third]
    inspected = await store.inspect(jobs)
    assert [each.found.unreadable for each in inspected] == [False, True, False]
    assert [each.request is None for each in inspected] == [False, True, False]
    found_alone, result = await store.result(second)
    assert (found_alone.unreadable, result) == (True, None)
    assert {job.id for job in (await store.list(None, 10, None)).jobs} == {first, third}
    assert len(await store.get([*jobs, JobId(bytes(16))])) == 4


async def test_a_cancel_leaves_a_newer_record_alone(backend: Backend, store: Store) -> None:
    jobs = await put(store, new(), new(), new())
    newer = await backend.make_newer(jobs[1])
    answers = await store.cancel(jobs)
    assert [answer.status for answer in answers] == [
        CancelStatus.CANCELED,
        CancelStatus.UNREADABLE,
        CancelStatus.CANCELED,
    ]
    assert await backend.record(jobs[1]) == newer


async def test_redrive_and_delete_leave_a_newer_record_alone(
    backend: Backend, store: Store
) -> None:
    jobs = await _failed(store)
    newer = await backend.make_newer(jobs[1])
    assert [answer.status for answer in await store.redrive(jobs[:2])] == [
        RedriveStatus.REQUEUED,
        RedriveStatus.UNREADABLE,
    ]
    assert await store.delete(jobs[1:]) == [DeleteStatus.UNREADABLE, DeleteStatus.DELETED]
    assert await backend.record(jobs[1]) == newer


async def test_a_promotion_leaves_a_newer_record_alone(backend: Backend, store: Store) -> None:
    jobs = await put(store, new(delay_ms=60_000), new(delay_ms=60_000))
    newer = await backend.make_newer(jobs[0])
    assert await store.promote(jobs) == [PromoteStatus.UNREADABLE, PromoteStatus.PROMOTED]
    assert await backend.record(jobs[0]) == newer


async def test_a_submission_answered_by_a_newer_record_affects_no_other(
    backend: Backend, store: Store
) -> None:
    [job] = await put(store, new(key="order-1"))
    await backend.make_newer(job)
    answers = await store.enqueue([new(key="order-1"), new()])
    assert [answer.status for answer in answers] == [
        EnqueueStatus.UNREADABLE,
        EnqueueStatus.CREATED,
    ]


async def test_an_unreadable_record_changes_no_other_answer(backend: Backend, store: Store) -> None:
    jobs = await put(store, new(), new())
    await backend.spoil(jobs[1], b"\x00")
    assert [answer.status for answer in await store.cancel(jobs)] == [
        CancelStatus.CANCELED,
        CancelStatus.FINAL,
    ]
    failed = await _failed(store)
    await backend.spoil(failed[1], b"\x00")
    redriven = await store.redrive(failed[:2])
    assert redriven[0].status is RedriveStatus.REQUEUED
    await backend.spoil(failed[1], b"\x00")
    assert await store.delete(failed[1:]) == [DeleteStatus.DELETED, DeleteStatus.DELETED]
    [found] = await store.get(jobs[1:])
    assert found.job is not None
    assert found.job.state is State.FAILED
