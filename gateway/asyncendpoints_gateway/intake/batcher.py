"""Calls to the store that concurrent requests share."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from asyncendpoints_core.common.group_commit import GroupCommit
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.replies import MAX_BATCH, MAX_BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource

log = logging.getLogger("asyncendpoints.gateway")

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Value = TypeVar("Value", contravariant=True)

MAX_QUEUED: Final = 20_000
"""Items that may wait for a call; beyond that the store cannot keep up with the requests."""
RESEND_SECONDS: Final = (0.05, 0.3)
"""Delays before a call whose reply was lost is repeated; every item is safe to repeat."""
PATIENCE_SECONDS: Final = 1.0
"""A call that took longer and failed is not repeated, and the items that wait behind it fail too:
they would wait as long again for a store that does not answer."""


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

    `weigh` returns the bytes of an item. A call runs in a task of its own: cancelling those who
    wait for it does not stop it.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        observe: Callable[[int], None],
        *,
        weigh: Callable[[Item], int] = lambda _: 0,
        limit: int = MAX_BATCH,
        time: TimeSource | None = None,
    ) -> None:
        """Prepare; `observe` receives the size of each batch."""
        self._time = time or SystemTime()
        self._call = call
        self._observe = observe

        def weigh_wanted(entry: tuple[Item, Waiter[Answer]]) -> int | None:
            return None if entry[1].done() else weigh(entry[0])

        self._group: GroupCommit[tuple[Item, Waiter[Answer]]] = GroupCommit(
            self._run, weigh_wanted, limit=limit, max_bytes=MAX_BATCH_BYTES
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
                log.exception("a call to the store failed")
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
                log.debug("repeating a call with %d items: %s", len(items), error)
                await self._time.sleep(delay)
        return await self._call(items)
