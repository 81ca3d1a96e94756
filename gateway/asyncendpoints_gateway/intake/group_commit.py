"""Group commit: requests that come at the same time share calls to the store.

While a call is under way, what comes in waits for the next one; nothing waits for a timer. Under
load a call carries many items, on an idle gateway one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.protocol import MAX_BATCH, MAX_BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

log = logging.getLogger("asyncendpoints.gateway")

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Told = TypeVar("Told", contravariant=True)

MAX_IN_FLIGHT: Final = 2
"""Calls at a time: one at the store, one being written or read."""
MAX_QUEUED: Final = 20_000
"""Items that may wait for a call; beyond that the store is too slow for them all."""
RESEND_SECONDS: Final = (0.05, 0.3)
"""When a call whose reply was lost is sent again; every item is safe to repeat."""


class Asker(Protocol[Told]):
    """Who is told an answer; a future is one. Once it is `done`, it is told nothing more."""

    def done(self) -> bool:
        """Whether nobody asks any more."""

    def set_result(self, result: Told, /) -> None:
        """Take the answer."""

    def set_exception(self, exception: Exception, /) -> None:
        """Take what went wrong."""


class Batcher(Generic[Item, Answer]):
    """Turns `call(items) -> answers` into `ask(item) -> answer`.

    `weigh` gives the bytes of an item, where a call's size has a limit. A call is never cut short
    by the ones who asked going away: it runs in a task of its own.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        weigh: Callable[[Item], int] | None = None,
        limit: int = MAX_BATCH,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        """Prepare; `observe` is told the size of each call."""
        self._call = call
        self._weigh = weigh
        self._limit = limit
        self._observe = observe
        self._waiting: deque[tuple[Item, Asker[Answer]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False

    @property
    def waiting(self) -> int:
        """How many items wait for a call."""
        return len(self._waiting)

    def ask(self, item: Item) -> asyncio.Future[Answer]:
        """Return the future answer to `item`. It fails with StoreUnavailable, or what call raised.

        Giving up the future before its call began takes the item back; afterwards it only means
        that nobody hears the answer.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.put(item, future)
        return future

    def put(self, item: Item, asker: Asker[Answer]) -> None:
        """Ask for the answer to `item` on behalf of `asker`, which is told it like a future."""
        if len(self._waiting) >= MAX_QUEUED:
            asker.set_exception(StoreUnavailable("the store is too slow for what comes in"))
            return
        self._waiting.append((item, asker))
        if not self._scheduled and len(self._running) < MAX_IN_FLIGHT:
            # Everything that the loop has at hand now gets into this call.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    async def drained(self) -> None:
        """Return when no call is under way and nothing waits for one."""
        while self._running or self._waiting:
            if self._running:
                await asyncio.wait(self._running)
            await asyncio.sleep(0)

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._running) < MAX_IN_FLIGHT:
            batch = self._take()
            if not batch:
                return
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._ended)
            if len(self._waiting) < self._limit:
                return  # the next call waits for company rather than for nothing

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._waiting and not self._scheduled:
            self._scheduled = True
            task.get_loop().call_soon(self._start)

    def _take(self) -> list[tuple[Item, Asker[Answer]]]:
        batch: list[tuple[Item, Asker[Answer]]] = []
        room = MAX_BATCH_BYTES
        while self._waiting and len(batch) < self._limit:
            item, asker = self._waiting[0]
            if asker.done():  # its client went away before anything was sent
                self._waiting.popleft()
                continue
            if self._weigh is not None:
                room -= self._weigh(item)
                if room < 0 and batch:
                    break
            batch.append(self._waiting.popleft())
        return batch

    async def _run(self, batch: list[tuple[Item, Asker[Answer]]]) -> None:
        if self._observe is not None:
            self._observe(len(batch))
        try:
            answers = await self._send([item for item, _ in batch])
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                log.exception("a call to the store failed")
            for _, asker in batch:
                if not asker.done():
                    asker.set_exception(error)
            return
        for (_, asker), answer in zip(batch, answers, strict=True):
            if not asker.done():
                asker.set_result(answer)

    async def _send(self, items: Sequence[Item]) -> Sequence[Answer]:
        for delay in RESEND_SECONDS:
            try:
                return await self._call(items)
            except StoreUnavailable as error:
                log.debug("sending %d items again: %s", len(items), error)
                await asyncio.sleep(delay)
        return await self._call(items)
