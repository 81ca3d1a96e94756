"""Unique jobs: what becomes of an equal submission, and when a lock ends."""

import msgspec
import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import limits_of
from asyncendpoints_core.jobs.records import (
    Attributes,
    Job,
    Lock,
    NewJob,
    OnConflict,
    Priority,
    Request,
)
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause, Enqueued, EnqueueStatus, RedriveStatus
from support.store.stores import (
    DONE,
    ERROR,
    START_MS,
    Backend,
    check_locks,
    hand,
    look,
    new,
    policy,
    put,
)

NAME = b"a lock's 16 byte"
HOUR = 3_600_000


def unique(
    on_conflict: OnConflict = OnConflict.RETURN,
    *,
    seconds: int = 3_600,
    until_started: bool = False,
    name: bytes = NAME,
    tags: tuple[str, ...] = (),
    body: bytes = b"{}",
    delay_ms: int = 0,
    ttl_ms: int = 0,
    priority: Priority = Priority.NORMAL,
    key: str = "",
    job_id: JobId | None = None,
) -> NewJob:
    """Return a submission of a unique job."""
    lock = Lock(name, seconds * 1_000, until_started)
    return new(
        attributes=Attributes(tags=tags, lock=lock),
        on_conflict=on_conflict,
        body=body,
        delay_ms=delay_ms,
        ttl_ms=ttl_ms,
        priority=priority,
        key=key,
        job_id=job_id,
    )


async def submit(store: Store, one: NewJob) -> Enqueued:
    [answer] = await store.enqueue([one])
    return answer


def shown(answer: Enqueued) -> tuple[EnqueueStatus, JobId | None]:
    return answer.status, answer.job.id if answer.job else None


async def depth(store: Store) -> int:
    counts = (await store.stats()).counts
    return counts[State.QUEUED] + counts[State.SCHEDULED]


@pytest.mark.parametrize("delay_ms", [0, 60_000])
async def test_an_equal_submission_gets_the_unfinished_job(
    backend: Backend, store: Store, delay_ms: int
) -> None:
    first = unique(delay_ms=delay_ms, tags=("a",))
    await put(store, first)
    answer = await submit(store, unique(tags=("b",), body=b"[]"))
    assert shown(answer) == (EnqueueStatus.EXISTING, first.id)
    assert answer.job is not None
    assert (answer.job.revision, answer.job.attributes.tags) == (1, ("a",))
    assert await depth(store) == 1
    other = unique(name=b"other lock, here")
    assert shown(await submit(store, other)) == (EnqueueStatus.CREATED, other.id)
    await backend.advance(delay_ms)
    running = (await (await hand(store)).take())[0]
    assert running.job.id in (first.id, other.id)
    assert (await submit(store, unique())).status is EnqueueStatus.EXISTING


async def test_an_equal_submission_is_rejected_with_the_job(store: Store) -> None:
    first = unique(OnConflict.REJECT)
    await put(store, first)
    before = await look(store, first.id)
    refused = unique(OnConflict.REJECT, key="key")
    assert shown(await submit(store, refused)) == (EnqueueStatus.DUPLICATE, first.id)
    assert await look(store, first.id) == before
    # Nothing was stored: neither the key nor the submission.
    await store.cancel([first.id])
    assert shown(await submit(store, refused)) == (EnqueueStatus.CREATED, refused.id)


async def finish(store: Store, backend: Backend, how: str, job_id: JobId) -> None:
    """End a job, each time by another verb."""
    worker = await hand(store)
    if how == "cancel":
        await store.cancel([job_id])
    elif how in ("expire", "expire at claim"):
        await backend.advance(25 * HOUR)
        if how == "expire":
            await store.sweep()
        else:
            assert await (await hand(store, "late")).take() == []
    else:
        claim = (await worker.one()).claim
        if how == "complete":
            await worker.settle(jobs.complete(claim, DONE))
        elif how == "fail":
            await worker.settle(jobs.fail(claim, ERROR))
        elif how == "canceled while running":
            await store.cancel([job_id])
            await worker.settle(jobs.canceled(claim))
        elif how == "timed out":
            await worker.settle(jobs.timed_out(claim, ERROR, None))
        elif how == "refused children":
            await store.configure(policy(max_depth=1))
            await worker.settle(jobs.complete(claim, DONE, tuple(new() for _ in range(3))))
            assert (await look(store, job_id)).state is State.FAILED
        elif how == "reconciled":
            await store.cancel([job_id])
            assert await store.reconcile(worker.id, []) == 1
            assert (await look(store, job_id)).state is State.CANCELED
        elif how == "canceled before a retry":
            await worker.settle(jobs.retry_later(claim, ERROR, 1_000))
            await store.cancel([job_id])
        elif how == "removed":
            await worker.settle(jobs.fail(claim, ERROR))
            assert await store.delete([job_id]) == ["deleted"]
        elif how == "past its retention":
            await worker.settle(jobs.fail(claim, ERROR))
            await backend.advance(50 * 24 * HOUR)
            await store.sweep()
            assert (await store.get([job_id]))[0].gone
        elif how == "crash":
            await store.configure(policy(retry=RetryPolicy(max_crashes=0)))
            await store.release_worker(worker.id, Cause.CRASH)
        elif how == "corrupt":
            await backend.spoil(job_id, b"not a record")
            assert (await look(store, job_id)).state is State.FAILED
        elif how == "lost":
            await worker.settle(jobs.release(claim))
            await backend.spoil(job_id, None)
            assert await worker.take() == []


