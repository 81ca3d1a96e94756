"""What a job carries beyond its request: kept through its whole life, and filtered by."""

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, Attributes, Lock
from asyncendpoints_core.store.listing import MAX_EXAMINED, JobFilter
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause
from support.store.stores import DONE, ERROR, Backend, claims, hand, look, new, put, settle_one

FULL = Attributes(
    tags=tuple("t" * 63 + str(number) for number in range(10)),
    key="Kunde ☃" + "k" * 50,
    parent=JobId(b"parent of 16 byt"),
    schedule="nightly",
    scheduled_ms=(1 << 47) + 1,
    webhooks=("https://example.com/hook", "https://example.org/" + "w" * 1_980),
    lock=Lock(b"lock of 16 bytes", (1 << 47) + 2, until_started=True),
    subject="s" * 255,
)
CARRIED = [
    Attributes(tags=("blue",)),
    Attributes(key="acme"),
    Attributes(parent=JobId(bytes(16))),
    Attributes(schedule="nightly", scheduled_ms=1),
    Attributes(webhooks=("https://example.com/",)),
    Attributes(lock=Lock(bytes(range(16)), 1)),
    Attributes(subject="alice"),
    FULL,
]


@pytest.mark.parametrize("body", [b"", b"x" * 2_000])
async def test_attributes_are_kept_from_submission_to_removal(
    backend: Backend, store: Store, body: bytes
) -> None:
    news = [new(body=body, attributes=one) for one in (*CARRIED, NO_ATTRIBUTES)]
    expected = {one.id: one.attributes for one in news}
    answers = await store.enqueue(news)
    assert [answer.job and answer.job.attributes for answer in answers] == [*expected.values()]
    again = await store.enqueue(news)  # now read from the record
    assert [answer.job and answer.job.attributes for answer in again] == [*expected.values()]

    worker = await hand(store)
    taken = await worker.take(20)
    assert {job.job.id: job.job.attributes for job in taken} == expected
    assert {job.request.body for job in taken} == {body}
    await worker.settle(*(jobs.retry_later(job.claim, ERROR, 1_000) for job in taken))
    await backend.advance(1_000)
    taken = await worker.take(20)
    assert {job.job.id: job.job.attributes for job in taken} == expected
    await worker.settle(
        *(jobs.fail(job.claim, ERROR) for job in taken[:4]),
        *(jobs.complete(job.claim, DONE) for job in taken[4:]),
    )
    redriven = await store.redrive([job.job.id for job in taken[:4]])
    assert [answer.job and answer.job.attributes for answer in redriven] == [
        expected[job.job.id] for job in taken[:4]
    ]
    canceled = await store.cancel([taken[0].job.id])
    assert canceled[0].job is not None
    assert canceled[0].job.attributes == expected[taken[0].job.id]
    page = await store.list(None, 100, None)
    assert {job.id: job.attributes for job in page.jobs} == expected
    await store.delete([taken[0].job.id])
    assert len((await store.list(None, 100, None)).jobs) == len(expected) - 1


async def test_attributes_of_a_delayed_and_of_a_crashing_job(
    backend: Backend, store: Store
) -> None:
    [delayed] = await put(store, new(delay_ms=1_000, ttl_ms=60_000, attributes=FULL))
    assert (await look(store, delayed)).attributes == FULL
    await backend.advance(1_000)
    worker = await hand(store)
    assert (await worker.one()).job.attributes == FULL
    await store.release_worker("w1", Cause.CRASH)
    assert (await look(store, delayed)).attributes == FULL
    assert (await (await hand(store, "w2")).one()).job.attributes == FULL


async def test_time_to_live_and_pause_beside_attributes(backend: Backend, store: Store) -> None:
    await store.pause()
    await backend.advance(10_000)
    [paused] = await put(store, new(body=b"x" * 2_000, attributes=FULL))
    await store.resume()
    taken = await (await hand(store)).one()
    assert (taken.job.id, taken.job.attributes) == (paused, FULL)
    assert taken.request.body == b"x" * 2_000


async def ids_of(store: Store, only: JobFilter, limit: int = 2) -> list[JobId]:
    found: list[JobId] = []
    cursor: str | None = None
    while True:
        page = await store.list(None, limit, cursor, only)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            return found


async def test_a_listing_shows_jobs_of_a_name_with_all_tags(store: Store) -> None:
    news = [
        new("a"),
        new("a", attributes=Attributes(tags=("blue",))),
        new("b", attributes=Attributes(tags=("blue", "green"))),
        new("b", attributes=Attributes(tags=("bluegreen", "a.e"), key="blue")),
        new("a", attributes=Attributes(tags=("green", "blue", "red"))),
        new("a", delay_ms=60_000, attributes=Attributes(tags=("blue",))),
    ]
    await put(store, *news)
    [running] = await (await hand(store)).take(1)

    async def numbers(only: JobFilter) -> list[int]:
        order = [one.id for one in news]
        return [order.index(job_id) for job_id in await ids_of(store, only)]

    assert running.job.id == news[0].id
    assert await numbers(JobFilter(job="a")) == [0, 4, 1, 5]
    assert await numbers(JobFilter(tags=("blue",))) == [4, 2, 1, 5]
    assert await numbers(JobFilter(tags=("blue", "green"))) == [4, 2]
    assert await numbers(JobFilter("b", ("blue",))) == [2]
    assert await numbers(JobFilter(tags=("a.e",))) == [3]
    assert await numbers(JobFilter(tags=("a-e",))) == []
    assert await numbers(JobFilter("none")) == []


async def test_a_filter_does_bounded_work_a_call(store: Store) -> None:
    rare = new("rare")
    await put(store, rare)
    for _ in range(3):
        await put(store, *(new() for _ in range(500)))
    only = JobFilter("rare")
    assert MAX_EXAMINED == 1_000
    first = await store.list(None, 50, None, only)
    assert first.jobs == ()
    assert first.cursor is not None
    second = await store.list(None, 50, first.cursor, only)
    assert [job.id for job in second.jobs] == [rare.id]
    assert second.cursor is None


async def test_a_cursor_belongs_to_its_filter(store: Store) -> None:
    await put(store, *(new() for _ in range(3)))
    cursor = (await store.list(None, 1, None, JobFilter("report"))).cursor
    assert cursor is not None
    assert cursor.replace("-", "").replace("_", "").isalnum()
    for only in (JobFilter(), JobFilter("other"), JobFilter("report", ("blue",))):
        with pytest.raises(ValueError, match="not a cursor"):
            await store.list(None, 1, cursor, only)


async def test_a_listing_is_filtered_by_key_error_and_time(backend: Backend, store: Store) -> None:
    keyed = new("a", attributes=Attributes(key="k", schedule="nightly"))
    early = await put(store, keyed, new("b"))
    middle = await backend.now() + 1
    await backend.advance(1)
    late = await put(store, new("a"), new("b"))
    worker = await hand(store)
    [claim, *_] = claims(await worker.claim(1))
    await settle_one(store, jobs.fail(claim, ERROR))
    for only, expected in (
        (JobFilter(key="k"), early[:1]),
        (JobFilter(key="other"), []),
        (JobFilter(schedule="nightly", error=ERROR.code), early[:1]),
        (JobFilter(schedule="hourly"), []),
        (JobFilter(error=ERROR.code), early[:1]),
        (JobFilter(error="other"), []),
        (JobFilter(since_ms=middle), late),
        (JobFilter(until_ms=middle), early),
        (JobFilter("a", since_ms=middle - 1, until_ms=middle), early[:1]),
    ):
        assert sorted(await ids_of(store, only)) == sorted(expected), only
