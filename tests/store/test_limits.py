"""Fair shares among keys, and limits of concurrency and rate, on both stores."""

from collections import Counter

import msgspec
import pytest
from msgspec.structs import replace

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes, NewJob, Priority
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.positions import Position
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause, EnqueueStatus
from support.store.stores import DONE, Backend, Hand, claims, hand, look, new, policy, put


def of(key: str, name: str = "report", priority: Priority = Priority.NORMAL) -> NewJob:
    """Return a job of a key."""
    return new(name, priority=priority, attributes=Attributes(key=key))


async def limited(store: Store, **limits: object) -> Hand:
    """Put limits in force; return a worker."""
    await store.configure(policy(limits=limits_of(**limits)))  # type: ignore[arg-type]
    return await hand(store)


async def order(store: Store, worker: Hand, keys: dict[JobId, str], limit: int = 1) -> str:
    """Claim and complete everything; return the keys in the order in which their jobs started."""
    found = ""
    while taken := await worker.take(limit):
        found += "".join(keys[job.job.id] for job in taken)
        await store.settle([jobs.complete(job.claim, DONE) for job in taken])
    return found


@pytest.mark.parametrize("limit", [1, 10])
async def test_keys_start_in_turn(backend: Backend, store: Store, limit: int) -> None:
    worker = await limited(store)
    flood = dict.fromkeys(await put(store, *(of("a") for _ in range(30))), "a")
    small = dict.fromkeys(await put(store, *(of("b") for _ in range(10))), "b")
    started = await order(store, worker, flood | small, limit)
    assert all(started[:most].count("b") == most // 2 for most in range(2, 21, 2))
    assert Counter(started) == {"a": 30, "b": 10}


async def test_a_key_that_comes_late_waits_for_no_flood(backend: Backend, store: Store) -> None:
    worker = await limited(store)
    keys = dict.fromkeys(await put(store, *(of("a") for _ in range(60))), "a")
    for _ in range(20):
        await store.settle([jobs.complete(job.claim, DONE) for job in await worker.take(1)])
    keys |= dict.fromkeys(await put(store, *(of("b") for _ in range(10))), "b")
    assert (await order(store, worker, keys))[:20].count("b") == 10


async def test_a_weight_multiplies_the_share(backend: Backend, store: Store) -> None:
    worker = await limited(store, keys={"a": Limit(weight=3)})
    keys = dict.fromkeys(await put(store, *(of("a") for _ in range(40))), "a")
    keys |= dict.fromkeys(await put(store, *(of("b") for _ in range(40))), "b")
    assert 29 <= (await order(store, worker, keys))[:40].count("a") <= 31


async def test_a_key_with_canceled_jobs_has_no_debt(backend: Backend, store: Store) -> None:
    worker = await limited(store)
    flood = await put(store, *(of("a") for _ in range(50)))
    keys = dict.fromkeys(await put(store, *(of("b") for _ in range(20))), "b")
    await store.cancel(flood)
    keys |= dict.fromkeys(await put(store, *(of("a") for _ in range(10))), "a")
    assert (await order(store, worker, keys))[:20].count("a") == 10


async def test_jobs_of_a_key_start_by_age(backend: Backend, store: Store) -> None:
    worker = await limited(store)
    first = await put(store, *(of("a") for _ in range(5)))
    assert [job.job.id for job in await worker.take(10)] == first


async def test_jobs_without_a_key_are_one_key(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(concurrency=1))
    keys = dict.fromkeys(await put(store, *(new() for _ in range(20))), "-")
    keys |= dict.fromkeys(await put(store, *(of("b") for _ in range(5))), "b")
    taken = await worker.take(10)
    assert Counter(keys[job.job.id] for job in taken) == {"-": 9, "b": 1}
    await worker.settle(*(jobs.complete(job.claim, DONE) for job in taken))


@pytest.mark.parametrize(
    ("limits", "started"),
    [
        ({"total": Limit(concurrency=3)}, 3),
        ({"jobs": {"report": Limit(concurrency=2)}}, 2 + 4),
        ({"every_key": Limit(concurrency=2)}, 4),
        ({"every_key": Limit(concurrency=2), "keys": {"a": Limit(concurrency=3)}}, 5),
        ({"total": Limit(rate=1, burst=3)}, 3),
        ({"jobs": {"report": Limit(rate=1, burst=1)}}, 1 + 4),
        ({"every_key": Limit(rate=1, burst=1)}, 2),
    ],
)
async def test_no_more_start_than_a_limit_lets(
    backend: Backend, store: Store, limits: dict[str, object], started: int
) -> None:
    worker = await limited(store, **limits)
    await put(store, *(of(key, name) for key in "ab" for name in ("report", "mail") * 2))
    batch = await worker.claim(20)
    assert (len(batch.jobs), batch.more) == (started, False)
    assert await worker.take(20) == []
    assert (await store.stats()).counts[State.QUEUED] == 8 - started


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({}, None),
        ({"every_key": Limit(concurrency=1)}, "key-concurrency"),
        ({"keys": {"a": Limit(rate=0.1, burst=1)}}, "key-rate"),
        ({"jobs": {"report": Limit(concurrency=1)}}, "job-concurrency"),
        ({"jobs": {"report": Limit(rate=0.1, burst=1)}}, "job-rate"),
        ({"total": Limit(concurrency=1)}, "total-concurrency"),
        ({"total": Limit(rate=0.1, burst=1)}, "total-rate"),
        ({"total": Limit(concurrency=1), "every_key": Limit(concurrency=1)}, "key-concurrency"),
    ],
)
async def test_a_waiting_job_names_the_limit_that_holds_it_back(
    backend: Backend, store: Store, limits: dict[str, object], reason: str | None
) -> None:
    worker = await limited(store, **limits)
    first, second, third = await put(store, of("a"), of("a"), of("a"))

    async def reasons() -> list[str | None]:
        return [each.waiting_for for each in await store.inspect([first, second, third])]

    assert await reasons() == [None, None, None]
    [taken] = await worker.take(1)
    assert await reasons() == [None, reason, reason]
    await worker.settle(jobs.complete(taken.claim, DONE))
    await backend.advance(60_000)
    assert await reasons() == [None, None, None]


