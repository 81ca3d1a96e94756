"""The gateway's Prometheus metrics; each application has a registry of its own."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from asyncendpoints_core.common.histogram import Histogram
from asyncendpoints_core.process.telemetry import Metric as Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncendpoints_core.common.admin_server import MetricSource
    from asyncendpoints_core.store.deliveries import WebhookStatus
    from asyncendpoints_core.store.replies import Stats

DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 500)


class Metrics(Collector):
    """What the gateway counts. `waiters` returns how many requests wait for a job.

    Counting is a few additions without the locks of prometheus-client's metrics, since it all
    happens on one event loop. A scrape turns the counts into metrics.
    """

    def __init__(self, waiters: Callable[[], int]) -> None:
        self._waiters = waiters
        self._submissions: Counter[tuple[str, str]] = Counter()
        self._requests: dict[tuple[str, int], Histogram] = {}
        self._batches: dict[str, Histogram] = {}
        self._schedule_times: Counter[tuple[str, str]] = Counter()
        self._store_errors = 0
        self._tries: Counter[tuple[str, str]] = Counter()
        self._webhooks: WebhookStatus | None = None
        self.fast_path = False
        self._stats: Stats | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def request(self, operation: str, status: int, seconds: float) -> None:
        """Count one request. `operation` is never a path: clients can send any number of these."""
        found = self._requests.get((operation, status))
        if found is None:
            found = self._requests[operation, status] = Histogram.empty(DURATIONS)
        found.observe(DURATIONS, seconds)

    def submission(self, job: str, outcome: str) -> None:
        """Count one submission."""
        self._submissions[job, outcome] += 1

    def schedule_times(self, schedule: str, outcome: str, times: int) -> None:
        """Count times of a schedule."""
        self._schedule_times[schedule, outcome] += times

    def batch_of(self, verb: str) -> Callable[[int], None]:
        """Return the function that counts the items of one call of `verb`."""
        return partial(self._batches.setdefault(verb, Histogram.empty(SIZES)).observe, SIZES)

    def webhook_try(self, webhook: str, outcome: str) -> None:
        """Count one try to deliver an event."""
        self._tries[webhook, outcome] += 1

    def webhook_status(self, status: WebhookStatus | None) -> None:
        """Export what waits for webhooks; None: it is not known."""
        self._webhooks = status

    def store_error(self) -> None:
        """Count a request that failed because the store was not available."""
        self._store_errors += 1

    def stats(self, stats: Stats | None) -> None:
        """Export these statistics of the store; None: it is not available."""
        self._stats = stats

    def scrape(self) -> bytes:
        """Return every metric in the text format of Prometheus."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._counted()
        yield CounterMetricFamily(
            Name.STORE_ERRORS,
            "Requests that failed because the store was not available.",
            value=self._store_errors,
        )
        yield GaugeMetricFamily(
            Name.WAITERS, "Requests that are waiting for a job to change.", value=self._waiters()
        )
        yield GaugeMetricFamily(
            Name.FAST_PATH,
            "Whether plain submissions bypass aiohttp's request handling.",
            value=self.fast_path,
        )
        yield GaugeMetricFamily(
            Name.STORE_UP, "Whether the store is available.", value=self._stats is not None
        )
        if self._stats is not None:
            yield from _store_metrics(self._stats)
        yield from self._webhook_metrics()

    def _counted(self) -> Iterator[Metric]:
        submissions = CounterMetricFamily(
            Name.SUBMISSIONS,
            "Requests to routes by job name and outcome: created, replayed, or the problem.",
            labels=("job", "outcome"),
        )
        for labels, count in self._submissions.items():
            submissions.add_metric(labels, count)
        requests = HistogramMetricFamily(
            Name.REQUESTS,
            "Duration of HTTP requests, including the time they waited for a job.",
            labels=("operation", "status"),
        )
        for (operation, status), found in self._requests.items():
            requests.add_metric((operation, str(status)), found.buckets(DURATIONS), found.total)
        batches = HistogramMetricFamily(
            Name.BATCH, "Items in a call to the store.", labels=("verb",)
        )
        for verb, sizes in self._batches.items():
            batches.add_metric((verb,), sizes.buckets(SIZES), sizes.total)
        times = CounterMetricFamily(
            Name.SCHEDULE_TIMES,
            "Times of schedules that this gateway had decided, by outcome.",
            labels=("schedule", "outcome"),
        )
        for labels, count in self._schedule_times.items():
            times.add_metric(labels, count)
        yield from (submissions, requests, batches, times)

    def _webhook_metrics(self) -> Iterator[Metric]:
        if self._tries:
            tries = CounterMetricFamily(
                Name.WEBHOOK_TRIES,
                "Tries to deliver an event to a webhook, by outcome.",
                labels=("webhook", "outcome"),
            )
            for labels, count in self._tries.items():
                tries.add_metric(labels, count)
            yield tries
        if self._webhooks is not None:
            status = self._webhooks
            age = max(0, status.now_ms - status.oldest_ms) / 1000 if status.oldest_ms else 0.0
            yield GaugeMetricFamily(
                Name.WEBHOOKS_PENDING,
                "Events and deliveries that wait for webhooks.",
                value=status.pending,
            )
            yield GaugeMetricFamily(
                Name.WEBHOOKS_DEAD, "Deliveries that were given up.", value=status.dead
            )
            yield GaugeMetricFamily(
                Name.WEBHOOKS_AGE, "How long the oldest event has been waiting.", value=age
            )


def _store_metrics(stats: Stats) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(Name.JOBS, "Retained jobs by name and state.", labels=("job", "state"))
    for name, states in stats.by_name.items():
        for state, count in states.items():
            jobs.add_metric((name, state.value), count)
    age = max(0, stats.now_ms - stats.oldest_ms) / 1000 if stats.oldest_ms else 0.0
    yield jobs
    yield GaugeMetricFamily(
        Name.QUEUE_AGE, "How long the oldest queued job has been waiting.", value=age
    )
    yield GaugeMetricFamily(
        Name.QUEUE_BYTES, "Bytes of the requests that wait or run.", value=stats.bytes
    )
    yield GaugeMetricFamily(Name.WORKERS, "Registered workers.", value=stats.workers)
    events = CounterMetricFamily(
        Name.TOTALS, "Events of jobs since the endpoint was created.", labels=("event",)
    )
    for name, count in sorted(stats.totals.items()):
        if not name.endswith("_ms"):
            events.add_metric((name,), count)
    yield events
    fired = GaugeMetricFamily(
        Name.SCHEDULE_FIRED,
        "The last time of a schedule that created a job, in seconds since the epoch.",
        labels=("schedule",),
    )
    for schedule in stats.schedules:
        if schedule.fired_ms:
            fired.add_metric((schedule.name,), schedule.fired_ms / 1000)
    yield fired


class Labelled(Collector):
    """The metrics of several endpoints as one source, each sample labelled with its endpoint."""

    def __init__(self, sources: Iterable[tuple[str, MetricSource]]) -> None:
        """Collect from `sources`: (endpoint, its metrics)."""
        self._sources = tuple(sources)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, with the samples of all endpoints."""
        merged: dict[str, Metric] = {}
        for endpoint, source in self._sources:
            for metric in source.collect():
                into = merged.get(metric.name)
                if into is None:
                    into = merged[metric.name] = Metric(
                        metric.name, metric.documentation, metric.type, metric.unit
                    )
                into.samples += [
                    sample._replace(labels={"endpoint": endpoint, **sample.labels})
                    for sample in metric.samples
                ]
        yield from merged.values()