ENDINGS = [
    *("cancel", "expire", "expire at claim", "complete", "fail", "canceled while running"),
    *("timed out", "crash", "corrupt", "lost", "refused children", "reconciled"),
    *("canceled before a retry", "removed", "past its retention"),
]


@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.parametrize("swept", [False, True])
async def test_a_lock_ends_with_its_job_whatever_ends_that(
    unchecked: Backend, how: str, swept: bool
) -> None:
    store = unchecked.store
    first = unique(seconds=100 * 3_600)
    await put(store, first)
    await finish(store, unchecked, how, first.id)
    if swept:
        await check_locks(unchecked)
        assert (await unchecked.scan()).locks == {}
    second = unique(seconds=100 * 3_600)
    assert shown(await submit(store, second)) == (EnqueueStatus.CREATED, second.id)
    await check_locks(unchecked)
    assert (await unchecked.scan()).locks == {NAME: second.id}
    # The one before has no say in it any more.
    await store.delete([first.id])
    assert (await submit(store, unique())).status is EnqueueStatus.EXISTING


async def test_a_lock_outlives_retries_releases_and_crashes(backend: Backend, store: Store) -> None:
    first = unique()
    await put(store, first)
    worker = await hand(store)
    await worker.settle(jobs.retry_later((await worker.one()).claim, ERROR, 1_000))
    assert (await submit(store, unique())).status is EnqueueStatus.EXISTING
    await backend.advance(1_000)
    await worker.settle(jobs.release((await worker.one()).claim))
    assert (await submit(store, unique())).status is EnqueueStatus.EXISTING
    await worker.one()
    await store.release_worker(worker.id, Cause.CRASH)
    assert shown(await submit(store, unique())) == (EnqueueStatus.EXISTING, first.id)


async def test_a_lock_until_the_start_ends_with_the_first_claim(store: Store) -> None:
    first = unique(until_started=True)
    await put(store, first)
    assert (await submit(store, unique(until_started=True))).status is EnqueueStatus.EXISTING
    worker = await hand(store)
    claim = (await worker.one()).claim
    # Also when it waits again.
    await worker.settle(jobs.release(claim, started=False))
    second = unique(until_started=True)
    assert shown(await submit(store, second)) == (EnqueueStatus.CREATED, second.id)


async def test_a_lock_ends_after_its_time(backend: Backend, store: Store) -> None:
    await put(store, unique(seconds=10))
    await backend.advance(9_999)
    assert (await submit(store, unique(seconds=10))).status is EnqueueStatus.EXISTING
    await backend.advance(1)
    second = unique(seconds=10)
    assert shown(await submit(store, second)) == (EnqueueStatus.CREATED, second.id)
    assert await depth(store) == 2


# Replace


async def replaced(store: Store, later: NewJob) -> Job:
    answer = await submit(store, later)
    assert answer.status is EnqueueStatus.REPLACED
    assert answer.job is not None
    return answer.job


@pytest.mark.parametrize("sizes", [(2, 3), (2, 3_000), (3_000, 2), (3_000, 3_001)])
async def test_a_waiting_job_is_replaced_in_its_place(
    backend: Backend, store: Store, sizes: tuple[int, int]
) -> None:
    replace = OnConflict.REPLACE
    first = unique(replace, body=b"a" * sizes[0], tags=("old",))
    await put(store, first)
    behind = new()
    await put(store, behind)
    before = await look(store, first.id)
    await backend.advance(1_000)
    body = b"b" * sizes[1]
    request = Request("PUT", "/other", "q=1", {"x": "y"}, {"traceparent": "t"}, "text/plain", body)
    later = msgspec.structs.replace(unique(replace, tags=("new",)), request=request)
    job = await replaced(store, later)
    assert (job.id, job.revision, job.created_ms) == (first.id, 2, before.created_ms)
    assert (job.expires_at_ms, job.updated_ms) == (before.expires_at_ms, START_MS + 1_000)
    assert (job.attributes.tags, job.traceparent) == (("new",), "t")
    assert (await store.stats()).bytes == sizes[1] + len(behind.request.body)
    taken = await (await hand(store)).take()
    assert [one.job.id for one in taken] == [first.id, behind.id]
    assert taken[0].request == later.request
    assert (taken[0].job.attempt, taken[0].job.revision) == (1, 3)


