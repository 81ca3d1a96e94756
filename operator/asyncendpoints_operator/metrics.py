"""The operator's Prometheus metrics, put together at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from asyncendpoints_core.telemetry import Metric as Name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from asyncendpoints_operator.leader import Leader
    from asyncendpoints_operator.main import Operator

_PLACE = ("namespace", "endpoint")


class OperatorCollector(Collector):
    """Reads everything from the operator's memory: a scrape asks nobody."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; those of endpoints only where this replica leads."""
        operator = self._operator
        leading = GaugeMetricFamily(
            "asyncendpoints_operator_leading", "Whether this replica leads (1) or stands by (0)."
        )
        leading.add_metric((), int(operator.lease.leading))
        requests = CounterMetricFamily(
            "asyncendpoints_operator_api_requests", "Requests made of the Kubernetes API."
        )
        requests.add_metric((), operator.cluster.requests + operator.lease.requests)
        cached = GaugeMetricFamily(
            "asyncendpoints_operator_cached_objects", "Objects of the cluster held in memory."
        )
        cached.add_metric((), len(operator.cache))
        yield from (leading, requests, cached)
        if operator.leader is not None:
            yield from _leaders(operator.leader)


def _leaders(leader: Leader) -> Iterator[Metric]:
    keys = GaugeMetricFamily(
        "asyncendpoints_operator_queue_depth", "Endpoints that wait to be reconciled."
    )
    keys.add_metric((), len(leader.keys))
    applies = CounterMetricFamily("asyncendpoints_operator_applies", "Children applied.")
    applies.add_metric((), leader.children.applies)
    writes = CounterMetricFamily("asyncendpoints_operator_status_writes", "Status patches made.")
    writes.add_metric((), leader.reporter.writes)
    decisions = CounterMetricFamily(
        "asyncendpoints_scaling_decisions", "Decisions of the autoscaler.", labels=("reason",)
    )
    for reason, count in leader.scaler.decisions.items():
        decisions.add_metric((str(reason),), count)
    up = GaugeMetricFamily(
        Name.STORE_UP, "Whether a Redis answered when last asked.", labels=("redis",)
    )
    answers: dict[str, bool] = {}  # one Redis may be asked by several URLs
    for server in leader.queues.servers.values():
        answers[server.identity] = server.up and answers.get(server.identity, True)
    for identity, answered in answers.items():
        up.add_metric((identity,), int(answered))
    yield from (keys, applies, writes, decisions, up, *_endpoints(leader))


def _endpoints(leader: Leader) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(Name.JOBS, "Jobs by state.", labels=(*_PLACE, "state"))
    age = GaugeMetricFamily(
        Name.QUEUE_AGE, "How long the oldest queued job has waited.", labels=_PLACE
    )
    size = GaugeMetricFamily(Name.QUEUE_BYTES, "Bytes of the jobs that wait.", labels=_PLACE)
    workers = GaugeMetricFamily(
        Name.WORKERS,
        "Workers: wanted by the last decision, and registered.",
        labels=(*_PLACE, "kind"),
    )
    totals = CounterMetricFamily(
        Name.TOTALS, "What happened to jobs since the queue was made.", labels=(*_PLACE, "event")
    )
    for unit in leader.units.values():
        stats, place = unit.queue.stats, tuple(unit.key.split("/", 1))
        if unit.scaling.target is not None:
            workers.add_metric((*place, "wanted"), unit.scaling.target)
        if stats is None:
            continue
        workers.add_metric((*place, "registered"), stats.workers)
        for state, count in stats.counts.items():
            jobs.add_metric((*place, state.value), count)
        age.add_metric(place, (stats.now_ms - stats.oldest_ms) / 1000 if stats.oldest_ms else 0)
        size.add_metric(place, stats.bytes)
        for event, count in stats.totals.items():
            totals.add_metric((*place, event), count)
    yield from (jobs, age, size, workers, totals)
