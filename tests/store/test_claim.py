"""Claims: order, priorities, lost replies, bounds, and heads of the line that cannot be run."""

import asyncio
from collections import Counter

import pytest

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import limits_of
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import MAX_BATCH_BYTES
from support.store.stores import (
    DONE,
    Backend,
    claims,
    drain,
    hand,
    look,
    new,
    policy,
    put,
    settle_one,
    state_of,
)


async def test_a_claim_shows_in_the_job(backend: Backend, store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    await backend.advance(250)
    batch = await worker.claim()
    [taken] = batch.jobs
    now = await backend.now()
    assert (batch.more, batch.exclusive, batch.stop_claiming, batch.refused) == (
        False,
        False,
        False,
        "",
    )
    assert taken.deadline_ms == now + policy().execution_ms
    assert taken.job == await look(store, job_id)
    job = taken.job
    assert (job.state, job.attempt, job.worker, job.started_ms) == (
        State.IN_PROGRESS,
        1,
        "w1",
        now,
    )
    assert (taken.claim.job_id, taken.claim.number, taken.claim.worker) == (
        job_id,
        job.claim,
        "w1",
    )
    assert job.expires_at_ms == 0
    totals = (await store.stats()).totals
    assert (totals["claimed"], totals["wait_ms"]) == (1, 250)


async def test_claim_numbers_only_grow(backend: Backend, store: Store) -> None:
    await put(store, *(new() for _ in range(20)))
    worker, other = await hand(store), await hand(store, "w2")
    numbers = []
    for _ in range(4):
        numbers += [claim.number for claim in claims(await worker.claim(3))]
        numbers += [claim.number for claim in claims(await other.claim(2))]
        await backend.advance(1)
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 20


async def test_a_fence_beyond_two_to_the_52_loses_no_digit(backend: Backend, store: Store) -> None:
    await backend.preset_fence(2**52 + 1)
    await put(store, new(), new(), new())
    worker = await hand(store)
    taken = await worker.take(2)
    assert [job.claim.number for job in taken] == [2**52 + 2, 2**52 + 3]
    assert (await look(store, taken[0].job.id)).claim == 2**52 + 2
    [third] = await worker.take()
    assert third.claim.number == 2**52 + 4
    stale = jobs.Claim(third.job.id, 2**52 + 3, "w1")
    assert await settle_one(store, jobs.complete(stale, DONE)) == "stale"
    assert await settle_one(store, jobs.complete(third.claim, DONE)) == "applied"


@pytest.mark.parametrize("keys", ["", "abc"], ids=["no-keys", "keys"])
async def test_the_numbers_of_a_claim_are_those_of_its_records(
    backend: Backend, store: Store, keys: str
) -> None:
    """The script packs what numbers of fresh jobs have in common once; 256 is not in common."""
    first, late, last = (jobs.Attributes(key=key) for key in keys or ["", "", ""])
    if keys:
        await store.configure(policy(limits=limits_of()))
    await put(store, new(delay_ms=1, attributes=late))
    await put(store, new(attributes=first))
    await backend.advance(1)
    await store.sweep()
    await put(store, new(attributes=last))
    await backend.preset_fence(2**52 + 254)
    taken = await (await hand(store)).take()
    assert [job.claim.number for job in taken] == [2**52 + 255, 2**52 + 256, 2**52 + 257]
    if not keys:  # with keys, the order of their turns is any
        assert [job.job.not_before_ms > 0 for job in taken] == [False, True, False]
    for job in taken:
        assert (await look(store, job.job.id)).claim == job.claim.number
        assert await settle_one(store, jobs.complete(job.claim, DONE)) == "applied"


async def test_first_in_first_out_within_a_priority(store: Store) -> None:
    order = await put(store, *(new() for _ in range(30)))
    assert await drain(store, await hand(store)) == order


async def test_priorities_are_drawn_six_to_three_to_one(store: Store) -> None:
    await put(store, *(new(priority=priority) for priority in Priority for _ in range(60)))
    worker = await hand(store)
    first = await worker.take(50)
    assert Counter(job.job.priority for job in first) == {
        Priority.HIGH: 30,
        Priority.NORMAL: 15,
        Priority.LOW: 5,
    }
    for step in range(0, 50, 10):
        assert Counter(job.job.priority for job in first[step : step + 10])[Priority.LOW] == 1
    for priority in Priority:
        mine = [job.job.id for job in first if job.job.priority is priority]
        assert mine == sorted(mine, key=[job.job.id for job in first].index)


async def test_the_draw_continues_across_claims_of_one(store: Store) -> None:
    await put(store, *(new(priority=priority) for priority in Priority for _ in range(10)))
    workers = [await hand(store, "w1"), await hand(store, "w2")]
    drawn = Counter([(await workers[turn % 2].one()).job.priority for turn in range(10)])
    assert drawn == {Priority.HIGH: 6, Priority.NORMAL: 3, Priority.LOW: 1}


async def test_an_empty_line_gives_its_turns_to_the_others(store: Store) -> None:
    await put(store, *(new(priority=Priority.LOW) for _ in range(5)), new(priority=Priority.HIGH))
    worker = await hand(store)
    assert len(await worker.take(10)) == 6


async def test_a_claim_sent_again_gives_the_same_jobs(backend: Backend, store: Store) -> None:
    await put(store, *(new() for _ in range(6)))
    worker = await hand(store)
    first = await store.claim(worker.id, 1, 3)
    again = await store.claim(worker.id, 1, 3)
    assert claims(again) == claims(first)
    assert again.jobs == first.jobs
    await settle_one(store, jobs.complete(first.jobs[0].claim, DONE))
    assert claims(await store.claim(worker.id, 1, 3)) == claims(first)[1:]
    second = await store.claim(worker.id, 2, 3)
    assert not set(claims(second)) & set(claims(first))
    late = await store.claim(worker.id, 1, 3)  # overtaken by its successor on the way
    assert late.jobs == ()
    assert claims(await store.claim(worker.id, 2, 3)) == claims(second)
    assert (await store.stats()).totals["claimed"] == 6


async def test_a_job_claimed_anew_by_others_is_not_given_again(store: Store) -> None:
    await put(store, new())
    worker, other = await hand(store), await hand(store, "w2")
    taken = await worker.one()
    await settle_one(store, jobs.release(taken.claim))
    await other.one()
    assert (await store.claim(worker.id, 1, 1)).jobs == ()


async def test_claims_at_once_share_the_jobs(store: Store) -> None:
    order = await put(store, *(new() for _ in range(100)))
    workers = [await hand(store, f"w{number}") for number in range(8)]
    batches = await asyncio.gather(*(worker.claim(20) for worker in workers))
    taken = [claim.job_id for batch in batches for claim in claims(batch)]
    assert sorted(taken) == sorted(order)


async def test_only_a_registered_worker_claims(backend: Backend, store: Store) -> None:
    await put(store, new())
    with pytest.raises(WorkerGone):
        await store.claim("nobody", 1, 1)
    worker = await hand(store)
    await backend.advance(policy().lease_ms)
    with pytest.raises(WorkerGone):
        await worker.claim()
    assert (await store.stats()).counts[State.QUEUED] == 1


async def test_a_batch_is_bounded_by_its_bodies(store: Store) -> None:
    size = MAX_BATCH_BYTES // 2 - 10
    await put(store, *(new(body=b"x" * size) for _ in range(3)))
    await put(store, new(body=b"y" * (MAX_BATCH_BYTES + 1)))
    worker = await hand(store)
    first = await worker.claim(10)
    assert (len(first.jobs), first.more) == (2, True)
    second = await worker.claim(10)
    assert (len(second.jobs), second.more) == (1, True)
    third = await worker.claim(10)
    assert (len(third.jobs), third.more) == (1, False)
    assert len(third.jobs[0].request.body) == MAX_BATCH_BYTES + 1


async def test_a_batch_is_bounded_by_count(store: Store) -> None:
    await store.configure(policy(max_depth=2_000))
    for _ in range(3):
        await put(store, *(new() for _ in range(200)))
    worker = await hand(store)
    batch = await worker.claim(5_000)
    assert (len(batch.jobs), batch.more) == (500, True)
    assert len((await worker.claim(7)).jobs) == 7


async def test_more_and_next_due(backend: Backend, store: Store) -> None:
    await put(store, new(), new(), new(delay_ms=700), new(delay_ms=900))
    worker = await hand(store)
    batch = await worker.claim(1)
    assert (batch.more, batch.next_due_ms) == (True, 700)
    batch = await worker.claim(1)
    assert (batch.more, batch.next_due_ms) == (False, 700)
    await backend.advance(750)
    batch = await worker.claim(5)
    assert (len(batch.jobs), batch.next_due_ms) == (1, 150)
    await backend.advance(150)
    batch = await worker.claim(5)
    assert (len(batch.jobs), batch.next_due_ms) == (1, None)


SPOILT = {
    "empty": b"",
    "noise": b"\xff\xfe\xfd not a record",
    "zeros": bytes(40),
    "text": b"hello, this is not a record of any kind, but long enough to look like one" * 3,
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
async def test_a_malformed_record_at_the_head_blocks_nothing(
    backend: Backend, store: Store, spoilt: bytes
) -> None:
    bad, good = await put(store, new(), new())
    await backend.spoil(bad, spoilt)
    worker = await hand(store)
    assert [job.job.id for job in await worker.take()] == [good]
    job = await look(store, bad)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.code == "corrupt"
    assert await backend.set_aside(bad) == spoilt
    assert (await store.stats()).totals["corrupt"] == 1


async def test_a_truncated_record_blocks_nothing(backend: Backend, store: Store) -> None:
    record = b""
    for cut in (1, 2, 5, 20, 30):
        bad, good = await put(store, new(), new())
        record = await backend.record(bad) or b""
        await backend.spoil(bad, record[:cut])
        worker = await hand(store, f"w{cut}")
        assert [job.job.id for job in await worker.take()] == [good]
        assert await state_of(store, bad) is State.FAILED


async def test_a_missing_record_at_the_head_blocks_nothing(backend: Backend, store: Store) -> None:
    bad, good = await put(store, new(), new())
    await backend.spoil(bad, None)
    worker = await hand(store)
    assert [job.job.id for job in await worker.take()] == [good]
    stats = await store.stats()
    assert stats.totals["corrupt"] == 1
    assert sum(stats.counts.values()) == 1


async def test_a_record_of_a_newer_version_is_passed_by_and_left_alone(
    backend: Backend, store: Store
) -> None:
    first, second, third = await put(store, new(), new(), new())
    newer = await backend.make_newer(first)
    worker = await hand(store)
    batch = await worker.claim(1)
    assert [claim.job_id for claim in claims(batch)] == [second]
    assert [claim.job_id for claim in claims(await worker.claim(5))] == [third]
    last = await worker.claim(5)
    assert (last.jobs, last.more) == ((), False)
    assert await backend.record(first) == newer
    assert await backend.set_aside(first) is None
    [found] = await store.get([first])
    assert (found.job, found.gone, found.unreadable) == (None, False, True)


async def test_spoilt_records_among_good_ones(backend: Backend, store: Store) -> None:
    order = await put(store, *(new(priority=p) for _ in range(10) for p in Priority))
    for bad in order[::3]:
        await backend.spoil(bad, b"\x00")
    await backend.spoil(order[1], None)
    worker = await hand(store)
    assert sorted(await drain(store, worker)) == sorted(order[4::3] + order[2::3])


async def test_refusals_say_why(backend: Backend, store: Store) -> None:
    await put(store, new())
    worker = await hand(store)
    await store.cordon([worker.id], 10, "scaler")
    assert (await worker.claim()).refused == "cordoned"
    await store.uncordon([worker.id], "scaler")
    await store.pause()
    assert (await worker.claim()).refused == "paused"
    await store.resume()
    await store.close_queue()
    assert (await worker.claim()).refused == "closed"
    await store.reopen_queue()
    batch = await worker.claim()
    assert (len(batch.jobs), batch.refused) == (1, "")


async def test_a_lost_reply_is_given_again_even_after_a_cordon(store: Store) -> None:
    await put(store, new())
    worker = await hand(store)
    first = await store.claim(worker.id, 1, 1)
    await store.cordon([worker.id], 10, "scaler")
    assert claims(await store.claim(worker.id, 1, 1)) == claims(first)