async def test_a_debounce_waits_anew_but_not_beyond_the_lock(
    backend: Backend, store: Store
) -> None:
    replace = OnConflict.REPLACE
    first = unique(replace, seconds=10, delay_ms=4_000, ttl_ms=60_000)
    await put(store, first)
    expires = (await look(store, first.id)).expires_at_ms
    for passed in (3_000, 6_000):
        await backend.advance(3_000)
        job = await replaced(store, unique(replace, seconds=10, delay_ms=4_000))
        assert job.state is State.SCHEDULED
        assert job.not_before_ms == START_MS + min(passed + 4_000, 10_000)
        assert (job.id, job.expires_at_ms) == (first.id, expires)
    await backend.advance(4_000)
    worker = await hand(store)
    assert (await worker.one()).job.id == first.id


async def test_a_replacement_moves_between_waiting_in_line_and_for_a_time(
    backend: Backend, store: Store
) -> None:
    replace = OnConflict.REPLACE
    first, behind = unique(replace), new()
    await put(store, first, behind)
    assert (await replaced(store, unique(replace, delay_ms=5_000))).state is State.SCHEDULED
    job = await replaced(store, unique(replace, priority=Priority.HIGH))
    assert (job.state, job.priority, job.not_before_ms) == (State.QUEUED, Priority.HIGH, 0)
    job = await replaced(store, unique(replace, priority=Priority.LOW))
    assert (job.state, job.priority, job.revision) == (State.QUEUED, Priority.LOW, 4)
    counts = (await store.stats()).counts
    assert (counts[State.QUEUED], counts[State.SCHEDULED]) == (2, 0)
    await backend.advance(60_000)
    assert [one.job.id for one in await (await hand(store)).take()] == [behind.id, first.id]


async def test_a_replaced_job_expires_when_it_would_have(backend: Backend, store: Store) -> None:
    replace = OnConflict.REPLACE
    await store.configure(policy(ttl_ms=10_000))
    [first] = await put(store, unique(replace))
    await backend.advance(9_000)
    await replaced(store, unique(replace, delay_ms=8_000))
    await backend.advance(1_000)
    await store.sweep()
    assert (await look(store, first)).state is State.FAILED


async def test_a_job_that_was_claimed_is_left_alone(store: Store) -> None:
    replace = OnConflict.REPLACE
    [first] = await put(store, unique(replace))
    worker = await hand(store)
    claim = (await worker.one()).claim
    await worker.settle(jobs.release(claim, started=False))
    before = await look(store, first)
    second = unique(replace, tags=("second",))
    assert shown(await submit(store, second)) == (EnqueueStatus.CREATED, second.id)
    assert await look(store, first) == before
    # The lock has moved: the second is the one to be replaced, and outlives the first.
    await store.cancel([first])
    third = await replaced(store, unique(replace, tags=("third",)))
    assert (third.id, third.attributes.tags) == (second.id, ("third",))


async def test_a_replacement_obeys_the_bytes_of_the_queue(store: Store) -> None:
    replace = OnConflict.REPLACE
    await store.configure(policy(max_bytes=1_000, max_depth=1))
    [first] = await put(store, unique(replace, body=b"a" * 900))
    refused = unique(replace, body=b"b" * 1_001)
    assert (await submit(store, refused)).status is EnqueueStatus.FULL
    assert (await look(store, first)).revision == 1
    await replaced(store, unique(replace, body=b"c" * 1_000))  # at the depth, in its own room
    assert (await submit(store, unique())).status is EnqueueStatus.EXISTING
    assert (await submit(store, new())).status is EnqueueStatus.FULL
    taken = await (await hand(store)).one()
    assert taken.request.body == b"c" * 1_000


# Sent again


