"""The supervisor's own small HTTP server: /livez, /readyz and /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from asyncendpoints_core.common.listening import cannot_listen
from asyncendpoints_worker.metrics import DURATION_BUCKETS, START_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_worker.metrics import Histogram, Snapshot


class Admin:
    """Answers probes and scrapes, if the settings name a port."""

    def __init__(
        self,
        settings: Settings,
        is_alive: Callable[[], bool],
        is_ready: Callable[[], bool],
        figures: Callable[[], Snapshot],
    ) -> None:
        """Prepare the three routes."""
        self._settings = settings
        self._is_alive = is_alive
        self._is_ready = is_ready
        self._metrics = CollectorRegistry()
        self._metrics.register(WorkerCollector(figures))
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, if told to. Raises CannotListen."""
        port = self._settings.admin_port
        if port is None:
            return
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        host = self._settings.admin_host or "127.0.0.1"
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_listen(host, port, error) from None

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _answer(self._is_alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._is_ready())

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._metrics), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


def _answer(good: bool) -> web.Response:
    return web.Response(status=200 if good else 503, text="ok\n" if good else "not ok\n")


COUNTERS = {
    "settle_already": "Settlements that the store had taken before: a reply was lost.",
    "settle_stale": "Settlements refused because another worker holds the job by now.",
    "settle_gone": "Settlements of jobs that no longer exist.",
    "child_crashes": "Child processes that ended by themselves.",
    "recovered_jobs": "Jobs that this worker took back from workers that were lost.",
}


class WorkerCollector(Collector):
    """Turns a snapshot into Prometheus metrics at each scrape."""

    def __init__(self, figures: Callable[[], Snapshot]) -> None:
        """Read from `figures`."""
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        snapshot = self._figures()
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
                _add(duration, (job, outcome), DURATION_BUCKETS, histogram)
                attempts.add_metric((job, outcome), sum(histogram.counts))
        start = HistogramMetricFamily(
            "asyncendpoints_time_to_start_seconds",
            "How long jobs waited from being due to their start.",
            labels=("job",),
        )
        for job, histogram in snapshot.starts.items():
            _add(start, (job,), START_BUCKETS, histogram)
        yield from (duration, attempts, start)
        for name, text in COUNTERS.items():
            count = CounterMetricFamily(f"asyncendpoints_worker_{name}", text)
            count.add_metric((), snapshot.counters.get(name, 0))
            yield count


def _add(
    family: HistogramMetricFamily,
    labels: Sequence[str],
    bounds: Iterable[float],
    histogram: Histogram,
) -> None:
    below, buckets = 0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), histogram.counts, strict=True):
        below += count
        buckets.append((bound, below))
    family.add_metric(labels, buckets, histogram.total)
