"""The operator's Prometheus metrics, put together at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from asyncendpoints_core.process.telemetry import Metric as Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.control.leader import Leader
    from asyncendpoints_operator.kube.cache import Cache
    from asyncendpoints_operator.kube.client import Cluster
    from asyncendpoints_operator.kube.election import Leadership

_PLACE = ("namespace", "endpoint")


class OperatorCollector(Collector):
    """Reads everything from the operator's memory: a scrape asks nobody.

    `leader` returns what leads here at this moment, None while another replica does.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        lease: Leadership,
        leader: Callable[[], Leader | None],
    ) -> None:
        self._cluster, self._cache, self._lease = cluster, cache, lease
        self._leader = leader

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; those of endpoints only where this replica leads."""
        leading = GaugeMetricFamily(
            "asyncendpoints_operator_leading", "Whether this replica leads (1) or stands by (0)."
        )
        leading.add_metric((), int(self._lease.leading))
        requests = CounterMetricFamily(
            "asyncendpoints_operator_api_requests", "Requests made of the Kubernetes API."
        )
        requests.add_metric((), self._cluster.requests + self._lease.requests)
        cached = GaugeMetricFamily(
            "asyncendpoints_operator_cached_objects", "Objects of the cluster held in memory."
        )
        cached.add_metric((), len(self._cache))
        yield from (leading, requests, cached)
        leader = self._leader()
        if leader is not None:
            yield from _leaders(leader)


def _leaders(leader: Leader) -> Iterator[Metric]:
    term = leader.term
    keys = GaugeMetricFamily(
        "asyncendpoints_operator_queue_depth", "Endpoints that wait to be reconciled."
    )
    keys.add_metric((), len(term.keys))
    applies = CounterMetricFamily("asyncendpoints_operator_applies", "Children applied.")
    applies.add_metric((), term.children.applies)
    writes = CounterMetricFamily("asyncendpoints_operator_status_writes", "Status patches made.")
    writes.add_metric((), term.reporter.writes)
    decisions = CounterMetricFamily(
        "asyncendpoints_scaling_decisions", "Decisions of the autoscaler.", labels=("reason",)
    )
    for reason, count in leader.scaler.decisions.items():
        decisions.add_metric((str(reason),), count)
    up = GaugeMetricFamily(
        Name.STORE_UP, "Whether a Redis answered when last asked.", labels=("redis",)
    )
    answers: dict[str, bool] = {}  # one Redis may be asked by several URLs
    for server in term.queues.servers.values():
        answers[server.identity] = server.up and answers.get(server.identity, True)
    for identity, answered in answers.items():
        up.add_metric((identity,), int(answered))
    yield from (keys, applies, writes, decisions, up, *_endpoints(term.units.values()))


def _endpoints(units: Iterable[Unit]) -> Iterator[Metric]:
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
    for unit in units:
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
