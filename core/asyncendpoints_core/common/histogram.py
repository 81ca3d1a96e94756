"""A histogram that is cheap to count in and small to send to another process."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Histogram(msgspec.Struct, array_like=True):
    """How many values fell into each bucket, and their sum.

    The upper bounds of the buckets are constants of the metric and passed to each method, so that
    they are not sent with the counts. The last count is that of the values above every bound.
    """

    counts: list[int]
    total: float = 0.0

    @classmethod
    def empty(cls, bounds: Sequence[float]) -> Self:
        """Return a histogram without values."""
        return cls([0] * (len(bounds) + 1))

    def observe(self, bounds: Sequence[float], value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value

    def merge(self, other: Histogram) -> None:
        """Add the values of another histogram of the same bounds."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def buckets(self, bounds: Sequence[float]) -> list[tuple[str, float]]:
        """Return Prometheus' cumulative buckets: (bound, how many values were not above it)."""
        names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))