@pytest.mark.parametrize("on_conflict", list(OnConflict))
async def test_a_submission_sent_again_gets_the_same_answer(
    backend: Backend, store: Store, on_conflict: OnConflict
) -> None:
    [first] = await put(store, unique(on_conflict))
    again = unique(on_conflict, delay_ms=5_000, body=b"again", key="key")
    answer = await submit(store, again)
    await backend.advance(1_000)
    repeated = await submit(store, again)
    assert shown(repeated) == shown(answer)
    assert repeated.job == answer.job
    if on_conflict is not OnConflict.REJECT:
        await store.cancel([first])
        assert shown(await submit(store, again)) == shown(answer)
        # The key is bound to that job.
        later = unique(on_conflict, body=b"again", key="key")
        assert shown(await submit(store, later)) == (EnqueueStatus.REPLAYED, first)


async def test_equal_submissions_of_one_batch(store: Store) -> None:
    replace, reject = OnConflict.REPLACE, OnConflict.REJECT
    batch = [
        unique(replace, tags=("a",)),
        new(),
        unique(replace, tags=("b",), priority=Priority.HIGH),
        unique(),
        unique(reject),
        new(priority=Priority.HIGH),
        unique(replace, tags=("c",), delay_ms=1_000),
        unique(tags=("other",), name=b"another lock one"),
    ]
    answers = await store.enqueue(batch)
    first = batch[0].id
    assert [shown(answer) for answer in answers] == [
        (EnqueueStatus.CREATED, first),
        (EnqueueStatus.CREATED, batch[1].id),
        (EnqueueStatus.REPLACED, first),
        (EnqueueStatus.EXISTING, first),
        (EnqueueStatus.DUPLICATE, first),
        (EnqueueStatus.CREATED, batch[5].id),
        (EnqueueStatus.REPLACED, first),
        (EnqueueStatus.CREATED, batch[7].id),
    ]
    job = await look(store, first)
    assert (job.attributes.tags, job.state, job.revision) == (("c",), State.SCHEDULED, 3)
    assert await depth(store) == 4


async def test_with_keys_one_that_its_batch_delays_is_behind_nobody(store: Store) -> None:
    await store.configure(policy(limits=limits_of()))
    replace = OnConflict.REPLACE
    answers = await store.enqueue([new(), unique(replace), unique(replace, delay_ms=1_000)])
    assert [answer.position.ahead for answer in answers] == [0, 0, 0]


async def test_a_closed_queue_replaces_nothing(unchecked: Backend) -> None:
    store = unchecked.store
    await put(store, unique(OnConflict.REPLACE))
    await store.close_queue()
    for on_conflict in OnConflict:
        assert (await submit(store, unique(on_conflict))).status is EnqueueStatus.CLOSED


# Redrive


async def test_a_redrive_takes_a_free_lock_and_no_other(store: Store) -> None:
    first, second = unique(), unique()
    await put(store, first)
    await store.cancel([first.id])
    assert (await submit(store, second)).status is EnqueueStatus.CREATED
    [refused] = await store.redrive([first.id])
    assert (refused.status, refused.job and refused.job.state) == (
        RedriveStatus.DUPLICATE,
        State.CANCELED,
    )
    await store.cancel([second.id])
    both = await store.redrive([first.id, second.id])
    assert [answer.status for answer in both] == [RedriveStatus.REQUEUED, RedriveStatus.DUPLICATE]
    assert shown(await submit(store, unique())) == (EnqueueStatus.EXISTING, first.id)


async def test_a_redriven_job_locks_until_its_next_start(backend: Backend, store: Store) -> None:
    [first] = await put(store, unique(until_started=True, seconds=10))
    worker = await hand(store)
    await worker.settle(jobs.fail((await worker.one()).claim, ERROR))
    await backend.advance(20_000)
    await hand(store)
    [answer] = await store.redrive([first])
    assert answer.status is RedriveStatus.REQUEUED
    equal = unique(until_started=True)
    assert shown(await submit(store, equal)) == (EnqueueStatus.EXISTING, first)
    # It was claimed once, so nothing replaces it.
    later = unique(OnConflict.REPLACE, until_started=True)
    assert shown(await submit(store, later)) == (EnqueueStatus.CREATED, later.id)
    await worker.take(1)
    assert (await submit(store, unique(until_started=True))).status is EnqueueStatus.EXISTING


async def test_the_locks_of_many_jobs_are_swept(store: Store, backend: Backend) -> None:
    news = [unique(name=ids.new(START_MS)) for _ in range(500)]
    await put(store, *news)
    await check_locks(backend)
    assert len((await backend.scan()).locks) == 500
    await store.cancel([one.id for one in news[:499]])
    await check_locks(backend)
    assert list((await backend.scan()).locks.values()) == [news[499].id]
