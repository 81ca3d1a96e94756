"""One endpoint served by `run`: store, gateway, autoscaled workers, recovery and cleanup."""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import TYPE_CHECKING, Final

from asyncendpoints_cli.errors import MISUSED, report
from asyncendpoints_cli.roles import redis_store
from asyncendpoints_cli.run.handlers import load_handlers
from asyncendpoints_cli.run.job_lines import JobLines
from asyncendpoints_cli.run.metrics import ScalingMetrics
from asyncendpoints_cli.run.pool import LocalPool, Pool
from asyncendpoints_cli.run.process_pool import ProcessPool
from asyncendpoints_cli.run.scaler import MIN_WORKERS, Scaler, why_nothing_runs
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.manifest.job_names import unmatched
from asyncendpoints_core.scaling.decide import Limits
from asyncendpoints_core.store.history import record_history
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.recovery import RecoveryLoop
from asyncendpoints_gateway.server.serve import Server
from asyncendpoints_worker.metrics import Snapshot, add, total_of
from asyncendpoints_worker.supervisor.collector import WorkerCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_cli.run.terminal import Terminal
    from asyncendpoints_core.common.admin_server import MetricSource
    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.errors import UsageError
    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.scaling.decide import Decision
    from asyncendpoints_core.store.protocol import Store

log = logging.getLogger("asyncendpoints.run")

KILL_SECONDS: Final = 8.0
RELOAD_DRAIN_SECONDS: Final = 5.0
"""How long running jobs may finish on a reload; the others are run again by the new code."""


