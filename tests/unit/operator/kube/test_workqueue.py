"""The operator's queue: a key once at a time, again when added meanwhile, later on failure."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from asyncendpoints_core.errors import StoreError
from asyncendpoints_operator.kube.workqueue import WorkQueue

Work = Callable[[str], Awaitable[float | None]]


@asynccontextmanager
async def running(queue: WorkQueue, work: Work) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(work))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_many_additions_are_one() -> None:
    seen: list[str] = []
    done = asyncio.Event()

    async def work(key: str) -> None:
        seen.append(key)
        if key == "last":
            done.set()

    queue = WorkQueue()
    for _ in range(5):
        queue.add("one")
    queue.add("last", 0.01)
    async with running(queue, work):
        await done.wait()
    assert seen == ["one", "last"]


async def test_a_key_is_worked_on_once_at_a_time_and_again_if_added_meanwhile() -> None:
    queue = WorkQueue()
    at_work = 0
    most = 0
    rounds = 0
    gate, begun, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        nonlocal at_work, most, rounds
        at_work += 1
        most = max(most, at_work)
        rounds += 1
        begun.set()
        await gate.wait()
        at_work -= 1
        if rounds == 2:
            over.set()

    queue.add("key")
    async with running(queue, work):
        await begun.wait()
        queue.add("key")
        queue.add("key")
        gate.set()
        await over.wait()
        assert len(queue) == 0
    assert (most, rounds) == (1, 2)


async def test_one_slow_key_delays_no_other() -> None:
    queue = WorkQueue()
    never, other = asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        if key == "slow":
            await never.wait()
        other.set()

    queue.add("slow")
    queue.add("quick")
    async with running(queue, work):
        await other.wait()


async def test_what_fails_comes_again() -> None:
    queue = WorkQueue()
    tries = 0
    done = asyncio.Event()

    async def work(key: str) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreError("away")
        done.set()

    queue.add("key")
    async with running(queue, work):
        await done.wait()
    assert tries == 2


async def test_work_says_when_it_wants_its_key_again() -> None:
    queue = WorkQueue()
    calls = 0
    done = asyncio.Event()

    async def work(key: str) -> float | None:
        nonlocal calls
        calls += 1
        if calls == 3:
            done.set()
            return None
        return 0.0

    queue.add("key")
    async with running(queue, work):
        await done.wait()


async def test_an_earlier_time_wins_and_a_later_one_does_not_delay() -> None:
    queue = WorkQueue()
    done = asyncio.Event()

    async def work(key: str) -> None:
        done.set()

    queue.add("key", 3600)
    queue.add("key")
    queue.add("key", 3600)
    async with running(queue, work):
        await done.wait()
        assert len(queue) == 0


async def test_its_length_leaves_out_what_is_for_later() -> None:
    queue = WorkQueue()
    queue.add("now")
    queue.add("later", 3600)
    assert len(queue) == 1
