"""A deduplicating work queue of keys, as controllers use it (client-go's workqueue).

A key is processed by one worker at a time, and again if it was added meanwhile. A key whose
processing fails is requeued with backoff.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.errors import AsyncEndpointsError

log = logging.getLogger("asyncendpoints.operator")

FIRST_SECONDS: Final = 0.5
MAX_SECONDS: Final = 15.0


class WorkQueue:
    """Keys, each with the time at which it is due."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._running: set[str] = set()
        self._failures: dict[str, int] = {}
        self._logged: dict[str, str] = {}  # the last error of each key that fails
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of keys that are due now."""
        now = asyncio.get_running_loop().time()
        return sum(at <= now for at in self._due.values())

    def add(self, key: str, delay: float = 0.0) -> None:
        """Add `key`, to be processed in `delay` seconds unless it is due earlier already."""
        at = asyncio.get_running_loop().time() + delay
        known = self._due.get(key)
        if known is not None and known <= at:
            return
        self._due[key] = at
        heapq.heappush(self._heap, (at, next(self._order), key))
        self._changed.set()

    async def run(self, work: Callable[[str], Awaitable[float | None]], workers: int = 4) -> None:
        """Process keys until cancelled.

        `work` returns the delay in seconds after which the key is requeued, None for never. If it
        raises, the key is requeued with backoff.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._process(work))

    async def _process(self, work: Callable[[str], Awaitable[float | None]]) -> None:
        while True:
            key = await self._next()
            self._running.add(key)
            try:
                requeue_after = await work(key)
            except Exception as error:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                requeue_after = delay_after(failures, FIRST_SECONDS, MAX_SECONDS)
                self._log(key, error, failures, requeue_after)
            else:
                self._succeeded(key)
            finally:
                self._running.discard(key)
                self._changed.set()
            if requeue_after is not None:
                self.add(key, requeue_after)

    async def _next(self) -> str:
        """Wait for a key that is due and not being processed, and take it."""
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
        """Return a key that is due, or None and the seconds until the next one (None: no keys)."""
        busy = []
        found, wait = None, None
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) != at:
                heapq.heappop(self._heap)  # outdated: the key was taken, or is due earlier
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

    def _succeeded(self, key: str) -> None:
        failures = self._failures.pop(key, 0)
        if self._logged.pop(key, None) is not None:
            log.info("%s: resolved after %d failed attempts", key, failures)

    def _log(self, key: str, error: Exception, failures: int, requeue_after: float) -> None:
        """Log an error once while it is the same: it is counted, and logged when it is resolved."""
        expected = isinstance(error, AsyncEndpointsError)
        text = str(error) or type(error).__name__
        level = logging.DEBUG if self._logged.get(key) == text else logging.WARNING
        self._logged[key] = text
        log.log(
            level,
            "%s: %s; retry in %.1f s",
            key,
            text,
            requeue_after,
            exc_info=None if expected else error,
            extra={"failures": failures},
        )
