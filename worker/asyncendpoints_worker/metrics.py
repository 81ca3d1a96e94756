"""The metrics of a worker: counted in each child process, added up and served by its supervisor.

A child reports its metrics as one Snapshot. The sum of the children that ended is kept, so that
counters never decrease.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.common.histogram import Histogram
from asyncendpoints_core.jobs.records import OutcomeKind
from asyncendpoints_core.store.replies import SettleStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.jobs.records import ClaimedJob

BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds of both histograms."""
APPLIED: Final = SettleStatus.APPLIED
OUTCOMES: Final = {
    OutcomeKind.COMPLETE: "completed",
    OutcomeKind.RETRY: "retried",
    OutcomeKind.FAIL: "failed",
    OutcomeKind.RELEASE: "released",
    OutcomeKind.CANCELED: "canceled",
    OutcomeKind.TIME_OUT: "timed-out",
}


class Snapshot(msgspec.Struct, array_like=True):
    """The metrics of one process.

    `durations`: how long attempts ran, by job name and outcome. `starts`: how long jobs waited
    from being due to their start, by job name. `counters`: by name.
    """

    durations: dict[str, dict[str, Histogram]]
    starts: dict[str, Histogram]
    counters: dict[str, int]


class Metrics:
    """What the engine of one process counts in."""

    def __init__(self) -> None:
        self.snapshot = Snapshot({}, {}, {})
        self._durations: dict[tuple[str, OutcomeKind], Histogram] = {}

    def claimed(self, jobs: Sequence[ClaimedJob]) -> None:
        """Count jobs that start."""
        starts = self.snapshot.starts
        for claimed in jobs:
            job = claimed.job
            histogram = starts.get(job.name)
            if histogram is None:
                histogram = starts[job.name] = Histogram.empty(BUCKETS)
            waited = (job.started_ms - max(job.created_ms, job.not_before_ms)) / 1000
            # What Histogram.observe does: these two lines run once for each job.
            histogram.counts[bisect_left(BUCKETS, waited)] += 1
            histogram.total += waited

    def ended(self, name: str, kind: OutcomeKind, seconds: float) -> None:
        """Count an attempt of the job `name` that ended after `seconds`."""
        key = name, kind
        histogram = self._durations.get(key)
        if histogram is None:
            histogram = self._durations[key] = Histogram.empty(BUCKETS)
            by_outcome = self.snapshot.durations.setdefault(name, {})
            by_outcome[OUTCOMES[kind]] = histogram
        histogram.counts[bisect_left(BUCKETS, seconds)] += 1
        histogram.total += seconds

    def settled(self, statuses: Iterable[SettleStatus]) -> None:
        """Count the settlements that the store did not apply, by their status."""
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


def total_of(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the sum of metrics."""
    total = Snapshot({}, {}, {})
    for snapshot in snapshots:
        add(total, snapshot)
    return total


def _add(into: dict[str, Histogram], key: str, part: Histogram) -> None:
    total = into.get(key)
    if total is None:
        into[key] = Histogram(list(part.counts), part.total)
    else:
        total.merge(part)
