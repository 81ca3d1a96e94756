"""When a delivery that failed is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.retry_after import retry_after_ms

if TYPE_CHECKING:
    from collections.abc import Callable

_HOUR: Final = 3_600
DELAYS: Final = (
    *(5, 300, 1_800),
    *(2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
"""Seconds before each further try; after the last one a delivery is dead."""
JITTER: Final = 0.1
MAX_RETRY_AFTER: Final = 24.0 * _HOUR


def delay_after(tries: int, retry_after: float, random: Callable[[], float]) -> float | None:
    """Return the seconds before the next try after `tries` failed ones; None after the last.

    A longer `retry_after`, the receiver's header in seconds, wins.
    """
    if tries > len(DELAYS):
        return None
    delay = DELAYS[tries - 1] * (1 - JITTER + 2 * JITTER * random())
    return max(delay, min(retry_after, MAX_RETRY_AFTER))


def read_retry_after(value: str, now_ms: int) -> float:
    """Return the header Retry-After in seconds; 0 when there is none."""
    return (retry_after_ms(value, now_ms) or 0) / 1000
