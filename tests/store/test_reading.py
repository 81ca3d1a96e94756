"""Looking up, listing, figures and events."""

import asyncio
import base64
from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncendpoints_core.errors import InvalidCursor
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Priority, Progress
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import Inspected
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Cause, Event, Found
from support.redis.backend import ENDPOINT
from support.store.stores import (
    DONE,
    ERROR,
    START_MS,
    Backend,
    Hand,
    claims,
    hand,
    look,
    new,
    policy,
    put,
    settle_one,
)


async def pages(store: Store, state: State | None, limit: int) -> list[list[ids.JobId]]:
    """Return the ids of every page of a listing."""
    found: list[list[ids.JobId]] = []
    cursor: str | None = None
    while True:
        page = await store.list(state, limit, cursor)
        found.append([job.id for job in page.jobs])
        cursor = page.cursor
        if cursor is None:
            return found
        assert cursor.replace("-", "").replace("_", "").isalnum()
        assert len(page.jobs) == limit


async def one_of_each(backend: Backend, store: Store, worker: Hand) -> dict[State, list[ids.JobId]]:
    """Make three jobs in every state; return them newest first."""
    made: dict[State, list[ids.JobId]] = {state: [] for state in State}
    for number in range(3):
        ran = await put(store, *(new() for _ in range(3)))
        done, failed, running = await worker.take(3)
        await backend.advance(1)
        await settle_one(store, jobs.complete(done.claim, DONE))
        await backend.advance(1)
        await settle_one(store, jobs.fail(failed.claim, ERROR))
        await backend.advance(1)
        [canceled] = await put(store, new())
        await store.cancel([canceled])
        [scheduled] = await put(store, new(delay_ms=60_000))
        made[State.SCHEDULED].insert(0, scheduled)
        made[State.COMPLETED].insert(0, done.job.id)
        made[State.FAILED].insert(0, failed.job.id)
        made[State.CANCELED].insert(0, canceled)
        made[State.IN_PROGRESS].insert(0, running.job.id)
        assert {done.job.id, failed.job.id, running.job.id} == set(ran)
        assert number < 3
    queued = await put(store, new(), new(priority=Priority.HIGH), new(priority=Priority.LOW))
    made[State.QUEUED] = queued[::-1]
    return made


async def test_looking_up_keeps_the_requested_order(store: Store) -> None:
    one, two = await put(store, new("a"), new("b"))
    unknown = ids.new(START_MS)
    found = await store.get([two, unknown, one, two])
    assert [answer.job.name if answer.job else None for answer in found] == ["b", None, "a", "b"]
    assert found[1] == Found()
    assert await store.get([]) == []
    assert await store.result(unknown) == (Found(), None)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_a_state_is_listed_newest_first(backend: Backend, store: Store, limit: int) -> None:
    made = await one_of_each(backend, store, await hand(store))
    for state, expected in made.items():
        listed = await pages(store, state, limit)
        assert [job_id for page in listed for job_id in page] == expected, state


@pytest.mark.parametrize("limit", [1, 4, 7, 500])
async def test_everything_is_listed_running_waiting_final(
    backend: Backend, store: Store, limit: int
) -> None:
    made = await one_of_each(backend, store, await hand(store))
    finals = [
        job_id
        for three in zip(
            made[State.CANCELED], made[State.FAILED], made[State.COMPLETED], strict=True
        )
        for job_id in three
    ]
    expected = [
        *made[State.IN_PROGRESS],
        *made[State.QUEUED],
        *made[State.SCHEDULED],
        *finals,
    ]
    listed = await pages(store, None, limit)
    assert [job_id for page in listed for job_id in page] == expected


async def test_jobs_of_one_millisecond_are_listed_once(store: Store) -> None:
    order = await put(store, *(new() for _ in range(30)))
    worker = await hand(store)
    taken = claims(await worker.claim(30))
    await store.settle(
        [
            jobs.complete(claim, DONE) if number % 2 else jobs.fail(claim, ERROR)
            for number, claim in enumerate(taken)
        ]
    )
    listed = [job_id for page in await pages(store, None, 4) for job_id in page]
    assert sorted(listed) == sorted(order)
    assert listed == sorted(order, reverse=True)  # equal times: by id


