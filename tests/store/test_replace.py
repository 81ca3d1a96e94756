"""`concurrencyPolicy: Replace` with more earlier jobs than one call looks at."""

import msgspec
import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Attributes
from asyncendpoints_core.jobs.schedules import Concurrency, FireStatus, Firing
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from support.redis.backend import RedisBackend
from support.store.stores import DONE, hand, new, policy, put

HASH = "a1" * 8


@pytest.fixture
async def scheduled(store: Store) -> Store:
    """A store whose policy has one schedule."""
    await store.configure(policy(schedules={"nightly": HASH}))
    return store


def requested(concurrency: Concurrency = Concurrency.ALLOW) -> Firing:
    """Return a firing that a person requests."""
    job = msgspec.structs.replace(new(), attributes=Attributes(schedule="nightly", scheduled_ms=1))
    return Firing(
        schedule="nightly",
        hash=HASH,
        due_ms=0,
        next_ms=0,
        seen_ms=0,
        job=job,
        concurrency=concurrency,
    )


async def fire(store: Store, one: Firing) -> FireStatus:
    """Return what became of a firing."""
    return (await store.fire(one)).status


async def made(store: Store, count: int) -> list[Firing]:
    """Create jobs of the schedule."""
    found = [requested() for _ in range(count)]
    for one in found:
        assert await fire(store, one) == FireStatus.CREATED
    return found


async def states(store: Store, made: list[Firing]) -> set[State]:
    found = await store.get([one.job.id for one in made])
    return {one.job.state for one in found if one.job}


async def replace(store: Store, calls: int = 8) -> FireStatus:
    """Replace the earlier jobs, in as many calls as that takes."""
    one = requested(concurrency=Concurrency.REPLACE)
    for _ in range(calls):
        answer = await fire(store, one)
        if answer != FireStatus.OUTDATED:
            return answer
    raise AssertionError("it does not end")


@pytest.mark.parametrize(("others", "most"), [(0, 1), (20, 21), (20, 100)])
async def test_it_makes_room_in_a_queue_far_over_its_limit(
    scheduled: Store, others: int, most: int
) -> None:
    earlier = await made(scheduled, 250)
    await put(scheduled, *[new() for _ in range(others)])
    await scheduled.configure(policy(schedules={"nightly": HASH}, max_depth=most))
    assert await replace(scheduled) == FireStatus.CREATED
    assert await states(scheduled, earlier) == {State.CANCELED}
    assert (await scheduled.stats()).counts[State.QUEUED] == others + 1


@pytest.mark.parametrize("limit", ["depth", "bytes"])
async def test_it_cancels_nothing_of_many_for_a_job_without_room(
    scheduled: Store, limit: str
) -> None:
    earlier = await made(scheduled, 250)
    large = [new(body=b"x" * 2_000) for _ in range(30)]
    await put(scheduled, *large)
    lowered = {"depth": {"max_depth": 30}, "bytes": {"max_bytes": 60_000}}[limit]
    await scheduled.configure(policy(schedules={"nightly": HASH}, **lowered))
    assert await replace(scheduled) == FireStatus.FULL
    assert await states(scheduled, earlier) == {State.QUEUED}


async def running(store: Store, count: int) -> list[jobs.ClaimedJob]:
    await made(store, count)
    worker = await hand(store)
    claimed: list[jobs.ClaimedJob] = []
    while len(claimed) < count:
        claimed += await worker.take(count - len(claimed))
    return claimed


async def test_forbid_finds_what_replace_has_asked_to_end(scheduled: Store) -> None:
    [claimed] = await running(scheduled, 1)
    assert await replace(scheduled) == FireStatus.CREATED
    waiting = await hand(scheduled, "other")
    await scheduled.settle([jobs.complete((await waiting.one()).claim, DONE)])
    forbid = requested(concurrency=Concurrency.FORBID)
    assert await fire(scheduled, forbid) == FireStatus.SKIPPED
    await scheduled.settle([jobs.canceled(claimed.claim)])
    assert await fire(scheduled, forbid) == FireStatus.CREATED


async def test_its_work_does_not_grow_with_jobs_that_are_asked_to_end(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    await store.configure(policy(schedules={"nightly": HASH}))
    claimed = await running(store, 600)
    assert await replace(store) == FireStatus.CREATED
    await backend.redis.config_resetstat()
    assert await replace(store) == FireStatus.CREATED
    stats = await backend.redis.info("commandstats")
    assert sum(each["calls"] for each in stats.values()) < 300
    # None of them stays behind once it has ended.
    await store.settle([jobs.canceled(job.claim) for job in claimed])
    for _ in range(8):
        assert await replace(store) == FireStatus.CREATED
    assert await backend.redis.zcard(backend.key("fired")) == 1
    await backend.close()


async def test_it_goes_past_jobs_that_others_asked_to_end(scheduled: Store) -> None:
    claimed = await running(scheduled, 250)
    await scheduled.cancel([job.job.id for job in claimed])
    [waiting] = await made(scheduled, 1)
    assert await replace(scheduled) == FireStatus.CREATED
    assert await states(scheduled, [waiting]) == {State.CANCELED}