ENDS = ["complete", "fail", "retry", "release", "worker", "cancel"]
ENDS += ["timed out", "crash", "with children", "refused children", "reconcile", "corrupt"]
ONE_AT_A_TIME = policy(limits=limits_of(every_key=Limit(concurrency=1), total=Limit(concurrency=1)))


@pytest.mark.parametrize("how", ENDS)
async def test_each_end_of_a_run_frees_its_places(backend: Backend, store: Store, how: str) -> None:
    await store.configure(ONE_AT_A_TIME)
    worker = await hand(store)
    [first, _] = await put(store, of("a"), of("a"))
    [taken] = await worker.take(2)
    error = jobs.JobError("handler-error", "no", retryable=True)
    if how == "complete":
        await worker.settle(jobs.complete(taken.claim, DONE))
    elif how == "fail":
        await worker.settle(jobs.fail(taken.claim, error))
    elif how == "retry":
        await worker.settle(jobs.retry_later(taken.claim, error, 5_000))
    elif how == "release":
        await worker.settle(jobs.release(taken.claim))
    elif how == "cancel":
        await store.cancel([first])
        await worker.settle(jobs.canceled(taken.claim))
    elif how == "timed out":
        await worker.settle(jobs.timed_out(taken.claim, error, None))
    elif how in ("with children", "refused children"):
        children = tuple(of("b") for _ in range(1 if how == "with children" else 30))
        if how == "refused children":
            await store.configure(replace(ONE_AT_A_TIME, max_depth=10))
        await worker.settle(jobs.complete(taken.claim, DONE, children))
        expected = State.COMPLETED if how == "with children" else State.FAILED
        assert (await look(store, first)).state is expected
        await store.configure(ONE_AT_A_TIME)
    elif how == "reconcile":
        await store.reconcile("w1", [])
    elif how == "corrupt":
        await backend.spoil(first, b"not a record")
        assert (await look(store, first)).state is State.FAILED
    elif how == "crash":
        await store.configure(replace(ONE_AT_A_TIME, retry=RetryPolicy(max_crashes=0)))
        await store.release_worker("w1", Cause.CRASH)
        assert (await look(store, first)).state is State.FAILED
        worker = await hand(store, "w2")
    else:
        await store.release_worker("w1", Cause.LOST)
        worker = await hand(store, "w2")
    [again] = await worker.take(2)
    assert (again.job.id == first) == (how in ("release", "worker", "reconcile"))


