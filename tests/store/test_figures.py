"""The figures over time: what is recorded is read again, in rings of fixed size."""

import pytest

from asyncendpoints_core.store import waits
from asyncendpoints_core.store.figures import (
    KEPT_STEPS,
    MAX_TEXT,
    RINGS,
    FiguresWrite,
    Point,
    ScalingState,
    ScalingStep,
)
from asyncendpoints_core.store.protocol import Store
from support.redis.backend import RedisBackend
from support.store.stores import Backend, hand, new, put

JOBS = (1, 2, 3, 4, 5, 6)


async def now_of(store: Store) -> int:
    return (await store.stats()).now_ms


def point(at_ms: int, starts: int = 1) -> Point:
    return Point(at_ms, JOBS, starts, 2, 3, 40, 900, demand=7, wanted=8, workers=9)


def step(at_ms: int, text: str = "0 → 1: 1 queued, 0 running") -> ScalingStep:
    return ScalingStep(at_ms, 0, 1, 1, "ScaledUp", text)


@pytest.mark.parametrize("step_s", RINGS)
async def test_points_are_read_in_their_order_and_gaps_stay_gaps(store: Store, step_s: int) -> None:
    now, length = await now_of(store), 1_000 * step_s
    last = now // length * length
    points = tuple(point(last - n * length, n) for n in (0, 1, 3))
    assert (await store.read_figures(step_s)).points == ()
    await store.record_figures(FiguresWrite({step_s: points}))
    found = await store.read_figures(step_s)
    assert found.points == points[::-1]
    assert found.now_ms >= now
    since = await store.read_figures(step_s, last - 3 * length + 1)
    assert since.points == (points[1], points[0])
    other = next(each for each in RINGS if each != step_s)
    assert (await store.read_figures(other)).points == ()


async def test_a_step_of_time_keeps_its_first_point(store: Store) -> None:
    at = await now_of(store) // 10_000 * 10_000
    for starts in (1, 2):
        await store.record_figures(FiguresWrite({10: (point(at, starts),)}))
    assert (await store.read_figures(10)).points == (point(at, 1),)


async def test_a_ring_forgets_its_oldest_points(store: Store) -> None:
    at, size = await now_of(store) // 10_000 * 10_000, RINGS[10]
    points = tuple(point(at - n * 10_000) for n in range(size + 5))
    await store.record_figures(FiguresWrite({10: points[::-1]}))
    assert (await store.read_figures(10)).points == points[size - 1 :: -1]
    await store.record_figures(FiguresWrite({10: (point(at - size * 10_000),)}))  # late: left out
    assert len((await store.read_figures(10)).points) == size


async def test_points_that_are_older_than_their_ring_are_not_read(backend: Backend) -> None:
    store = backend.store
    at = await now_of(store) // 10_000 * 10_000
    await store.record_figures(FiguresWrite({10: (point(at - 10_000), point(at))}))
    await backend.advance(3_590_000)
    assert (await store.read_figures(10)).points == (point(at),)


async def test_numbers_are_exact_below_4096_and_close_above(store: Store) -> None:
    at = await now_of(store) // 10_000 * 10_000
    most = 4_095 << 15
    jobs = (0, 4_095, 4_097, 1_000_003, 10**9, most)
    await store.record_figures(FiguresWrite({10: (Point(at, jobs, starts=123_456),)}))
    [found] = (await store.read_figures(10)).points
    assert found.jobs[:2] == (0, 4_095)
    for value, stored in zip((*jobs[2:4], 123_456), (*found.jobs[2:4], found.starts), strict=True):
        assert 0 <= value - stored <= value / 2_048
    assert found.jobs[4] == found.jobs[5] == 4_094 << 15
    assert (found.wait_p50_ms, found.wait_p95_ms) == (None, None)


async def test_the_newest_scaling_steps_are_kept_each_once(store: Store) -> None:
    at = await now_of(store)
    steps = tuple(step(at + n) for n in range(KEPT_STEPS + 3))
    for part in (steps[:10], steps[:10], steps[10:]):
        await store.record_figures(FiguresWrite({}, part))
    assert (await store.read_figures(10)).steps == steps[3:]
    await store.record_figures(FiguresWrite({}, (step(at + 999, "é" * 500),)))
    assert (await store.read_figures(600)).steps[-1].text == "é" * MAX_TEXT


async def test_the_last_decision_stays_until_the_next(store: Store) -> None:
    assert (await store.read_figures(10)).scaling is None
    state = ScalingState(5, 3, "AtMaximum", "kept at 3: maxReplicas (3) is reached")
    await store.record_figures(FiguresWrite({}, (), state))
    await store.record_figures(FiguresWrite({}, (step(1),)))
    assert (await store.read_figures(600)).scaling == state


async def test_claims_are_counted_by_how_long_their_jobs_waited(backend: Backend) -> None:
    store = backend.store
    worker = await hand(store)
    for count, wait_ms in ((3, 1_000), (2, 60_000)):
        await put(store, *(new() for _ in range(count)))
        await backend.advance(wait_ms)
        worker = await hand(store, f"w{count}")
        assert len(await worker.take(count)) == count
    found = (await store.stats()).waits
    assert sum(found.values()) == 5
    assert waits.quantile(found, 0.5) == pytest.approx(1_000, rel=0.2)
    assert waits.quantile(found, 0.95) == pytest.approx(60_000, rel=0.2)


async def test_they_go_with_the_queue(unchecked: Backend) -> None:
    store = unchecked.store
    at = await now_of(store) // 10_000 * 10_000
    await store.record_figures(FiguresWrite({10: (point(at),)}, (step(at),)))
    await store.close_queue()
    assert await store.purge()
    found = await store.read_figures(10)
    assert (found.points, found.steps, found.scaling) == ((), (), None)


async def test_full_rings_take_less_than_64_kib_and_expire(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    now = await now_of(store)
    points = {
        step_s: tuple(
            point(now // (1_000 * step_s) * 1_000 * step_s - n * 1_000 * step_s)
            for n in range(size)
        )
        for step_s, size in RINGS.items()
    }
    steps = tuple(step(now + n, "x" * 500) for n in range(KEPT_STEPS))
    state = ScalingState(now, 1, "Steady", "x" * 100)
    await store.record_figures(FiguresWrite(points, steps, state))
    keys = [key for key in await backend.redis.keys(backend.prefix + "figures*")]
    assert len(keys) == 4
    sizes = {key: await backend.redis.memory_usage(key, samples=0) for key in keys}
    assert sum(sizes.values()) <= 65_536, sizes
    for key in keys:
        assert 7 * 86_400 < await backend.redis.ttl(key) <= 8 * 86_400
    await backend.close()


async def test_their_time_to_live_is_their_own(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    at = await now_of(store) // 10_000 * 10_000
    await store.record_figures(FiguresWrite({10: (point(at),)}, (step(at),)))

    async def expiring() -> set[int]:
        keys = await backend.redis.keys(backend.prefix + "figures*")
        return {round(await backend.redis.ttl(key) / 86_400) for key in keys}

    [job_id] = await put(store, new())
    assert await expiring() == {8}
    await store.cancel([job_id])
    await backend.come_to_rest()  # every other key is on the timer of an idle endpoint
    assert await expiring() == {8}
    await put(store, new())  # and taken off it
    assert await expiring() == {8}
    await backend.close()
