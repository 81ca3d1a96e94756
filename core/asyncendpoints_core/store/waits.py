"""How long jobs waited before they started: a histogram, which the stores count on each claim.

Bucket n has the waits of at least 2^((n - 1) / 2) - 1 ms and less than 2^(n / 2) - 1 ms, so that
an interpolated quantile is off by a third at most; lua/lib/waits.lua counts in the same buckets.
"""

from __future__ import annotations

from math import frexp, sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIDDLE: Final = sqrt(0.5)


def bucket_of(wait_ms: int) -> int:
    """Return the bucket of a wait."""
    mantissa, exponent = frexp(wait_ms + 1)
    return 2 * exponent - (mantissa < _MIDDLE)


def quantile(histogram: Mapping[int, int], share: float) -> int | None:
    """Return the wait (ms) that a `share` (0 to 1) of those counted do not exceed."""
    rank = share * sum(histogram.values())
    below = 0
    for bucket, count in sorted(histogram.items()):
        if count > 0 and below + count >= rank:
            low, high = 2 ** ((bucket - 1) / 2), 2 ** (bucket / 2)
            return int(low + (high - low) * (rank - below) / count - 1)
        below += count
    return None