class EndpointService:
    """Serves one endpoint between `start` and `stop`."""

    def __init__(
        self,
        loaded: Loaded,
        settings: Settings,
        port: int,
        refused: Callable[[], None],
        on_decision: Callable[[Decision], None] = lambda _: None,
        terminal: Terminal | None = None,
        time: TimeSource | None = None,
    ) -> None:
        """Prepare; `refused` is called if workers cannot load the handlers or start. `terminal`
        shows requests and jobs. `time` is that of a store in memory.
        """
        self.loaded = loaded
        self.port = port
        self._time = time or SystemTime()
        source = settings.redis_source()
        self.in_memory = source is None
        self.store: Store = (
            MemoryStore(self._time) if source is None else redis_store(loaded.endpoint, source)
        )
        record_history(self.store, settings.history_folder, "run")
        self._settings = settings
        self._refused = refused
        self._on_decision = on_decision
        self._terminal = terminal
        self._lines = None if terminal is None else JobLines(self.name, self.store, terminal)
        self.server: Server | None = None
        self._pool: Pool | None = None
        self._stopping: asyncio.Future[int] | None = None
        self._metrics = ScalingMetrics()
        self._past = Snapshot({}, {}, {})
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.loaded.endpoint.name

    @property
    def url(self) -> str:
        """The URL of its gateway."""
        return "" if self.server is None else self.server.url

    def sources(self) -> list[tuple[str, MetricSource]]:
        """Return the metrics that the admin port has in addition to those of its gateway."""
        return [(self.name, self._metrics), (self.name, WorkerCollector(self._worker_metrics))]

    def _worker_metrics(self) -> Snapshot:
        return total_of((self._past, *([self._pool.metrics()] if self._pool else [])))

    def _decided(self, decision: Decision) -> None:
        self._metrics.count(decision)
        self._on_decision(decision)

    async def start(self) -> None:
        """Start to serve. Raises UsageError for the handlers, StoreError, OSError for the port."""
        # First, so that errors in the user's code are reported before those of Redis or the port.
        pool = self._pool = await self._make_pool(self.loaded)
        await self.store.open()
        await self._apply(self.loaded)
        if self._lines is not None:
            await self._lines.start()
        await self._open_gateway()
        await self._open_workers(pool)

    async def _make_pool(self, loaded: Loaded) -> Pool:
        endpoint = loaded.endpoint
        if not self.in_memory:
            pool = ProcessPool(endpoint, self._settings, loaded.folder, self._refused)
            await pool.check()
            return pool
        registry = load_handlers(endpoint, loaded.folder)
        return LocalPool(endpoint, self.store, registry, self._settings, self._startup_failed)

    def _startup_failed(self, error: UsageError) -> None:
        report(error, MISUSED)
        self._refused()

    async def _apply(self, loaded: Loaded) -> None:
        """Write the policy of the resource into the store."""
        spec = loaded.endpoint.spec
        for each in unmatched(spec) if spec.worker.http is not None else ():
            log.warning("%s", loaded.fault(each.location, each.message).render())
        await self.store.configure(spec.policy(self._settings.webhook_max_pending))
        await self.store.suspend(spec.suspend)

    async def _open_gateway(self) -> None:
        self.server = Server(
            self.loaded.endpoint,
            self.store,
            self._settings,
            port=self.port,
            folder=self.loaded.folder,
            owns_policy=True,
            on_response=partial(self._terminal.request, self.name) if self._terminal else None,
        )
        await self.server.start()
        self.port = self.server.port  # a port that was chosen as free stays the same on a reload

    async def _open_workers(self, pool: Pool) -> None:
        endpoint = self.loaded.endpoint
        self._pool = pool
        limits = Limits.of(endpoint.spec, at_least=MIN_WORKERS)
        scaler = Scaler(self.name, self.store, pool, limits, self._decided)
        await scaler.step()
        policy = endpoint.spec.policy(self._settings.webhook_max_pending)
        keeper = RecoveryLoop(self.store, lambda: policy, random.random, time=self._time)
        self._tasks = [asyncio.create_task(scaler.run()), asyncio.create_task(keeper.run())]
        if reason := why_nothing_runs(endpoint.spec):
            log.warning("%s: %s", self.name, reason)

    async def running(self) -> int:
        """Return the number of running jobs, 0 if the store cannot be read."""
        try:
            return (await self.store.stats()).counts.get(State.IN_PROGRESS, 0)
        except StoreError:
            return 0

    async def stop(self, hurry: asyncio.Event, at_most: float | None = None) -> bool:
        """Stop the gateway and drain the workers; return whether all running jobs finished.

        They have the endpoint's drain time, or `at_most` so many seconds, until `hurry` is set.
        """
        if self.server is not None:
            await self.server.stop()
        drain_seconds = self.loaded.endpoint.spec.drain_seconds
        if at_most is not None:
            drain_seconds = min(at_most, drain_seconds)
        drained = await self._close_workers(drain_seconds, hurry)
        if self._lines is not None:
            await self._lines.stop()
        if self.in_memory:
            counts = (await self.store.stats()).counts
            left = sum(count for state, count in counts.items() if state not in FINAL)
            if left:
                plural = "" if left == 1 else "s"
                text = "%s: lost %d unfinished job%s, kept in memory only"
                log.warning(text, self.name, left, plural)
        await self.store.close()
        return drained

    async def _close_workers(self, drain_seconds: float, hurry: asyncio.Event) -> bool:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._pool is None:
            return True
        pool = self._pool
        # A reload may have been cancelled after it began to stop the pool.
        stopping = self._stopping or asyncio.ensure_future(pool.stop(drain_seconds))
        self._stopping = stopping
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait((stopping, hurried), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not stopping.done():
            pool.kill()
            await asyncio.wait((stopping,), timeout=KILL_SECONDS)
        self._pool = self._stopping = None
        add(self._past, pool.metrics())
        return stopping.done() and not stopping.cancelled() and stopping.result() == 0

    async def reload(self, loaded: Loaded, hurry: asyncio.Event) -> None:
        """Switch to changed code or a changed resource; waiting jobs are kept.

        Raises UsageError or StoreError before anything has changed, and OSError for the port.
        """
        changed = loaded.endpoint != self.loaded.endpoint
        pool = await self._make_pool(loaded)
        await self._apply(loaded)
        await self._close_workers(
            min(RELOAD_DRAIN_SECONDS, self.loaded.endpoint.spec.drain_seconds), hurry
        )
        self.loaded = loaded
        if changed and self.server is not None:
            await self.server.stop()
            await self._open_gateway()
        await self._open_workers(pool)
