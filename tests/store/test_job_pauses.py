"""Pauses of single job names: what starts, what waits, and whose time to live stands still."""

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Limit
from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, Attributes, Lock, OnConflict, Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause
from support.store.stores import DONE, Backend, drain, hand, look, new, policy, put, sweep_all

TTL = 60_000


async def test_jobs_of_other_names_start(store: Store) -> None:
    worker = await hand(store)
    first, *_ = await put(store, new("report"))
    running = (await worker.one()).claim
    await store.pause("report")
    await store.pause("report")
    paused, other = await put(store, new("report"), new("image"))
    assert (await store.stats()).paused_jobs == ("report",)
    assert not (await store.stats()).paused
    assert await drain(store, worker) == [other]
    [settled] = await store.settle([jobs.complete(running, DONE)])
    assert (settled.status, (await look(store, first)).state) == ("applied", State.COMPLETED)
    assert (await look(store, paused)).state is State.QUEUED
    await store.resume("image")
    assert await drain(store, worker) == []
    await store.resume("report")
    await store.resume("report")
    assert (await store.stats()).paused_jobs == ()
    assert await drain(store, worker) == [paused]


async def test_a_claim_needs_both_pauses_to_be_over(store: Store) -> None:
    worker = await hand(store)
    waiting = await put(store, new("report"))
    await store.pause("report")
    await store.pause()
    await store.resume("report")
    assert (await worker.claim()).refused == "paused"
    await store.pause("report")
    await store.resume()
    assert await drain(store, worker) == []
    await store.resume("report")
    assert await drain(store, worker) == waiting


async def test_many_paused_jobs_are_passed_in_bounded_steps(store: Store) -> None:
    """However many are in front, and each claim examines few of them."""
    worker = await hand(store)
    await store.pause("report")
    paused = await put(store, *(new("report", priority=Priority.HIGH) for _ in range(450)))
    others = await put(store, *(new("image", priority=Priority.HIGH) for _ in range(3)))
    found = []
    for _ in range(8):
        found += [job.job.id for job in (await worker.claim(10)).jobs]
    assert found == others
    batch = await worker.claim(10)
    assert (batch.jobs, batch.more) == ((), False)  # they do not keep workers awake
    [late] = await put(store, new("image", priority=Priority.HIGH))
    assert [job.job.id for job in (await worker.claim(10)).jobs] == [late]
    await store.resume("report")
    assert [job.job.id for job in (await worker.claim(10)).jobs] == paused[:10]


async def test_a_job_handed_back_behind_paused_ones_starts_again(store: Store) -> None:
    worker = await hand(store)
    await put(store, new("image"))
    early = (await worker.one()).claim
    await put(store, new("report"))
    await store.pause("report")
    assert (await worker.claim()).jobs == ()
    await store.settle([jobs.release(early)])
    assert [job.job.id for job in (await worker.claim()).jobs] == [early.job_id]


async def test_a_replaced_job_that_moves_before_paused_ones_starts(store: Store) -> None:
    worker = await hand(store)
    held = Attributes(lock=Lock(b"first lock, long", 60_000))
    first, _, second = await put(
        store,
        new("image", priority=Priority.LOW, attributes=held, on_conflict=OnConflict.REPLACE),
        new("report", priority=Priority.HIGH),
        new("image", priority=Priority.HIGH),
    )
    await store.pause("report")
    assert [job.job.id for job in (await worker.claim(1)).jobs] == [second]
    moved = new("image", priority=Priority.HIGH, attributes=held, on_conflict=OnConflict.REPLACE)
    assert (await store.enqueue([moved]))[0].status == "replaced"
    assert [job.job.id for job in (await worker.claim()).jobs] == [first]