async def test_a_place_is_freed_once(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(concurrency=2))
    await put(store, *(of("a") for _ in range(5)))
    first, _ = await worker.take(5)
    for _ in range(3):
        await worker.settle(jobs.complete(first.claim, DONE))
    assert len(await worker.take(5)) == 1


async def test_a_limit_of_one_job_holds_no_other_back(backend: Backend, store: Store) -> None:
    worker = await limited(store, jobs={"report": Limit(concurrency=1)})
    await put(store, *(new("report") for _ in range(300)))
    [mail] = await put(store, new("mail"))
    taken = [job.job.id for job in await worker.take(5)]
    assert (len(taken), mail in taken) == (2, True)


async def test_a_rate_lets_jobs_start_as_time_passes(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(rate=2, burst=2))
    await put(store, *(of("a") for _ in range(10)))
    batch = await worker.claim(10)
    assert (len(batch.jobs), batch.next_due_ms) == (2, 500)
    await backend.advance(499)
    assert await worker.take(10) == []
    await backend.advance(1)
    assert len(await worker.take(10)) == 1
    await backend.advance(10_000)
    assert len(await worker.take(10)) == 2


async def test_a_claim_sent_again_takes_no_further_token(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(rate=1, burst=3, concurrency=3))
    await put(store, *(of("a") for _ in range(9)))
    first = await store.claim(worker.id, 1, 2)
    for _ in range(3):
        assert claims(await store.claim(worker.id, 1, 2)) == claims(first)
    assert len((await store.claim(worker.id, 2, 9)).jobs) == 1


async def test_no_token_is_returned(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(rate=0.001, burst=2))
    first, *_ = await put(store, *(of("a") for _ in range(5)))
    one, other = await worker.take(5)
    await worker.settle(jobs.release(one.claim, started=False), jobs.release(other.claim))
    assert await worker.take(5) == []
    await store.cancel([first])
    assert await worker.take(5) == []


async def test_a_lowered_limit_stops_starts_and_a_raised_one_allows_them(
    backend: Backend, store: Store
) -> None:
    worker = await limited(store, every_key=Limit(concurrency=3))
    await put(store, *(of("a") for _ in range(10)))
    taken = await worker.take(10)
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=1))))
    await worker.settle(*(jobs.complete(claim, DONE) for claim in claims(taken)[:2]))
    assert await worker.take(10) == []
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=4))))
    assert len(await worker.take(10)) == 3


async def test_limits_begin_and_end_with_jobs_there(backend: Backend, store: Store) -> None:
    worker = await hand(store)
    await put(store, *(of("a") for _ in range(6)))
    await worker.take(2)
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=3))))
    assert len(await worker.take(10)) == 1
    await store.configure(policy())
    assert len(await worker.take(10)) == 3
    assert (await store.stats()).counts[State.IN_PROGRESS] == 6


async def test_a_later_limit_counts_what_runs(backend: Backend, store: Store) -> None:
    worker = await limited(store, total=Limit(rate=1000, burst=1000))
    await put(store, *(of("a") for _ in range(9)))
    taken = await worker.take(2)
    await store.configure(policy(limits=limits_of(total=Limit(concurrency=3))))
    assert len(await worker.take(10)) == 1
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=4))))
    assert len(await worker.take(10)) == 1
    await store.configure(policy(limits=limits_of()))
    await worker.settle(*(jobs.complete(claim, DONE) for claim in claims(taken)))
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=4))))
    assert len(await worker.take(10)) == 2


async def test_jobs_behind_others_of_their_key_expire(backend: Backend, store: Store) -> None:
    worker = await limited(store)
    await put(store, *(of("a") for _ in range(120)))
    [held, *_] = await worker.take(2)
    await worker.settle(jobs.release(held.claim, started=True))
    late = await put(store, *(of("b") for _ in range(120)))
    await backend.advance(policy().ttl_ms)
    [fresh] = await put(store, of("a"))
    while (await store.sweep()).more:
        pass
    assert (await look(store, late[-1])).state is State.FAILED
    assert (await look(store, held.job.id)).state is State.QUEUED
    assert (await look(store, fresh)).state is State.QUEUED
    assert (await store.stats()).counts[State.FAILED] == 238


