"""Group commit: which items form a batch, and when a batch is sent."""

import asyncio
import logging

import pytest

from asyncendpoints_core.store.group_commit import GroupCommit


class Calls:
    """Records batches; each call lasts until `finish` lets it end."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._ends: list[asyncio.Future[None]] = []

    async def send(self, batch: list[int]) -> None:
        self.batches.append(batch)
        self._ends.append(asyncio.get_running_loop().create_future())
        await self._ends[-1]

    async def finish(self, number: int = -1, error: Exception | None = None) -> None:
        end = self._ends[number]
        end.set_exception(error) if error else end.set_result(None)
        await settle()


async def settle() -> None:
    """Let the event loop make every call that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


def weigh(item: int) -> int | None:
    """Negative items are dropped; the others have their value as size."""
    return None if item < 0 else item


async def test_a_second_call_is_made_only_for_enough_items() -> None:
    calls = Calls()
    group = GroupCommit(calls.send, weigh, limit=10, max_bytes=1_000, second_from=3)
    group.add(1)
    await settle()
    group.add(2)
    group.add(3)
    await settle()
    assert calls.batches == [[1]]
    group.add(4)
    await settle()
    assert calls.batches == [[1], [2, 3, 4]]
    for item in range(5, 9):  # two calls are in flight
        group.add(item)
    await settle()
    assert len(calls.batches) == len(group.in_flight) == 2
    await calls.finish(0)
    assert calls.batches[2:] == [[5, 6, 7, 8]]


async def test_a_batch_has_a_limit_and_a_size_and_leaves_dropped_items_out() -> None:
    calls = Calls()
    group = GroupCommit(calls.send, weigh, limit=3, max_bytes=10, second_from=100)
    for item in (1, -1, 2, 3, 4, 30, 5, -1):
        group.add(item)
    for _ in range(4):
        await settle()
        await calls.finish()
    assert calls.batches == [[1, 2, 3], [4], [30], [5]]
    await asyncio.wait_for(group.drained(), 5)


async def test_no_call_is_made_while_paused() -> None:
    calls = Calls()
    group = GroupCommit(calls.send, weigh, limit=3, max_bytes=10)
    group.add(1)
    await settle()
    group.paused = True
    group.add(2)
    await settle()
    assert calls.batches == [[1]]
    group.paused = False
    await calls.finish()
    assert calls.batches == [[1], [2]]


async def test_an_error_is_logged_and_the_next_batch_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = Calls()
    group = GroupCommit(calls.send, weigh, limit=1, max_bytes=10, second_from=100)
    group.add(1)
    group.add(2)
    await settle()
    with caplog.at_level(logging.ERROR):
        await calls.finish(error=ValueError("broken"))
    assert calls.batches == [[1], [2]]
    assert "a batch was lost" in caplog.text