@pytest.mark.parametrize("attributes", [NO_ATTRIBUTES, Attributes(tags=("blue",))])
async def test_the_time_to_live_stands_still(
    backend: Backend, store: Store, attributes: Attributes
) -> None:
    await store.configure(policy(ttl_ms=TTL))
    before, own, other = await put(
        store,
        new("report", attributes=attributes),
        new("report", ttl_ms=TTL, attributes=attributes),
        new("image", attributes=attributes),
    )
    await backend.advance(10_000)
    await store.pause("report")
    await backend.advance(40_000)
    [during] = await put(store, new("report", attributes=attributes))
    await store.pause()  # both at once count once
    await backend.advance(1_000_000)
    await store.resume()
    await backend.advance(20_000)
    assert (await sweep_all(store)).expired == 1
    assert (await look(store, other)).state is State.FAILED
    now = await backend.now()
    ends = [(await look(store, one)).expires_at_ms for one in (before, own, during)]
    assert ends == [now + TTL - 10_000, now + TTL - 10_000, now + TTL]
    listed = (await store.list(State.QUEUED, 10, None)).jobs
    assert {job.id: job.expires_at_ms for job in listed} == dict(
        zip((before, own, during), ends, strict=True)
    )
    await store.resume("report")
    await backend.advance(TTL - 10_001)
    assert (await sweep_all(store)).expired == 0
    await backend.advance(1)
    assert (await sweep_all(store)).expired == 2
    await backend.advance(9_999)
    assert (await sweep_all(store)).expired == 0
    await backend.advance(1)
    worker = await hand(store)
    assert (await worker.claim()).jobs == ()
    assert (await look(store, during)).state is State.FAILED


async def test_many_pauses_are_kept_in_few_words(backend: Backend, store: Store) -> None:
    await store.configure(policy(ttl_ms=TTL))
    [waiting] = await put(store, new("report"))
    for _ in range(30):
        await store.pause("report")
        await backend.advance(10_000)
        await store.resume("report")
        await backend.advance(1_000)
    now = await backend.now()
    assert (await look(store, waiting)).expires_at_ms == now + TTL - 30_000


async def test_paused_work_is_no_demand(backend: Backend, store: Store) -> None:
    await put(store, new("report"), new("image"), new("report", delay_ms=1_000))
    await store.pause("report")
    stats = await store.stats()
    assert (stats.counts[State.QUEUED], stats.startable, stats.due_ms) == (2, 1, ())
    await store.resume("report")
    stats = await store.stats()
    assert (stats.startable, len(stats.due_ms)) == (2, 1)


async def test_a_paused_suspect_is_passed(store: Store) -> None:
    worker = await hand(store)
    suspects = set(await put(store, new("report"), new("report")))
    assert len((await worker.claim(2)).jobs) == 2
    await store.release_worker(worker.id, Cause.CRASH)
    assert (await store.stats()).suspects == 2
    await store.pause("report")
    [image] = await put(store, new("image"))
    second = await hand(store, "second")
    batch = await second.claim(5)
    assert ([job.job.id for job in batch.jobs], batch.more) == ([image], False)
    await store.resume("report")
    await store.settle([jobs.complete(batch.jobs[0].claim, DONE)])
    [alone] = (await second.claim(5)).jobs
    assert alone.job.id in suspects


async def test_pauses_of_finished_names_are_forgotten(backend: Backend, store: Store) -> None:
    """So that their jobs take the short way again."""
    [job] = await put(store, new("report"))
    await store.pause("report")
    await backend.advance(1_000)
    await store.resume("report")
    await sweep_all(store)
    assert (await look(store, job)).expires_at_ms > 0
    worker = await hand(store)
    assert await drain(store, worker) == [job]
    await sweep_all(store)
    await store.pause("report")
    await sweep_all(store)
    assert (await store.stats()).paused_jobs == ("report",)


async def test_with_limits_jobs_of_other_names_start(store: Store) -> None:
    limits = {"jreport": Limit(concurrency=1), "t": Limit(concurrency=5)}
    await store.configure(policy(limits=limits))
    worker = await hand(store)
    reports = await put(store, new("report"), new("report"))
    [running] = (await worker.claim(5)).jobs
    await store.pause("report")
    [other] = await put(store, new("image"))
    assert [job.job.id for job in (await worker.claim(5)).jobs] == [other]
    await store.settle([jobs.complete(running.claim, DONE)])  # a place is free, and it stays so
    for _ in range(2):
        batch = await worker.claim(5)
        assert (batch.jobs, batch.more) == ((), False)
    await store.resume("report")
    assert [job.job.id for job in (await worker.claim(5)).jobs] == [reports[1]]
