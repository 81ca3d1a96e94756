"""Claims that take as many jobs as there are keys in front: one of each, on both stores."""

from collections.abc import Mapping
from itertools import count

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from support.store.stores import (
    DONE,
    START_MS,
    Backend,
    Hand,
    check_places,
    hand,
    look,
    new,
    policy,
    put,
)

KEYS = "abcdef"
numbers = count()


WIDE = Limit(concurrency=100, rate=1_000, burst=1_000)


@pytest.fixture(
    params=[
        limits_of(),
        limits_of(total=WIDE, jobs={"report": WIDE}, every_key=WIDE),
        limits_of(every_key=Limit(depth=100)),
    ],
    ids=["keys", "limits", "depth"],
)
async def worker(store: Store, request: pytest.FixtureRequest) -> Hand:
    """A worker of an endpoint with keys alone, or with limits that hold nothing back."""
    await store.configure(policy(limits=request.param))
    return await hand(store)


async def fill(store: Store, of: str, **changed: Mapping[str, object]) -> None:
    """Enqueue a job of each key, in the order of their ids; `changed`: what else one is given."""
    for key in of:
        given = {"job_id": ids.new(START_MS + next(numbers)), **changed.get(key, {})}
        made = new(attributes=Attributes(key=key), **given)  # type: ignore[arg-type]
        await put(store, made)


async def start(worker: Hand, limit: int) -> str:
    """Claim and complete jobs; return their keys in the order of the claim."""
    taken = await worker.take(limit)
    await worker.settle(*(jobs.complete(job.claim, DONE) for job in taken))
    return "".join(job.job.attributes.key for job in taken)


async def test_each_round_starts_one_job_of_each_key(
    backend: Backend, store: Store, worker: Hand
) -> None:
    for _ in range(3):
        await fill(store, KEYS)
    assert [await start(worker, 6) for _ in range(4)] == [KEYS, KEYS, KEYS, ""]


async def test_rounds_may_be_part_of_the_keys(backend: Backend, store: Store, worker: Hand) -> None:
    for _ in range(2):
        await fill(store, KEYS)
    assert [await start(worker, 4) for _ in range(4)] == ["abcd", "efab", "cdef", ""]


async def test_what_comes_after_a_round_has_no_advantage(
    backend: Backend, store: Store, worker: Hand
) -> None:
    await fill(store, "ab")
    assert await start(worker, 2) == "ab"
    await fill(store, "aabbc")
    assert await start(worker, 1) == "c"
    assert sorted(await start(worker, 2)) == ["a", "b"]


async def test_a_job_that_expires_gives_its_turn_to_the_next_of_its_key(
    backend: Backend, store: Store, worker: Hand
) -> None:
    await fill(store, KEYS, c={"ttl_ms": 1_000})
    await fill(store, KEYS)
    await backend.advance(2_000)
    assert sorted(await start(worker, 6)) == list(KEYS)
    assert await start(worker, 6) == "abdef"
    assert (await store.stats()).counts[State.FAILED] == 1


async def test_a_round_ends_where_the_bodies_are_too_large(
    backend: Backend, store: Store, worker: Hand
) -> None:
    large = {"body": b"x" * 600_000}
    for _ in range(2):
        await fill(store, KEYS, b=large, d=large)
    found = [await start(worker, 6) for _ in range(5)]
    assert "".join(found) == KEYS * 2
    assert found[0] == "abc"


async def test_a_key_with_jobs_of_two_names_starts_one_in_a_round(
    backend: Backend, store: Store, worker: Hand
) -> None:
    await fill(store, "ab")
    await fill(store, "ac", a={"name": "mail"})
    assert await start(worker, 3) == "abc"
    assert await start(worker, 3) == "a"


async def test_a_key_waits_for_its_turn_after_a_job_of_another_name(
    backend: Backend, store: Store, worker: Hand
) -> None:
    await fill(store, "a")
    await fill(store, "ab", a={"name": "mail"})
    assert [await start(worker, limit) for limit in (1, 2)] == ["a", "ba"]


async def test_a_key_that_is_behind_may_start_two(
    backend: Backend, store: Store, worker: Hand
) -> None:
    early = ids.new(START_MS - 1)
    await fill(store, "aaa")
    assert await start(worker, 1) == "a"
    await fill(store, "b")
    await fill(store, "b", b={"job_id": early})
    assert [await start(worker, 2) for _ in range(2)] == ["bb", "aa"]


async def test_a_job_that_came_back_starts_before_the_others_of_its_key(
    backend: Backend, store: Store, worker: Hand
) -> None:
    for _ in range(2):
        await fill(store, "abc")
    first, *_ = taken = await worker.take(3)
    await worker.settle(
        jobs.release(first.claim, started=True),
        *(jobs.complete(job.claim, DONE) for job in taken[1:]),
    )
    again = await worker.take(3)
    assert [job.job.attributes.key for job in again].count("a") == 1
    assert first.job.id in [job.job.id for job in again]
    assert (await look(store, first.job.id)).state is State.IN_PROGRESS
    await worker.settle(*(jobs.complete(job.claim, DONE) for job in again))
    assert await start(worker, 3) == "a"


async def ids_of(worker: Hand, limit: int) -> list[ids.JobId]:
    """Claim and complete jobs; return their ids in the order of the claim."""
    taken = await worker.take(limit)
    await worker.settle(*(jobs.complete(job.claim, DONE) for job in taken))
    return [job.job.id for job in taken]


