"""Exponential backoff with jitter, for everything that is retried until it succeeds.

The delays between the attempts of a job are part of its retry policy: see jobs/retry.py.
"""

from __future__ import annotations

import random


def delay_after(failures: int, first: float, most: float) -> float:
    """Return the seconds to wait after `failures` (from 1) consecutive failures.

    `first` doubles with each failure up to `most`; half of the result is random, so that clients
    of a restarted server do not all reconnect at once.
    """
    full = min(most, first * 2.0 ** min(failures - 1, 32))
    return full * random.uniform(0.5, 1)  # noqa: S311 - not a secret


class Backoff:
    """The delays of one retry loop: see `delay_after`."""

    __slots__ = ("_failures", "_first", "_most")

    def __init__(self, first: float = 0.05, most: float = 2.0) -> None:
        """Start at `first` seconds and grow up to `most`."""
        self._first = first
        self._most = most
        self._failures = 0

    def next(self) -> float:
        """Count a failure and return the seconds to wait before the next attempt."""
        self._failures += 1
        return delay_after(self._failures, self._first, self._most)

    def reset(self) -> None:
        """Start again at `first`, after a success."""
        self._failures = 0
