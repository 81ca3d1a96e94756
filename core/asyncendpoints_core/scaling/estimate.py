"""How fast jobs come and how long one takes, from counters that are read about once a second.

Pure. Old readings fade away; nothing has to be kept per job.
"""

from __future__ import annotations

from math import exp
from typing import Final

import msgspec

# Both were chosen by tests/bench/simulate_scaling.py. A service time that is slower to learn lets
# ten-minute jobs wait minutes for workers when short ones came before them; a faster rate follows
# every pulse with workers that stand idle.
RATE_MS: Final = 15_000
"""Time constant of the arrival rate."""
SERVICE_MS: Final = 10_000
"""Time constant of the service time, counted only while something runs."""
MAX_GAP_MS: Final = 5_000
"""Readings further apart than this have an outage between them, and say nothing of the rate."""

MIN_ENDED: Final = 0.001
"""Less is left of the last run's end than can be divided by: nothing is known any more."""


class Estimate(msgspec.Struct, frozen=True):
    """What the readings so far say; `service_s` and `arrivals_s` are its results.

    `ended`, `busy_ms` (the time of ended runs) and `occupied_ms` (the time that slots were held)
    fade with SERVICE_MS, `arrivals_s` (jobs that become ready a second) with RATE_MS.
    """

    at_ms: int = 0
    ready: int = 0
    totals: tuple[int, int, int] = (0, 0, 0)
    arrivals_s: float = 0.0
    ended: float = 0.0
    busy_ms: float = 0.0
    occupied_ms: float = 0.0

    @property
    def service_s(self) -> float | None:
        """The mean time of one run in seconds, or None while no run has ended lately.

        By Little's law, slots held over runs ended: jobs that run and run without ending raise it,
        where the mean of the ended ones would go on promising that all jobs are short. That mean
        is the better one for jobs too short to be seen running, so the larger of both counts.
        """
        if self.ended < MIN_ENDED:
            return None
        return max(self.busy_ms, self.occupied_ms) / self.ended / 1_000


def observe(
    before: Estimate, now_ms: int, ready: int, held: int, totals: tuple[int, int, int]
) -> Estimate:
    """Take in a reading: jobs ready and held now, and the totals (claimed, ended, busy ms)."""
    elapsed = now_ms - before.at_ms
    claimed, ended, busy = (new - old for new, old in zip(totals, before.totals, strict=True))
    if not before.at_ms or elapsed > MAX_GAP_MS or min(claimed, ended, busy) < 0:
        # The first reading, an outage, or a store that began anew: only a place to count from.
        return msgspec.structs.replace(before, at_ms=now_ms, ready=ready, totals=totals)
    if elapsed <= 0:
        return before
    # What came became ready, and is still waiting or was claimed meanwhile.
    rate = max(0, claimed + ready - before.ready) * 1_000 / elapsed
    weight = 1 - exp(-elapsed / RATE_MS)
    fade = exp(-elapsed / SERVICE_MS) if held or ended else 1.0
    return Estimate(
        at_ms=now_ms,
        ready=ready,
        totals=totals,
        arrivals_s=before.arrivals_s + weight * (rate - before.arrivals_s),
        ended=before.ended * fade + ended,
        busy_ms=before.busy_ms * fade + busy,
        occupied_ms=before.occupied_ms * fade + held * elapsed,
    )
