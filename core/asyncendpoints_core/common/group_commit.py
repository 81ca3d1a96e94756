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
        self.in_flight: dict[asyncio.Task[None], list[Item]] = {}
        self.paused = False
        self._send = send
        self._weigh = weigh
        self._limit = limit
        self._max_bytes = max_bytes
        self._second_from = second_from
        self._scheduled = False

    def add(self, item: Item) -> None:
        """Send an item soon."""
        self.waiting.append(item)
        if not self._scheduled and self._may_start():
            # Everything that the event loop has ready now gets into this call.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    async def drained(self) -> None:
        """Return when no call is in flight and no item waits for one."""
        while self.in_flight or self.waiting:
            if self.in_flight:
                await asyncio.wait(self.in_flight)
            await asyncio.sleep(0)

    def _may_start(self) -> bool:
        in_flight = len(self.in_flight)
        return not in_flight or (
            in_flight < MAX_IN_FLIGHT and len(self.waiting) >= self._second_from
        )

    def _start(self) -> None:
        self._scheduled = False
        while self.waiting and not self.paused and self._may_start():
            batch = self._take()
            if batch:
                task = asyncio.get_running_loop().create_task(self._send(batch))
                self.in_flight[task] = batch
                task.add_done_callback(self._done)

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

    def _done(self, task: asyncio.Task[None]) -> None:
        self.in_flight.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("a batch was lost", exc_info=task.exception())
        if self.waiting and not self._scheduled:
            self._scheduled = True
            task.get_loop().call_soon(self._start)
