"""Time as a constructor argument: the wall clock, waiting, deadlines. No module reads it elsewhere.

The Redis store takes its time from Redis inside its scripts. Everything else in a process that
waits or compares times takes a `TimeSource`.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Drop the call; does nothing once it was made."""
        ...


class TimeSource(Protocol):
    """Two scales: `now_ms` for what is stored or shown, `monotonic` for measuring and waiting."""

    def now_ms(self) -> int:
        """Return whole milliseconds since the Unix epoch, UTC; never less than before."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment, unaffected by changes of the wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Return a context manager that raises TimeoutError after `seconds` (None = never)."""
        ...

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Schedule `call()` at `when` (`monotonic`'s scale) in the running event loop."""
        ...


class SystemTime:
    """The machine's clocks and the running event loop's timers."""

    monotonic = staticmethod(time.monotonic)  # itself: workers call it once for each job

    def __init__(self) -> None:
        self._last = 0

    def now_ms(self) -> int:
        """Return the wall clock's time, or the last one returned if the wall clock went back."""
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Return asyncio's timeout."""
        return asyncio.timeout(seconds)

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Schedule `call()` by the running loop."""
        delay = max(0.0, when - time.monotonic())
        return asyncio.get_running_loop().call_later(delay, call)


class ManualClock:
    """Time that moves only by `advance`; for tests and simulations."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        """Start at `now_ms`."""
        self._now_ms = float(now_ms)
        self._number = count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []

    def now_ms(self) -> int:
        """Return the time it was last moved to."""
        return int(self._now_ms)

    def monotonic(self) -> float:
        """Return the same time in seconds."""
        return self._now_ms / 1000

    @property
    def exact_ms(self) -> float:
        """The time in milliseconds since the epoch, with their fraction."""
        return self._now_ms

    @property
    def waiting(self) -> int:
        """How many scheduled calls are still to be made."""
        return sum(timer.pending for _, _, timer in self._timers)

    @property
    def next_due_ms(self) -> float | None:
        """When the next scheduled call is due, in milliseconds since the epoch."""
        while self._timers and not self._timers[0][2].pending:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, ms: float) -> None:
        """Move forward by `ms` milliseconds, making the calls that fall due in their order.

        Tasks that a call wakes run when the caller next awaits.
        """
        self.advance_to(self._now_ms + ms)

    def advance_to(self, end: float) -> None:
        """Move forward to `end`, milliseconds since the epoch, as `advance` does."""
        while self._timers and self._timers[0][0] <= end:
            due_ms, _, timer = heapq.heappop(self._timers)
            self._now_ms = max(self._now_ms, due_ms)
            timer.fire()
        self._now_ms = max(self._now_ms, end)

    async def sleep(self, seconds: float) -> None:
        """Return once the time has moved on by `seconds`; at once for 0 or less."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_at(self.monotonic() + seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[object]:
        """Raise TimeoutError in the block once the time has moved on by `seconds`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:
            if seconds is None:
                yield scope
                return
            timer = self.call_at(self.monotonic() + seconds, lambda: scope.reschedule(loop.time()))
            try:
                yield scope
            finally:
                timer.cancel()

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Schedule `call()` for the `advance` that reaches `when`, in seconds of `monotonic`."""
        due_ms = when * 1000
        while due_ms / 1000 < when:  # or who waits for `when` would find a rest, and again
            due_ms = math.nextafter(due_ms, math.inf)
        timer = _ManualTimer(call)
        heapq.heappush(self._timers, (due_ms, next(self._number), timer))
        return timer


class _ManualTimer:
    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call

    @property
    def pending(self) -> bool:
        return self._call is not None

    def cancel(self) -> None:
        self._call = None

    def fire(self) -> None:
        if self._call is not None:
            self._call()


def rfc3339(ms: int) -> str:
    """Format milliseconds since the epoch as RFC 3339 in UTC, `2026-01-31T08:00:00.000Z`."""
    return (
        datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
    )


def parse_rfc3339(text: str) -> float:
    """Return a time in RFC 3339 as milliseconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp() * 1000
