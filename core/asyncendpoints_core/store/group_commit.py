"""Group commit: calls that carry all items added while the previous calls were in flight.

What is added while a call is in flight forms the next batch; nothing waits for a timer. Under load
a batch is large, otherwise it holds one item. GroupCommit forms the batches; Batcher gives the
answer to each item to the one who waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.replies import MAX_BATCH, MAX_BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from asyncendpoints_core.common.time_source import TimeSource

log = logging.getLogger("asyncendpoints")

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Value = TypeVar("Value", contravariant=True)

MAX_IN_FLIGHT: Final = 2
"""Calls at a time: one in the store while the other is being written or read."""
MAX_QUEUED: Final = 20_000
"""Items that may wait for a call; beyond that the store cannot keep up with the requests."""
RESEND_SECONDS: Final = (0.05, 0.3)
"""Delays before a call whose reply was lost is repeated; every item is safe to repeat."""
PATIENCE_SECONDS: Final = 1.0
"""A call that took longer and failed is not repeated, and the items that wait behind it fail too:
they would wait as long again for a store that does not answer."""


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
        limit: int = MAX_BATCH,
        max_bytes: int = MAX_BATCH_BYTES,
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


class Waiter(Protocol[Value]):
    """What receives the answer to one item; an asyncio future is one."""

    def done(self) -> bool:
        """Whether the answer is no longer wanted, or was given."""

    def set_result(self, result: Value, /) -> None:
        """Receive the answer."""

    def set_exception(self, exception: Exception, /) -> None:
        """Receive the error."""


class Batcher(Generic[Item, Answer]):
    """Turns `call(items) -> answers`, a batch, into `request(item) -> answer`.

    A batch is limited as GroupCommit's; `weigh` returns the bytes of an item. A call runs in a task
    of its own: cancelling those who wait for it does not stop it.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        observe: Callable[[int], None],
        *,
        weigh: Callable[[Item], int] = lambda _: 0,
        limit: int = MAX_BATCH,
        time: TimeSource | None = None,
        log: logging.Logger = log,
    ) -> None:
        """Prepare; `observe` receives the size of each batch, and `log` the failures of calls."""
        self._time = time or SystemTime()
        self._call = call
        self._observe = observe
        self._log = log

        def weigh_wanted(entry: tuple[Item, Waiter[Answer]]) -> int | None:
            return None if entry[1].done() else weigh(entry[0])

        self._group: GroupCommit[tuple[Item, Waiter[Answer]]] = GroupCommit(
            self._run, weigh_wanted, limit=limit
        )
        self.drained = self._group.drained
        """Return when no call is in flight and no item waits for one."""

    @property
    def waiting(self) -> int:
        """How many items wait for a call."""
        return len(self._group.waiting)

    def request(self, item: Item) -> asyncio.Future[Answer]:
        """Return the answer to `item` as a future. It fails with StoreUnavailable or what `call`
        raised. Cancelled before its call was made, the item is not sent.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.add(item, future)
        return future

    def add(self, item: Item, waiter: Waiter[Answer]) -> None:
        """Send `item`; `waiter` receives the answer or the error, unless it is done by then."""
        if len(self._group.waiting) >= MAX_QUEUED:
            waiter.set_exception(StoreUnavailable("the store cannot keep up with the requests"))
        else:
            self._group.add((item, waiter))

    async def _run(self, batch: list[tuple[Item, Waiter[Answer]]]) -> None:
        self._observe(len(batch))
        began = self._time.monotonic()
        try:
            answers = await self._send([item for item, _ in batch], began)
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                self._log.exception("a call to the store failed")
            elif self._is_late(began):
                batch = [*batch, *self._group.waiting]
                self._group.waiting.clear()
            for _, waiter in batch:
                if not waiter.done():
                    waiter.set_exception(error)
            return
        for (_, waiter), answer in zip(batch, answers, strict=True):
            if not waiter.done():
                waiter.set_result(answer)

    def _is_late(self, began: float) -> bool:
        return self._time.monotonic() - began > PATIENCE_SECONDS

    async def _send(self, items: Sequence[Item], began: float) -> Sequence[Answer]:
        for delay in RESEND_SECONDS:
            try:
                return await self._call(items)
            except StoreUnavailable as error:
                if self._is_late(began):
                    raise
                self._log.debug("repeating a call with %d items: %s", len(items), error)
                await self._time.sleep(delay)
        return await self._call(items)
