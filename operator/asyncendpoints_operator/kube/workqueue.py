"""A queue of keys: each worked on once at a time, again when added meanwhile, later on failure.

Adding a key says that something about it may have changed, nothing more; many additions before
its turn are one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.errors import AsyncEndpointsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("asyncendpoints.operator")

FIRST_SECONDS: Final = 0.5
MAX_SECONDS: Final = 60.0


class KeyQueue:
    """Keys and when each is due."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._running: set[str] = set()
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys wait for their turn, those left out that are for later."""
        now = asyncio.get_running_loop().time()
        return sum(at <= now for at in self._due.values())

    def add(self, key: str, delay: float = 0.0) -> None:
        """Have `key` worked on in `delay` seconds, or at an earlier time already set."""
        at = asyncio.get_running_loop().time() + delay
        known = self._due.get(key)
        if known is not None and known <= at:
            return
        self._due[key] = at
        heapq.heappush(self._heap, (at, next(self._order), key))
        self._changed.set()

    async def run(self, work: Callable[[str], Awaitable[float | None]], workers: int = 4) -> None:
        """Work on keys until cancelled.

        `work` returns after how many seconds it wants the key again, None for not by itself. One
        that raises has its key again after a backoff.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._serve(work))

    async def _serve(self, work: Callable[[str], Awaitable[float | None]]) -> None:
        while True:
            key = await self._next()
            self._running.add(key)
            try:
                again = await work(key)
            except Exception as error:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                again = delay_after(failures, FIRST_SECONDS, MAX_SECONDS)
                self._log(key, error, failures, again)
            else:
                self._failures.pop(key, None)
            finally:
                self._running.discard(key)
                self._changed.set()
            if again is not None:
                self.add(key, again)

    async def _next(self) -> str:
        """Take the key that is due first and is not being worked on."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            key, wait = self._pick(loop.time())
            if key is not None:
                return key
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _pick(self, now: float) -> tuple[str | None, float | None]:
        """Return a key that is due, or None and how long until the next one (None: no other)."""
        busy = []
        found, wait = None, None
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) != at:
                heapq.heappop(self._heap)  # taken meanwhile, or due earlier
            elif at > now:
                wait = at - now
                break
            elif key in self._running:
                busy.append(heapq.heappop(self._heap))
            else:
                heapq.heappop(self._heap)
                del self._due[key]
                found = key
                break
        for entry in busy:
            heapq.heappush(self._heap, entry)
        return found, wait

    def _log(self, key: str, error: Exception, failures: int, again: float) -> None:
        expected = isinstance(error, AsyncEndpointsError)
        log.warning(
            "%s: %s; again in %.1f s",
            key,
            str(error) or type(error).__name__,
            again,
            exc_info=None if expected else error,
            extra={"failures": failures},
        )
