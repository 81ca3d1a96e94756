"""Pauses of single job names: when they began and ended, and how long a time to live stood still.

Times are in running time, which stands still while the whole endpoint is paused, so no time counts
twice. lua/lib/pauses.lua does the same in Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Pause = tuple[int, int]
"""When it began and ended, in running time; the end is 0 while it lasts."""

KEPT: Final = 8
"""Pauses of one name that are kept apart; older ones are merged into the one after them."""


def begin(pauses: Sequence[Pause], now: int) -> list[Pause]:
    """Return the pauses of a name that is paused from `now` on, if it was not before."""
    if is_paused(pauses):
        return list(pauses)
    kept = [*pauses, (now, 0)]
    while len(kept) > KEPT:
        (first, end), (begun, ended), *rest = kept
        kept = [(begun - (end - first), ended), *rest]
    return kept


def end(pauses: Sequence[Pause], now: int) -> list[Pause]:
    """Return the pauses of a name that is not paused any more."""
    return [(begun, ended or now) for begun, ended in pauses]


def is_paused(pauses: Sequence[Pause]) -> bool:
    """Whether the last pause lasts."""
    return bool(pauses) and not pauses[-1][1]


def stood_still(pauses: Sequence[Pause], since: int, now: int) -> int:
    """Return how much of the time from `since` to `now` they take."""
    return sum(max(0, (ended or now) - max(begun, since)) for begun, ended in pauses)