async def test_jobs_of_one_key_start_in_their_order(
    backend: Backend, store: Store, worker: Hand
) -> None:
    given = [
        new(job_id=ids.new(START_MS + next(numbers)), attributes=Attributes(key="a"))
        for _ in range(9)
    ]
    await put(store, *given)
    found = [await ids_of(worker, limit) for limit in (4, 1, 3, 5)]
    assert [len(some) for some in found] == [4, 1, 3, 1]
    assert [one for some in found for one in some] == [job.id for job in given]
    await fill(store, "a")
    assert [await start(worker, 2) for _ in range(2)] == ["a", ""]


async def test_a_key_that_was_alone_has_no_more_than_its_share_later(
    backend: Backend, store: Store, worker: Hand
) -> None:
    await fill(store, "a" * 12)
    assert await start(worker, 5) == "aaaaa"
    await fill(store, "bbb")
    assert sorted(await start(worker, 4)) == list("aabb")
    assert sorted(await start(worker, 4)) == list("aaab")


@pytest.mark.parametrize("at", [0, 1, 3, 4])
async def test_a_job_of_a_key_that_is_alone_may_expire(
    backend: Backend, store: Store, worker: Hand, at: int
) -> None:
    for number in range(5):
        await fill(store, "a", a={"ttl_ms": 1_000} if number == at else {})
    await backend.advance(2_000)
    assert [await start(worker, 3) for _ in range(3)] == ["aaa", "a", ""]
    assert (await store.stats()).counts[State.FAILED] == 1
    await fill(store, "ab")
    assert sorted(await start(worker, 2)) == ["a", "b"]


async def test_a_claim_of_one_key_ends_where_the_bodies_are_too_large(
    backend: Backend, store: Store, worker: Hand
) -> None:
    large = {"body": b"x" * 600_000}
    for number in range(6):
        await fill(store, "a", a=large if number in {1, 3} else {})
    assert [await start(worker, 6) for _ in range(3)] == ["aaa", "aaa", ""]


async def test_a_job_of_a_key_that_is_alone_comes_back_to_the_front(
    backend: Backend, store: Store, worker: Hand
) -> None:
    await fill(store, "aaaaaa")
    first, *others = await worker.take(3)
    await worker.settle(
        jobs.release(first.claim, started=True),
        *(jobs.complete(job.claim, DONE) for job in others),
    )
    assert (await ids_of(worker, 3))[0] == first.job.id
    assert [await start(worker, 3) for _ in range(2)] == ["a", ""]


LIMITS_OF_ROUNDS = {
    "total": ({"total": Limit(concurrency=8)}, ["abcdef", "ab", ""]),
    "total rate": ({"total": Limit(rate=0.001, burst=8)}, ["abcdef", "ab", ""]),
    "name": ({"jobs": {"report": Limit(concurrency=7)}}, ["abcdef", "a", ""]),
    "name rate": ({"jobs": {"report": Limit(rate=0.001, burst=7)}}, ["abcdef", "a", ""]),
    "each key": ({"every_key": Limit(concurrency=1)}, ["abcdef", "", ""]),
    "each key's rate": ({"every_key": Limit(rate=0.001, burst=1)}, ["abcdef", "", ""]),
    "one key": ({"keys": {"c": Limit(concurrency=1)}}, ["abcdef", "abdef", ""]),
    "two of one key": ({"keys": {"c": Limit(concurrency=2)}}, ["abcdef", "abcdef", ""]),
    "weight": ({"keys": {"c": Limit(weight=2)}}, ["abcdef", "cabdef", ""]),
}


@pytest.mark.parametrize("limits", LIMITS_OF_ROUNDS)
async def test_a_round_starts_no_more_than_limits_let(
    backend: Backend, store: Store, limits: str
) -> None:
    given, expected = LIMITS_OF_ROUNDS[limits]
    await store.configure(policy(limits=limits_of(**given)))  # type: ignore[arg-type]
    worker = await hand(store)
    for _ in range(2):
        await fill(store, KEYS)
    found = [await worker.take(6) for _ in range(3)]
    assert ["".join(job.job.attributes.key for job in taken) for taken in found] == expected
    check_places(await backend.scan())


@pytest.mark.parametrize("most", [3, 5, 6, 9])
async def test_a_key_that_is_alone_starts_no_more_than_its_limit_lets(
    backend: Backend, store: Store, most: int
) -> None:
    every_key = Limit(concurrency=most, rate=9, burst=12)
    await store.configure(policy(limits=limits_of(every_key=every_key)))
    worker = await hand(store)
    await fill(store, "a" * 12)
    found = [await worker.take(5) for _ in range(2)]
    assert [len(taken) for taken in found] == [min(5, most), max(0, most - 5)]
    check_places(await backend.scan())
    await worker.settle(*(jobs.complete(job.claim, DONE) for taken in found for job in taken))
    check_places(await backend.scan())


async def test_a_claim_goes_on_to_the_last_place_of_a_limit(backend: Backend, store: Store) -> None:
    await store.configure(policy(limits=limits_of(total=Limit(concurrency=6))))
    worker = await hand(store)
    for number in range(8):
        await fill(store, "a", a={"ttl_ms": 1_000} if number == 3 else {})
    await backend.advance(2_000)
    batch = await worker.claim(6)
    assert (len(batch.jobs), batch.more) == (6, False)
