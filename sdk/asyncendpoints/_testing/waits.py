"""What a clock and a client wait for while an endpoint runs in a test."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from asyncendpoints._testing.clock import driver_of
from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from asyncendpoints._testing.clock import Clock
    from asyncendpoints_core.store.memory import MemoryStore
    from asyncendpoints_worker.local import LocalWorker

    T = TypeVar("T")

QUIET_SECONDS: Final = 1.0
"""Real time in which nothing happens before a wait is taken to be for the clock."""


class ClockStopped(RuntimeError):
    """A wait that only the clock could end; the message names what is due next, and when."""


class Waits:
    """The waits of one running endpoint; see clock.Worked."""

    def __init__(self, store: MemoryStore, worker: LocalWorker, clock: Clock | None) -> None:
        self._store = store
        self._worker = worker
        self._clock = clock
        self._given_up: frozenset[int] = frozenset()
        self._waiting = 0

    async def busy(self) -> bool:
        """Whether attempts run or can start, but for those that were given up."""
        running = self._worker.running
        if running - self._given_up or self._worker.held > len(running):
            return True
        queued = await self._queued()
        return queued > self._waiting and len(running) < self._worker.concurrency

    async def give_up(self) -> None:
        """Wait no more for what runs and waits now."""
        self._given_up = self._worker.running
        self._waiting = await self._queued()

    async def _queued(self) -> int:
        return (await self._store.stats()).counts.get(State.QUEUED, 0)

    async def _due(self) -> str:
        clock = self._clock
        due = (await self._store.stats()).due_ms
        if clock is None or not due:
            return "no job is due"
        seconds = (due[0] - clock.now_ms()) / 1000
        return (
            f"the next job is due at {rfc3339(due[0])}, in {seconds:g} s: "
            f"await clock.advance({seconds:g})"
        )

    async def guard(self, waited: Awaitable[T]) -> T:
        """Await something; ClockStopped once nothing but the clock could end it."""
        if self._clock is None:
            return await waited
        task, driver = asyncio.ensure_future(waited), driver_of(self._clock)
        quiet_since, seen = time.monotonic(), self._clock.now_ms()
        try:
            while not (await asyncio.wait([task], timeout=0.05))[0]:
                moved, seen = seen != self._clock.now_ms(), self._clock.now_ms()
                if moved or driver.advancing or await self.busy() or self._worker.running:
                    quiet_since = time.monotonic()
                elif time.monotonic() - quiet_since > QUIET_SECONDS:
                    raise ClockStopped(f"this waits for the clock; {await self._due()}")
            return task.result()
        finally:
            task.cancel()

    async def sleep(self, seconds: float) -> None:
        """Wait as the client does between its tries."""
        if self._clock is None:
            await asyncio.sleep(seconds)
        else:
            await self.guard(self._clock.sleep(seconds))
