"""The worker's first process (PID 1 in its container): supervises children and renews their leases.

It never imports user code, so nothing a handler does can stop it from renewing leases, from
reporting a dead child at once, or from killing a child that does not end.
"""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.admin_server import AdminServer
from asyncendpoints_core.common.event_loop import run_loop
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError
from asyncendpoints_core.process import exit_report
from asyncendpoints_core.process.logs import write_error
from asyncendpoints_core.store.history import record_history
from asyncendpoints_core.store.recovery import RecoveryLoop
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_worker.identity import WorkerIds
from asyncendpoints_worker.supervisor import ipc
from asyncendpoints_worker.supervisor.children import Children
from asyncendpoints_worker.supervisor.collector import WorkerCollector
from asyncendpoints_worker.supervisor.parent_death_signal import become_subreaper
from asyncendpoints_worker.supervisor.store_startup import open_store, wait_for_store
from asyncendpoints_worker.supervisor.tag_reaper import start_tag_reaper

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_worker.metrics import Snapshot

    PublishMetrics = Callable[[Snapshot], None]

PUBLISH_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 10.0
"""How long the event loop of an idle child may stand still."""
RELEASE_SECONDS: Final = 5.0
INTERRUPTED: Final = 130


def run_supervisor(
    endpoint: AsyncEndpoint,
    settings: Settings,
    *,
    folders: Sequence[Path] = (),
    idle_seconds: float = IDLE_SECONDS,
    termination_log: Path = exit_report.TERMINATION_LOG,
    publish_metrics: PublishMetrics | None = None,
) -> int:
    """Run a worker of `endpoint` until SIGTERM or Ctrl-C; return its exit status.

    0: drained. 1: the admin port or, outside a pod, Redis is unavailable at the start; the store
    is of another format. 2: the handlers cannot be loaded. 130: a second Ctrl-C. An error is one
    line on stderr, and in `termination_log` if that file exists. `folders` are searched first for
    the handlers' module. `publish_metrics` is called every second, and at the end.
    """

    async def supervise() -> int:
        try:
            supervisor = Supervisor(endpoint, settings, folders, idle_seconds, publish_metrics)
            return await supervisor.run()
        except (AsyncEndpointsError, OSError) as error:
            write_error(str(error))
            exit_report.leave(error, termination_log)
            return 2 if isinstance(error, UsageError) else 1

    # Not uvloop: it handles SIGCHLD itself and hides the exits of reparented processes.
    return run_loop(supervise(), fast=False)


class Supervisor:
    """Runs the children of one worker from its start to its end; see `run`."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        settings: Settings,
        folders: Sequence[Path],
        idle_seconds: float,
        publish_metrics: PublishMetrics | None = None,
    ) -> None:
        """Prepare; UsageError without a Redis."""
        source = settings.redis_source()
        if source is None:
            raise UsageError("a worker needs a Redis: --redis URL")
        self._settings = settings
        self._drain_seconds = endpoint.spec.drain_seconds
        self._publish_metrics = publish_metrics
        store = RedisStore(source, endpoint.key)
        self._store = record_history(store, settings.history_folder, "supervisor")
        self._ids = WorkerIds(settings.pod_uid or "")
        self._time = SystemTime()
        self._children = Children(
            self._store,
            self._time,
            self._ids,
            endpoint.spec.policy(),
            lambda policy: ipc.init_of(endpoint, settings, folders, policy),
            count=endpoint.spec.worker.processes,
            idle_seconds=idle_seconds,
            fail=self._fail,
        )
        self._error: AsyncEndpointsError | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._interrupts = 0

    async def run(self) -> int:
        """Run until stopped; return the exit status, or raise the error that ended it."""
        self._handle_signals()
        admin = self._admin_server()
        if admin is not None:
            await admin.start()
        try:
            store = self._store, self._children.heartbeat, self._ids
            if self._settings.pod_uid is None:
                await self._unless_stopped(open_store(*store))
                self._children.start()
            else:
                self._children.start()
                await self._unless_stopped(wait_for_store(*store, self._time))
            if not self._stop.is_set():
                self._start_loops()
                await self._stop.wait()
            return await self._shut_down()
        finally:
            await self._children.close()
            if admin is not None:
                await admin.stop()
            await self._store.close()
            if self._publish_metrics is not None:
                self._publish_metrics(self._children.metrics())

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, but cancel it if the worker has to stop."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():
                working.result()
        finally:
            for task in (working, stopped):
                task.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)

    def _start_loops(self) -> None:
        """Start what needs the store and continues until the end: leases, recovery, metrics."""
        heartbeat = self._children.heartbeat
        recovery = self._store, lambda: heartbeat.policy, random.random
        count = self._children.count
        keeper = RecoveryLoop(
            *recovery, lambda done: count("recovered_jobs", done.jobs), time=self._time
        )
        self._children.run_in_background(heartbeat.run())
        self._children.run_in_background(keeper.run())
        if self._publish_metrics is not None:
            self._children.run_in_background(self._publish(self._publish_metrics))

    async def _publish(self, publish: PublishMetrics) -> None:
        while True:
            publish(self._children.metrics())
            await self._time.sleep(PUBLISH_SECONDS)

    def _fail(self, error: AsyncEndpointsError) -> None:
        """End because of `error`; the first one is reported."""
        self._error = self._error or error
        self._stop.set()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        start_tag_reaper(self._ids.nonce)
        become_subreaper()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGCHLD, self._children.reap)

    def _interrupt(self) -> None:
        self._interrupts += 1
        self._stop.set()
        if self._interrupts > 1:
            self._hurry.set()

    async def _shut_down(self) -> int:
        """Drain the children, or kill them after a second Ctrl-C, and report what is left."""
        children = self._children
        children.drain()
        drain, release = self._drain_seconds, RELEASE_SECONDS
        if self._error is not None:
            drain = release = 0.0
        if not await children.ended_within(drain, self._hurry):
            children.release_all()
            if not await children.ended_within(release, self._hurry):
                children.kill()
                await children.ended_within(RELEASE_SECONDS)
        reported = await children.reported()
        if self._error is not None:
            raise self._error
        if self._hurry.is_set():
            return INTERRUPTED
        return 0 if reported else 1

    def _admin_server(self) -> AdminServer | None:
        port = self._settings.admin_port
        if port is None:
            return None
        return AdminServer(
            self._settings.admin_host or "127.0.0.1",
            port,
            WorkerCollector(self._children.metrics),
            lambda: "" if self._children.is_ready() else "not ready: handlers are being loaded",
            self._children.is_alive,
        )
