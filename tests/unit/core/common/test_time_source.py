"""The manual clock: nothing passes unless the test says so, and then in order."""

import asyncio
from functools import partial
from random import Random

import pytest

from asyncendpoints_core.common.time_source import ManualClock, SystemTime, TimeSource
from asyncendpoints_core.store.memory import MemoryStore
from support.store.stores import hand, new, put


async def settle_down() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_wall_clock_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter((5_000_000, 4_000_000, 6_000_000))
    monkeypatch.setattr("time.time_ns", lambda: next(readings))
    source = SystemTime()
    assert [source.now_ms() for _ in range(3)] == [5, 5, 6]


async def test_calls_are_made_in_order_at_their_own_time() -> None:
    clock = ManualClock()
    start = clock.now_ms()
    made: list[tuple[str, int]] = []

    def make(name: str) -> None:
        made.append((name, clock.now_ms()))

    for name, seconds in (("late", 3.0), ("early", 1.0), ("same", 1.0), ("never", 2.0)):
        timer = clock.call_at(clock.monotonic() + seconds, partial(make, name))
        if name == "never":
            timer.cancel()
    clock.advance(999)
    assert made == []
    clock.advance(9_001)
    assert made == [("early", start + 1_000), ("same", start + 1_000), ("late", start + 3_000)]
    assert (clock.now_ms(), clock.waiting) == (start + 10_000, 0)


async def test_a_sleep_ends_when_the_clock_reaches_it() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(60))
    await settle_down()
    clock.advance(59_999)
    await settle_down()
    assert not task.done()
    clock.advance(1)
    await task
    await clock.sleep(0)


@pytest.mark.parametrize("source", [ManualClock(), SystemTime()])
async def test_a_timeout_is_raised_in_the_block(source: TimeSource) -> None:
    async def block(seconds: float | None) -> None:
        async with source.timeout(seconds):
            await asyncio.Event().wait()

    task = asyncio.create_task(block(0.01))
    await settle_down()
    if isinstance(source, ManualClock):
        source.advance(10)
    with pytest.raises(TimeoutError):
        await task
    async with source.timeout(None):
        await asyncio.sleep(0)
    async with source.timeout(0.01):
        pass
    if isinstance(source, ManualClock):
        source.advance(1_000)  # nothing is left to expire
        assert source.waiting == 0


async def test_a_cancelled_block_is_not_a_timeout() -> None:
    clock = ManualClock()

    async def block() -> None:
        async with clock.timeout(1):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await settle_down()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.waiting == 0


async def test_a_wait_for_work_ends_by_the_clock_of_the_store() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await store.open()
    worker = await hand(store)
    waiting = asyncio.create_task(store.wait_for_work(worker.id, 10_000))
    await settle_down()
    clock.advance(9_999)
    await settle_down()
    assert not waiting.done()
    clock.advance(1)
    assert await waiting is False
    waiting = asyncio.create_task(store.wait_for_work(worker.id, 10_000))
    await settle_down()
    await put(store, new())
    assert await waiting is True


@pytest.mark.parametrize("seed", range(3))
async def test_who_waits_until_a_time_waits_once(seed: int) -> None:
    # Milliseconds and seconds round apart: a timer once fired a millionth of a second early, and
    # who waited for the rest set it again for ever.
    clock = ManualClock(1_700_000_000_000 + seed)
    random = Random(seed)
    for _ in range(500):
        end = clock.monotonic() + random.random() * 100
        reached: list[float] = []
        clock.call_at(end, lambda reached=reached: reached.append(clock.monotonic()))  # type: ignore[misc]
        due = clock.next_due_ms
        assert due is not None
        clock.advance_to(due)
        assert reached
        assert end <= reached[0] < end + 1e-5
