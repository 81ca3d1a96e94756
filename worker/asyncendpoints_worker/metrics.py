"""What a worker measures: cheap to count in a child, summed and shown by its supervisor.

A child's figures travel as one Snapshot; the sum over children that ended is kept, so that
counters never go back.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.records import OutcomeKind
from asyncendpoints_core.store.protocol import SettleStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.jobs.records import ClaimedJob, Outcome
    from asyncendpoints_worker.engine.slots import Slot

DURATION_BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
START_BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
APPLIED: Final = SettleStatus.APPLIED
OUTCOMES: Final = {
    OutcomeKind.COMPLETE: "completed",
    OutcomeKind.RETRY: "retried",
    OutcomeKind.FAIL: "failed",
    OutcomeKind.RELEASE: "released",
    OutcomeKind.CANCELED: "canceled",
    OutcomeKind.TIME_OUT: "timed-out",
}


class Histogram(msgspec.Struct, array_like=True):
    """Counts below each bound of a bucket list, the last one for all above, and the sum."""

    counts: list[int]
    total: float = 0.0


class Snapshot(msgspec.Struct, array_like=True):
    """All figures of one process. `durations`: by job name and outcome, seconds of an attempt.

    `starts`: by job name, seconds from ready to started. `counters`: by name.
    """

    durations: dict[str, dict[str, Histogram]]
    starts: dict[str, Histogram]
    counters: dict[str, int]


class Metrics:
    """The figures of one process, for its engine to count in."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.snapshot = Snapshot({}, {}, {})
        self._durations: dict[tuple[str, OutcomeKind], Histogram] = {}

    def claimed(self, jobs: Sequence[ClaimedJob]) -> None:
        """Count jobs that start now."""
        starts = self.snapshot.starts
        for claimed in jobs:
            job = claimed.job
            histogram = starts.get(job.name)
            if histogram is None:
                histogram = starts[job.name] = Histogram([0] * (len(START_BUCKETS) + 1))
            waited = (job.started_ms - max(job.created_ms, job.not_before_ms)) / 1000
            histogram.counts[bisect_left(START_BUCKETS, waited)] += 1
            histogram.total += waited

    def ended(self, slot: Slot, outcome: Outcome, now: float) -> None:
        """Count an attempt that ended at `now` (loop time)."""
        key = slot.claimed.job.name, outcome.kind
        histogram = self._durations.get(key)
        if histogram is None:
            histogram = self._durations[key] = Histogram([0] * (len(DURATION_BUCKETS) + 1))
            by_outcome = self.snapshot.durations.setdefault(key[0], {})
            by_outcome[OUTCOMES[outcome.kind]] = histogram
        seconds = now - slot.began
        histogram.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
        histogram.total += seconds

    def settled(self, statuses: Iterable[SettleStatus]) -> None:
        """Count settlements by what the store made of them."""
        for status in statuses:
            if status is not APPLIED:
                self.count(f"settle_{status.value}")

    def count(self, name: str, by: int = 1) -> None:
        """Add to a plain counter."""
        counters = self.snapshot.counters
        counters[name] = counters.get(name, 0) + by


def add(total: Snapshot, part: Snapshot) -> None:
    """Add `part` to `total`."""
    for name, outcomes in part.durations.items():
        into = total.durations.setdefault(name, {})
        for outcome, histogram in outcomes.items():
            _add(into, outcome, histogram)
    for name, histogram in part.starts.items():
        _add(total.starts, name, histogram)
    for name, count in part.counters.items():
        total.counters[name] = total.counters.get(name, 0) + count


def _add(into: dict[str, Histogram], key: str, part: Histogram) -> None:
    total = into.get(key)
    if total is None:
        into[key] = Histogram(list(part.counts), part.total)
        return
    total.counts = [a + b for a, b in zip(total.counts, part.counts, strict=True)]
    total.total += part.total