async def test_a_job_that_waits_for_a_limit_expires(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(concurrency=1))
    [_, second, third] = await put(store, *(of("a") for _ in range(3)))
    await worker.take(10)
    await backend.advance(policy().ttl_ms)
    await store.sweep()
    assert (await look(store, second)).state is State.FAILED
    assert (await look(store, third)).state is State.FAILED


async def test_waiting_jobs_are_listed_by_age(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(concurrency=1))
    ids = await put(store, *(of(key) for key in "abab"))
    taken = await worker.one()
    page = await store.list(State.QUEUED, 2, None)
    rest = await store.list(State.QUEUED, 2, page.cursor)
    assert [job.id for job in (*page.jobs, *rest.jobs)] == [
        job_id for job_id in reversed(ids) if job_id != taken.job.id
    ]


async def test_a_position_names_share_and_rate(backend: Backend, store: Store) -> None:
    every = Limit(rate=0.5, burst=2)
    worker = await limited(store, every_key=every, keys={"c": Limit(weight=3)})
    flood = await put(store, *(of("a") for _ in range(10)))
    answers = await store.enqueue([of("b"), of("c"), of("c"), of("c"), of("")])
    others = [answer.job.id for answer in answers if answer.job]

    async def positions(ids: list[JobId]) -> list[tuple[int, int, int]]:
        found = await store.get(ids)
        for one, (alone, _) in zip(found, [await store.result(each) for each in ids], strict=True):
            assert one.position == alone.position
        return [msgspec.structs.astuple(one.position) for one in found]

    # Of four keys with a mean weight of 1.5, a starts every sixth job, c every second.
    assert (await positions(flood))[1:5] == [
        (6, 1, 0), (12, 2, 2_000), (18, 3, 4_000), (24, 4, 6_000),
    ]  # fmt: skip
    assert (await positions(others))[2:4] == [(2, 1, 0), (4, 2, 0)]
    assert [one.position for one in answers] == [one.position for one in await store.get(others)]
    # Its two tokens are taken: the rest of a is parked, and waits for tokens alone.
    assert len(await worker.take(10)) == 7
    assert (await positions(flood))[2:5] == [(1, 0, 2_000), (2, 1, 4_000), (3, 2, 6_000)]
    await backend.advance(2_500)
    assert (await positions(flood))[2:4] == [(1, 0, 0), (2, 1, 1_500)]


async def test_the_pace_of_the_total_counts_all_that_start_before(
    backend: Backend, store: Store
) -> None:
    await limited(store, total=Limit(rate=0.25), jobs={"image": Limit(rate=0.001)})
    found = await store.get(await put(store, of("a"), of("b"), of("c")))
    places = sorted(one.position for one in found)  # of new keys the order is that of their ids
    assert places == [Position(), Position(1, 0, 4_000), Position(2, 0, 8_000)]
    images = [of("a", "image") for _ in range(9)]
    last = [answer.position for answer in await store.enqueue(images)]
    assert (last[1].before, last[1].rate_ms) == (1, 1_000_000)
    assert (last[8].before, last[8].rate_ms) == (8, 3_600_000)


async def test_a_full_key_says_when_its_next_job_may_start(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(rate=0.1, depth=1))
    await put(store, of("a"))
    assert len(await worker.take(1)) == 1
    await put(store, of("a"), of("b"))
    [answer] = await store.enqueue([of("a")])
    assert (answer.status, answer.key) == (EnqueueStatus.KEY_FULL, "a")
    assert answer.position.rate_ms == 10_000


async def test_a_suspect_obeys_limits(backend: Backend, store: Store) -> None:
    worker = await limited(store, every_key=Limit(concurrency=1))
    [first] = await put(store, of("a"))
    await worker.take(1)
    [second] = await put(store, of("a"))
    await store.release_worker("w1", Cause.CRASH)
    worker, other = await hand(store, "w2"), await hand(store, "w3")
    [taken] = await worker.take(5)
    assert taken.job.id == first
    assert await other.take(5) == []
    await worker.settle(jobs.complete(taken.claim, DONE))
    assert [job.job.id for job in await other.take(5)] == [second]


async def test_a_suspect_waits_for_its_limit(backend: Backend, store: Store) -> None:
    worker = await limited(store, total=Limit(rate=1, burst=1))
    [first] = await put(store, of("a"))
    await worker.take(1)
    await store.release_worker("w1", Cause.CRASH)
    worker = await hand(store, "w2")
    assert await worker.take(5) == []
    await backend.advance(1_000)
    assert [job.job.id for job in await worker.take(5)] == [first]


