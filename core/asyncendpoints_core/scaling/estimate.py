"""Estimates the arrival rate and service time of jobs from counters read about once a second. Pure.

Old readings decay exponentially; no data is kept per job.
"""

from __future__ import annotations

from math import exp
from typing import Final

import msgspec

# Chosen with tests/bench/simulate_scaling.py. With a slower service time, long jobs that follow
# short ones wait minutes for workers; with a faster rate, every pulse adds workers that stay idle.
RATE_MS: Final = 15_000
"""Time constant of the arrival rate."""
SERVICE_MS: Final = 10_000
"""Time constant of the service time, which decays only while jobs run."""
MAX_GAP_MS: Final = 5_000
"""A longer gap between readings is an outage; they are not used to estimate the rate."""

MIN_ENDED: Final = 0.001
"""Below this decayed number of finished runs, the service time is unknown."""


class Estimate(msgspec.Struct, frozen=True):
    """The state of the estimation, with the results `service_s` and `arrivals_s`.

    `ended`, `busy_ms` (duration of finished runs) and `occupied_ms` (time that slots were held)
    decay with SERVICE_MS, `arrivals_s` (jobs that become ready per second) with RATE_MS.
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
        """The mean duration of a run in seconds, None if none has finished recently.

        By Little's law it is the occupied time over the finished runs, which long jobs raise before
        they finish. The mean of finished runs is better for jobs that are too short to be observed
        while running. The larger of both counts.
        """
        if self.ended < MIN_ENDED:
            return None
        return max(self.busy_ms, self.occupied_ms) / self.ended / 1_000


def observe(
    before: Estimate, now_ms: int, ready: int, held: int, totals: tuple[int, int, int]
) -> Estimate:
    """Update by a reading: jobs ready and held now, and the counters (claimed, ended, busy ms)."""
    elapsed = now_ms - before.at_ms
    claimed, ended, busy = (new - old for new, old in zip(totals, before.totals, strict=True))
    if not before.at_ms or elapsed > MAX_GAP_MS or min(claimed, ended, busy) < 0:
        # The first reading, an outage, or a reset store: only a new baseline.
        return msgspec.structs.replace(before, at_ms=now_ms, ready=ready, totals=totals)
    if elapsed <= 0:
        return before
    # Jobs that became ready since are either still waiting or were claimed.
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
