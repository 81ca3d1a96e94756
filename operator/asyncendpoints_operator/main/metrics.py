"""The operator's Prometheus metrics, put together at each scrape."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from asyncendpoints_core.process.telemetry import Metric as Name
from asyncendpoints_operator.control.leader import EndpointFigures, LeaderFigures

_LABELS = ("namespace", "endpoint")


@dataclass(frozen=True, slots=True)
class OperatorFigures:
    """What the metrics show of one replica; `leader` is None while another replica leads."""

    leading: bool
    api_requests: int
    cached_objects: int
    queue_depth: int
    leader: LeaderFigures | None
    api_silent_seconds: float = 0.0
    unreadable: Mapping[str, int] = field(default_factory=dict)


class OperatorCollector(Collector):
    """Makes metrics of what `figures` returns, which is all in memory: a scrape makes no call."""

    def __init__(self, figures: Callable[[], OperatorFigures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; those of endpoints only where this replica leads."""
        figures = self._figures()
        yield GaugeMetricFamily(
            "asyncendpoints_operator_leading",
            "Whether this replica leads (1) or stands by (0).",
            value=int(figures.leading),
        )
        yield CounterMetricFamily(
            "asyncendpoints_operator_api_requests",
            "Requests made to the Kubernetes API.",
            value=figures.api_requests,
        )
        yield GaugeMetricFamily(
            "asyncendpoints_operator_api_silent_seconds",
            "How long the Lease could not be reached, or nothing could be listed.",
            value=figures.api_silent_seconds,
        )
        unreadable = GaugeMetricFamily(
            "asyncendpoints_operator_unreadable_kinds",
            "Kinds that cannot be listed or watched, by namespace (empty: the whole cluster).",
            labels=("namespace",),
        )
        for namespace, kinds in figures.unreadable.items():
            unreadable.add_metric((namespace,), kinds)
        yield unreadable
        yield GaugeMetricFamily(
            "asyncendpoints_operator_cached_objects",
            "Objects of the cluster held in memory.",
            value=figures.cached_objects,
        )
        if figures.leader is not None:
            yield GaugeMetricFamily(
                "asyncendpoints_operator_queue_depth",
                "Endpoints waiting to be reconciled.",
                value=figures.queue_depth,
            )
            yield from _leader_metrics(figures.leader)


def _leader_metrics(figures: LeaderFigures) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "asyncendpoints_operator_applies", "Child objects applied.", value=figures.applies
    )
    yield CounterMetricFamily(
        "asyncendpoints_operator_status_writes", "Status patches made.", value=figures.status_writes
    )
    decisions = CounterMetricFamily(
        "asyncendpoints_scaling_decisions", "Decisions of the autoscaler.", labels=("reason",)
    )
    for reason, count in figures.decisions.items():
        decisions.add_metric((str(reason),), count)
    up = GaugeMetricFamily(
        Name.STORE_UP, "Whether a Redis answered the last request.", labels=("redis",)
    )
    for identity, answered in figures.redis_up.items():
        up.add_metric((identity,), int(answered))
    yield from (decisions, up, *_endpoint_metrics(figures.endpoints))


def _endpoint_metrics(endpoints: Iterable[EndpointFigures]) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(Name.JOBS, "Jobs by state.", labels=(*_LABELS, "state"))
    age = GaugeMetricFamily(Name.QUEUE_AGE, "Age of the oldest queued job.", labels=_LABELS)
    size = GaugeMetricFamily(Name.QUEUE_BYTES, "Bytes of the waiting jobs.", labels=_LABELS)
    workers = GaugeMetricFamily(
        Name.WORKERS,
        "Workers: wanted by the last decision, and registered.",
        labels=(*_LABELS, "kind"),
    )
    totals = CounterMetricFamily(
        Name.TOTALS, "Events of jobs since the queue was created.", labels=(*_LABELS, "event")
    )
    durations = {
        "busy_ms": CounterMetricFamily(Name.RUN_SECONDS, "Time that attempts ran.", labels=_LABELS),
        "wait_ms": CounterMetricFamily(
            Name.WAIT_SECONDS, "Time that jobs waited for their start.", labels=_LABELS
        ),
    }
    for endpoint in endpoints:
        stats, labels = endpoint.stats, tuple(endpoint.key.split("/", 1))
        if endpoint.wanted is not None:
            workers.add_metric((*labels, "wanted"), endpoint.wanted)
        if stats is None:
            continue
        workers.add_metric((*labels, "registered"), stats.workers)
        for state, count in stats.counts.items():
            jobs.add_metric((*labels, state.value), count)
        age.add_metric(labels, (stats.now_ms - stats.oldest_ms) / 1000 if stats.oldest_ms else 0)
        size.add_metric(labels, stats.bytes)
        for event, count in stats.totals.items():
            if event in durations:
                durations[event].add_metric(labels, count / 1000)
            else:
                totals.add_metric((*labels, event), count)
    yield from (jobs, age, size, workers, totals, *durations.values())