async def test_priorities_keep_their_shares(backend: Backend, store: Store) -> None:
    worker = await limited(store)
    await put(store, *(of("a", priority=priority) for priority in Priority for _ in range(20)))
    taken = await worker.take(10)
    assert Counter(job.job.priority for job in taken) == {
        Priority.HIGH: 6,
        Priority.NORMAL: 3,
        Priority.LOW: 1,
    }


async def test_what_is_held_back_is_no_demand(backend: Backend, store: Store) -> None:
    async def startable() -> tuple[int, int]:
        stats = await store.stats()
        return stats.startable, stats.counts[State.QUEUED]

    worker = await limited(
        store,
        every_key=Limit(concurrency=2),
        jobs={"mail": Limit(rate=1, burst=3)},
        total=Limit(concurrency=20),
    )
    await put(store, *(of("a") for _ in range(50)))
    assert await startable() == (2, 50)
    await put(store, *(of("b") for _ in range(20)), *(new("mail") for _ in range(10)))
    assert await startable() == (2 + 2 + 3, 80)
    taken = await worker.take(100)
    assert len(taken) == 7
    assert await startable() == (0, 73)
    assert not (await worker.claim(5)).more
    await worker.settle(*(jobs.complete(claim, DONE) for claim in claims(taken)))
    await put(store, *(new() for _ in range(40)))
    assert (await startable())[0] == 20  # the total's


async def test_without_limits_all_that_wait_are_demand(backend: Backend, store: Store) -> None:
    await limited(store, keys={"a": Limit(weight=3)})
    await put(store, *(of(f"{i % 150}") for i in range(400)))
    assert (await store.stats()).startable == 400
    await store.configure(policy())
    assert (await store.stats()).startable == 400


async def test_a_key_with_too_many_waiting_jobs_gets_no_more(
    backend: Backend, store: Store
) -> None:
    worker = await limited(store, every_key=Limit(depth=3), keys={"b": Limit(depth=1)})
    one = new(delay_ms=1_000, attributes=Attributes(key="a"), key="k1", fingerprint=b"f")
    await put(store, one, of("a", "mail"), of("a", priority=Priority.LOW))
    again = msgspec.structs.replace(one, id=new().id)
    answers = await store.enqueue([of("a"), of("c"), of("b"), of("b"), new(), again])
    statuses = [answer.status.value for answer in answers]
    assert statuses == ["key-full", "created", "created", "key-full", "created", "replayed"]
    taken = await worker.take(2)
    assert {job.job.attributes.key for job in taken} <= {"a", "b", "c", ""}
    await store.cancel([one.id])
    assert (await store.enqueue([of("a")]))[0].status is EnqueueStatus.CREATED


async def test_children_are_exempt_from_the_depth_of_their_key_but_count(
    backend: Backend, store: Store
) -> None:
    worker = await limited(store, every_key=Limit(depth=1))
    await put(store, of("a"))
    parent = (await worker.one()).claim
    await put(store, of("a"))
    children = (of("a"), of("a"))
    await store.settle([jobs.complete(parent, DONE, children)])
    assert [one.job is not None for one in await store.get([c.id for c in children])] == [True] * 2
    for left in (2, 1, 0):
        [refused] = await store.enqueue([of("a")])
        assert refused.status is EnqueueStatus.KEY_FULL
        await store.settle([jobs.complete((await worker.one()).claim, DONE)])
        assert (await store.stats()).counts[State.QUEUED] == left
    await put(store, of("a"))


@pytest.mark.parametrize("how", ["start", "cancel", "expire"])
async def test_a_waiting_job_counts_until_it_starts_or_ends(
    backend: Backend, store: Store, how: str
) -> None:
    worker = await limited(store, every_key=Limit(depth=1))
    [first] = await put(store, of("a"))
    assert (await store.enqueue([of("a")]))[0].status is EnqueueStatus.KEY_FULL
    taken = await worker.take(1) if how == "start" else []
    if how == "cancel":
        await store.cancel([first])
    elif how == "expire":
        await backend.advance(policy().ttl_ms)
        await store.sweep()
    await put(store, of("a"))
    for job in taken:  # it waits again, and is never refused
        await worker.settle(jobs.release(job.claim))
        assert (await store.enqueue([of("a")]))[0].status is EnqueueStatus.KEY_FULL
