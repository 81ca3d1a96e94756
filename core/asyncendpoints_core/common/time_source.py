"""Time as a value that is passed: now, waiting, deadlines. Production has one, tests another.

The Redis store takes its time from Redis inside its scripts. Everything else that waits or
compares times in a process takes a `TimeSource`: the memory store, the engine and its heartbeats,
the gateway's long polls, and job ids.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from asyncendpoints_core.jobs.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Do not make the call; after it was made, nothing."""


class TimeSource(Protocol):
    """Where a process takes its time from. Two scales: `now_ms` for what is stored or shown,
    `monotonic` for measuring and waiting.
    """

    def now_ms(self) -> int:
        """Return whole milliseconds since the Unix epoch, UTC; never less than before."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that nobody sets; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """Return an asynchronous context manager that raises TimeoutError after `seconds`."""
        ...

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Arrange for `call()` at `when` (`monotonic`'s scale), in the running event loop."""
        ...


class SystemTime(SystemClock):
    """The machine's clock and the running event loop's timers."""

    def monotonic(self) -> float:
        """Return the event loop's time, which is the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """Return asyncio's timeout."""
        return asyncio.timeout(seconds)

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Arrange for `call()` by the running loop."""
        loop = asyncio.get_running_loop()
        return loop.call_later(max(0.0, when - self.monotonic()), call)
