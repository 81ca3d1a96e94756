"""The gateway's Prometheus metrics, in a registry of their own for each application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from asyncendpoints_core.telemetry import Metric as Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from asyncendpoints_core.store.protocol import Stats

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 500)
OPERATIONS: Final = (
    "submit",
    "job",
    "result",
    "events",
    "cancel",
    "retry",
    "list",
    "docs",
    "options",
    "none",
)
"""What a request was for; never a path, which clients could make up without end."""


class Metrics:
    """Everything the gateway counts. `waiters` gives how many requests wait now."""

    def __init__(self, waiters: Callable[[], int]) -> None:
        """Register every metric."""
        self.registry = CollectorRegistry()
        self._submissions = Counter(
            Name.SUBMISSIONS,
            "Requests to routes, by job name and what became of them: created, or the problem.",
            ("job", "outcome"),
            registry=self.registry,
        )
        self._requests = Histogram(
            Name.REQUESTS,
            "How long requests took, waiting included.",
            ("operation", "status"),
            buckets=DURATIONS,
            registry=self.registry,
        )
        self._batches = Histogram(
            Name.BATCH,
            "Items in one call to the store.",
            ("verb",),
            buckets=SIZES,
            registry=self.registry,
        )
        self._store_errors = Counter(
            Name.STORE_ERRORS, "Requests that the store did not answer.", registry=self.registry
        )
        Gauge(
            Name.WAITERS, "Requests that wait for a job to change.", registry=self.registry
        ).set_function(waiters)
        self._figures = Figures()
        self.registry.register(self._figures)
        # Looking a labelled child up costs more than counting in it, so each is kept once found.
        self._request_children: dict[tuple[str, int], Histogram] = {}
        self._submission_children: dict[tuple[str, str], Counter] = {}

    def request(self, operation: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (operation, status)
        child = self._request_children.get(key)
        if child is None:
            child = self._request_children[key] = self._requests.labels(operation, str(status))
        child.observe(seconds)

    def submission(self, job: str, outcome: str) -> None:
        """Count one submission."""
        key = (job, outcome)
        child = self._submission_children.get(key)
        if child is None:
            child = self._submission_children[key] = self._submissions.labels(job, outcome)
        child.inc()

    def batch_of(self, verb: str) -> Callable[[int], None]:
        """Return what counts the size of each call of `verb`."""
        child = self._batches.labels(verb)
        return child.observe

    def store_error(self) -> None:
        """Count a request that the store did not answer."""
        self._store_errors.inc()

    def stats(self, stats: Stats | None) -> None:
        """Show these figures of the store; None: it did not answer."""
        self._figures.show(stats)

    def scrape(self) -> bytes:
        """Return every metric in Prometheus' text format."""
        return generate_latest(self.registry)


class Figures(Collector):
    """The store's own figures, as last read. While it does not answer they are left out."""

    def __init__(self) -> None:
        """Begin with nothing to show."""
        self._stats: Stats | None = None

    def show(self, stats: Stats | None) -> None:
        """Show these from now on."""
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        stats = self._stats
        yield GaugeMetricFamily(Name.STORE_UP, "Whether the store answers.", value=bool(stats))
        if stats is None:
            return
        jobs = GaugeMetricFamily(
            Name.JOBS, "Retained jobs by name and state.", labels=("job", "state")
        )
        for name, states in stats.by_name.items():
            for state, count in states.items():
                jobs.add_metric((name, state.value), count)
        age = max(0, stats.now_ms - stats.oldest_ms) / 1000 if stats.oldest_ms else 0.0
        yield jobs
        yield GaugeMetricFamily(Name.QUEUE_AGE, "How long the oldest queued job waits.", value=age)
        yield GaugeMetricFamily(
            Name.QUEUE_BYTES, "Bytes of the requests that wait or run.", value=stats.bytes
        )
        yield GaugeMetricFamily(Name.WORKERS, "Registered workers.", value=stats.workers)
        events = CounterMetricFamily(
            Name.TOTALS, "What happened to jobs since the endpoint's creation.", labels=("event",)
        )
        for name, count in sorted(stats.totals.items()):
            if not name.endswith("_ms"):
                events.add_metric((name,), count)
        yield events
