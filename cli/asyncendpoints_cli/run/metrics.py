"""Prometheus metrics of scaling decisions, on the admin port of `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from asyncendpoints_core.scaling.decide import Decision


class ScalingMetrics(Collector):
    """Counts the scaling decisions of one endpoint and shows the last."""

    def __init__(self) -> None:
        self._last: Decision | None = None
        self._count: dict[str, int] = {}

    def count(self, decision: Decision) -> None:
        """Count a decision."""
        self._last = decision
        self._count[decision.reason] = self._count.get(decision.reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        decisions = CounterMetricFamily(
            "asyncendpoints_scaling_decisions", "Scaling decisions.", labels=("reason",)
        )
        for reason, count in self._count.items():
            decisions.add_metric((reason,), count)
        yield decisions
        if self._last is None:
            return
        for name, text, value in (
            ("demand", "Jobs that are queued, running or due soon.", self._last.demand),
            ("wanted", "Workers needed for the demand.", self._last.want),
            ("replicas", "Workers decided on.", self._last.replicas),
        ):
            gauge = GaugeMetricFamily(f"asyncendpoints_scaling_{name}", text)
            gauge.add_metric((), value)
            yield gauge
