"""The worker's Prometheus metrics, made from a snapshot at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from asyncendpoints_worker.metrics import BUCKETS
from asyncendpoints_worker.supervisor.child_exit import CAUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from asyncendpoints_worker.metrics import Snapshot

COUNTERS: Final = {
    "settle_already": "Settlements that the store had already applied: a reply was lost.",
    "settle_stale": "Settlements refused because another worker holds the job by now.",
    "settle_gone": "Settlements of jobs that no longer exist.",
    "recovered_jobs": "Jobs that this worker recovered from lost workers.",
}


class WorkerCollector(Collector):
    """Reads `snapshot()` at each scrape."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        snapshot = self._snapshot()
        duration = HistogramMetricFamily(
            "asyncendpoints_attempt_duration_seconds",
            "How long attempts ran.",
            labels=("job", "outcome"),
        )
        attempts = CounterMetricFamily(
            "asyncendpoints_attempts", "Attempts that ended.", labels=("job", "outcome")
        )
        for job, outcomes in snapshot.durations.items():
            for outcome, histogram in outcomes.items():
                duration.add_metric((job, outcome), histogram.buckets(BUCKETS), histogram.total)
                attempts.add_metric((job, outcome), sum(histogram.counts))
        start = HistogramMetricFamily(
            "asyncendpoints_time_to_start_seconds",
            "How long jobs waited from being due to their start.",
            labels=("job",),
        )
        for job, histogram in snapshot.starts.items():
            start.add_metric((job,), histogram.buckets(BUCKETS), histogram.total)
        yield from (duration, attempts, start)
        crashes = CounterMetricFamily(
            "asyncendpoints_worker_child_crashes",
            "Child processes that ended unexpectedly, by cause: out-of-memory, signal, exit.",
            labels=("cause",),
        )
        for cause in CAUSES:
            crashes.add_metric((cause,), snapshot.counters.get(f"child_crashes_{cause}", 0))
        yield crashes
        for name, text in COUNTERS.items():
            count = CounterMetricFamily(f"asyncendpoints_worker_{name}", text)
            count.add_metric((), snapshot.counters.get(name, 0))
            yield count