async def test_a_job_that_moves_between_pages_is_listed_at_most_once(
    backend: Backend, store: Store
) -> None:
    await put(store, *(new() for _ in range(12)))
    worker = await hand(store)
    held = claims(await worker.claim(4))
    seen: list[ids.JobId] = []
    cursor: str | None = None
    while True:
        page = await store.list(None, 2, cursor)
        seen += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
        await backend.advance(1)
        if held:
            await settle_one(store, jobs.complete(held.pop(), DONE))
        else:
            held = claims(await worker.claim(2))
    assert len(seen) == len(set(seen))
    assert len(seen) >= 6


async def test_a_cursor_of_another_listing_is_refused(store: Store) -> None:
    await put(store, *(new() for _ in range(3)))
    page = await store.list(State.QUEUED, 1, None)
    assert page.cursor is not None
    for cursor in ("", "x", "AAAA", "!!!", page.cursor + "A", page.cursor[:-2], "é", "a" * 5_000):
        with pytest.raises(ValueError, match="cursor"):
            await store.list(State.QUEUED, 1, cursor)
    for state in (None, State.FAILED):
        with pytest.raises(ValueError, match="cursor"):
            await store.list(state, 1, page.cursor)
    assert (await store.list(State.FAILED, 10, None)) == (await store.list(State.FAILED, 1, None))


async def test_the_figures(backend: Backend, store: Store) -> None:
    stats = await store.stats()
    assert stats.counts == dict.fromkeys(State, 0)
    assert (stats.by_name, stats.due_ms, stats.oldest_ms) == ({}, (), 0)
    now = await backend.now()
    await put(store, new("a", body=b"12345"), new("a"), new("b", delay_ms=500))
    await backend.advance(40)
    await put(store, new("b", priority=Priority.HIGH), new("b", delay_ms=100))
    stats = await store.stats()
    assert stats.now_ms == now + 40
    assert stats.counts[State.QUEUED] == 3
    assert stats.counts[State.SCHEDULED] == 2
    nonzero = {
        name: {state: count for state, count in states.items() if count}
        for name, states in stats.by_name.items()
    }
    assert nonzero == {
        "a": {State.QUEUED: 2},
        "b": {State.QUEUED: 1, State.SCHEDULED: 2},
    }
    assert stats.due_ms == (now + 140, now + 500)
    assert stats.oldest_ms == now
    assert stats.bytes == 5 + 4 * 7
    assert stats.totals["created"] == 5
    assert (stats.paused, stats.closed) == (False, False)


async def test_names_without_jobs_vanish_from_the_figures(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new("once"))
    await store.cancel([job_id])
    assert set((await store.stats()).by_name) == {"once"}
    await store.delete([job_id])
    assert (await store.stats()).by_name == {}


async def test_due_times_are_bounded(store: Store) -> None:
    for _ in range(3):
        await put(store, *(new(delay_ms=number + 1) for number in range(50)))
    due = (await store.stats()).due_ms
    assert len(due) == 100
    assert list(due) == sorted(due)
    assert due[0] == (await store.stats()).now_ms + 1


async def test_totals_count_each_thing_once(backend: Backend, store: Store) -> None:
    await put(store, *(new() for _ in range(9)))
    worker = await hand(store)
    one, two, three, four, five, six = claims(await worker.claim(6))
    await backend.advance(10)
    await store.settle(
        [
            jobs.complete(one, DONE),
            jobs.fail(two, ERROR),
            jobs.retry_later(three, ERROR, 1_000),
            jobs.release(four),
            jobs.timed_out(five, ERROR, None),
        ]
    )
    await store.release_worker(worker.id, Cause.CRASH)
    await store.cancel([four.job_id])
    await store.redrive([four.job_id])
    await settle_one(store, jobs.complete(six, DONE))
    totals = {name: count for name, count in (await store.stats()).totals.items() if count}
    assert totals == {
        "created": 9,
        "claimed": 6,
        "completed": 1,
        "failed": 2,
        "retried": 1,
        "released": 1,
        "timed_out": 1,
        "recovered": 1,
        "crashed": 1,
        "canceled": 1,
        "redriven": 1,
        "busy_ms": 60,
    }


async def test_events_report_every_change(backend: Backend, store: Store) -> None:
    worker = await hand(store)
    async with store.events() as events:
        assert await anext(events) == Event(None)
        [job_id] = await put(store, new())
        claim = (await worker.one()).claim
        await store.progress([(claim, Progress(0.5))])
        await settle_one(store, jobs.complete(claim, DONE))
        revisions: list[int] = []
        last = (await look(store, job_id)).revision
        while not revisions or revisions[-1] < last:
            event = await asyncio.wait_for(anext(events), 10)
            if event.job_id is not None:
                assert event.job_id == job_id
                revisions.append(event.revision)
        assert revisions == sorted(revisions)
        assert len(set(revisions)) >= 3


