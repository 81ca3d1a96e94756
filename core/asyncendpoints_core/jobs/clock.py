"""Time as an injected value: milliseconds since the Unix epoch, UTC.

The Redis store takes its time from Redis inside its scripts; this clock serves the memory store
and the parts that only show or compare times.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time."""

    def now_ms(self) -> int:
        """Return the time in whole milliseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clock, never stepping back within one process."""

    def __init__(self) -> None:
        """Start at the machine's present time."""
        self._last = 0

    def now_ms(self) -> int:
        """Return the wall clock's time, or the last one told if the wall clock stepped back."""
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last


class ManualClock:
    """A clock that moves only when it is told to; for tests and simulations."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        """Start at `now_ms`."""
        self._now = now_ms

    def now_ms(self) -> int:
        """Return the time it was last moved to."""
        return self._now

    def advance(self, ms: int) -> None:
        """Move forward by `ms` milliseconds."""
        self._now += ms


def rfc3339(ms: int) -> str:
    """Format milliseconds since the epoch as RFC 3339 in UTC, `2026-01-31T08:00:00.000Z`."""
    return (
        datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
    )
