"""Group commit: calls that carry all items added while the previous calls were in flight.

What is added while a call is in flight forms the next batch; nothing waits for a timer. Under load
a batch is large, otherwise it holds one item.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = logging.getLogger("asyncendpoints")

Item = TypeVar("Item")

MAX_IN_FLIGHT: Final = 2
"""Calls at a time: one in the store while the other is being written or read."""


class GroupCommit(Generic[Item]):
    """Forms batches of the items that are added, and sends each in a task of its own.

    A batch has at most `limit` items and, unless it has only one, `max_bytes`. `weigh` returns the
    bytes of an item, or None to drop it. A second call is made beside the first only with
    `second_from` items or more. While `paused`, no call is made.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Coroutine[Any, Any, None]],
        weigh: Callable[[Item], int | None],
        *,
        limit: int,
        max_bytes: int,
        second_from: int = 1,
    ) -> None:
        self.waiting: deque[Item] = deque()
        self.in_flight: dict[int, list[Item]] = {}
        self.paused = False
        self._send = send
        self._weigh = weigh
        self._limit = limit
        self._max_bytes = max_bytes
        self._second_from = second_from
        self._starting = 0  # the number of the call that has not begun
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._number = 0

    def add(self, item: Item) -> None:
        """Send an item soon."""
        self.waiting.append(item)
        if not self._starting:
            self._start()

    async def drained(self) -> None:
        """Return when no call is in flight and no item waits for one."""
        while self._tasks or self.waiting:
            if self._tasks:
                await asyncio.wait(self._tasks.values())
            await asyncio.sleep(0)

    def _start(self) -> None:
        """Start a call, unless one that starts will have everything, or enough are in flight."""
        if self._starting or self.paused:
            return
        in_flight = len(self.in_flight)
        if in_flight and (in_flight >= MAX_IN_FLIGHT or len(self.waiting) < self._second_from):
            return
        self._number += 1
        number = self._number
        # Its first step may be taken at once (an eager task factory), or never (a cancel).
        self._starting = number
        task = asyncio.get_running_loop().create_task(self._run(number))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._done(number))

    async def _run(self, number: int) -> None:
        # Everything that the event loop had ready when this was started has got into this call.
        self._starting = 0
        try:
            if batch := self._take():
                self.in_flight[number] = batch
                if self.waiting:
                    self._start()
                await self._send(batch)
        except Exception:
            log.exception("a batch was lost")
        finally:
            self.in_flight.pop(number, None)
            if self.waiting:
                self._start()

    def _done(self, number: int) -> None:
        del self._tasks[number]
        if self._starting == number:  # it was cancelled before its first step
            self._starting = 0
            self._start()

    def _take(self) -> list[Item]:
        batch: list[Item] = []
        waiting, room = self.waiting, self._max_bytes
        while waiting and len(batch) < self._limit:
            size = self._weigh(waiting[0])
            if size is None:
                waiting.popleft()
                continue
            room -= size
            if room < 0 and batch:
                break
            batch.append(waiting.popleft())
        return batch