async def test_each_watcher_hears_of_it(store: Store) -> None:
    async with store.events() as one, store.events() as two:
        assert await anext(one) == await anext(two) == Event(None)
        [job_id] = await put(store, new())
        for events in (one, two):
            event = await asyncio.wait_for(anext(events), 10)
            while event.job_id is None:
                event = await asyncio.wait_for(anext(events), 10)
            assert event.job_id == job_id


async def test_revisions_only_grow(backend: Backend, store: Store) -> None:
    await store.configure(policy(lease_ms=3_600_000))
    [job_id] = await put(store, new())
    worker = await hand(store)
    revisions = [(await look(store, job_id)).revision]

    async def changed() -> None:
        revisions.append((await look(store, job_id)).revision)

    claim = (await worker.one()).claim
    await changed()
    await store.progress([(claim, Progress(0.1))])
    await changed()
    await settle_one(store, jobs.retry_later(claim, ERROR, 10))
    await changed()
    await backend.advance(10)
    await store.sweep()
    await changed()
    claim = (await worker.one()).claim
    await changed()
    await store.cancel([job_id])
    await changed()
    await settle_one(store, jobs.canceled(claim))
    await changed()
    await store.redrive([job_id])
    await changed()
    assert revisions == sorted(set(revisions))


async def test_jobs_are_inspected_with_their_requests(backend: Backend, store: Store) -> None:
    small = new("small", body=b"123")
    large = new("large", body=b"x" * 5_000)
    await put(store, small, large)
    unknown = ids.new(START_MS)
    for bodies in (False, True):
        one, none, two = await store.inspect([small.id, unknown, large.id], bodies=bodies)
        assert none == Inspected(Found())
        for answer, made in ((one, small), (two, large)):
            body = made.request.body if bodies else b""
            assert answer.request == msgspec.structs.replace(made.request, body=body)
            assert answer.body_bytes == len(made.request.body)
            assert answer.deadline_ms == 0
            assert answer.found == (await store.get([made.id]))[0]
    worker = await hand(store)
    [first, _] = await worker.take(2)
    [running] = await store.inspect([first.job.id])
    assert running.found.job is not None
    assert (running.found.job.state, running.deadline_ms) == (State.IN_PROGRESS, first.deadline_ms)
    await settle_one(store, jobs.complete(first.claim, DONE))
    [done] = await store.inspect([first.job.id], bodies=True)
    assert done.request == first.request
    assert done.deadline_ms == 0
    assert await store.inspect([]) == []


deep = msgspec.msgpack.encode([""] * 5)[1:] + b"\x91" * 3_000 + b"\x90"


@pytest.mark.parametrize(
    "data",
    [
        b"\x96" + deep,
        b"\x95" + deep,
        *(
            msgspec.msgpack.encode(made)
            for made in (
                ["", 0, 0, "\u00b2", b"x" * 16],
                ["", 0, 0, "\u0663", b"x" * 16],
                ["", 9, 0, 1, b"x" * 16],
                ["", 0, 0, b"\xff", b"x" * 16],
                ["", 0, 0, "1", b"x" * 15],
                ["", 0, 0, "1" * 5_000, b"x" * 16],
            )
        ),
    ],
)
async def test_a_forged_cursor_is_refused(store: Store, data: bytes) -> None:
    await put(store, new())
    forged = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    with pytest.raises(InvalidCursor):
        await store.list(None, 10, forged)


async def test_a_cursor_of_a_section_that_a_listing_does_not_have_is_refused(store: Store) -> None:
    data = msgspec.msgpack.encode(["Queued", 1, 0, "1", b"x" * 16])
    forged = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    with pytest.raises(InvalidCursor):
        await store.list(State.QUEUED, 10, forged)


@given(
    section=st.integers(0, 3),
    begun=st.integers(-(2**63), 2**64 - 1),
    number=st.integers(0, 10**40),
    job_id=st.binary(min_size=16, max_size=16),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_cursor_gives_a_page(
    redis_url: str, section: int, begun: int, number: int, job_id: bytes
) -> None:
    async def run() -> None:
        for store in (MemoryStore(), RedisStore(redis_url, ENDPOINT)):
            cursor = ["", section, begun, str(number), job_id]
            text = base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()
            with suppress(InvalidCursor):
                await store.list(None, 10, text)
            await store.close()

    asyncio.run(run())
