"""The process that runs user code. Only the supervisor starts it, as
`python -m asyncendpoints_worker.supervisor.child_main`.

It claims and settles by itself; its leases, and killing it, are the supervisor's. So are signals
meant for the whole group (Ctrl-C, a stop of the service): the supervisor sends the child messages.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.common.event_loop import run_with_user_code
from asyncendpoints_core.common.time_source import SystemTime, TimeSource
from asyncendpoints_core.errors import StoreUnavailable, UsageError
from asyncendpoints_core.process.logs import configure_logging, current_job, log_uncaught
from asyncendpoints_core.process.settings import read_url
from asyncendpoints_core.process.tracing import Tracing, flush_traces, tracing_of
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.history import record_history
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_worker.engine.loop import Engine
from asyncendpoints_worker.engine.options import Options
from asyncendpoints_worker.engine.run_status import RunStatusPage
from asyncendpoints_worker.forks import isolate_forks
from asyncendpoints_worker.handlers.target import Target, target_of
from asyncendpoints_worker.metrics import Metrics
from asyncendpoints_worker.supervisor import ipc
from asyncendpoints_worker.supervisor.parent_death_signal import end_with_parent

if TYPE_CHECKING:
    from asyncendpoints_core.resource.worker import LogsSpec

log = logging.getLogger("asyncendpoints.worker")

TICK_SECONDS: Final = 0.2
TICKS_PER_METRICS_REPORT: Final = 5


class Child:
    """Runs an engine as the supervisor instructs; also the engine's LeaseKeeper."""

    def __init__(
        self,
        channel: ipc.Channel[ipc.ToChild],
        status_page: RunStatusPage,
        store: RedisStore,
        target: Target,
        time: TimeSource,
        init: ipc.Init,
        tracing: Tracing | None,
        logs: LogsSpec | None,
    ) -> None:
        self._channel = channel
        self._status_page = status_page
        self._store = store
        self._target = target
        self._time = time
        self._draining = asyncio.Event()
        self._metrics = Metrics()
        self._engine = Engine(
            store,
            target,
            self,
            time,
            concurrency=init.concurrency,
            policy=init.policy,
            metrics=self._metrics,
            options=Options(status_page=status_page, tracing=tracing, logs=logs),
        )

    async def run(self) -> None:
        """Run until drained."""
        ticks = asyncio.create_task(self._tick())
        messages = asyncio.create_task(self._receive())
        await self._open()
        await self._engine.run()
        await self._target.stop()
        self._report_metrics()
        for task in (ticks, messages):
            task.cancel()

    async def _open(self) -> None:
        """Connect, however long that takes, unless the child has to drain first."""
        waiting = [
            asyncio.create_task(_connect(self._store, self._time)),
            asyncio.create_task(self._draining.wait()),
        ]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _tick(self) -> None:
        """Show the supervisor that the event loop runs, and report metrics now and then."""
        self._status_page.tick(self._time.monotonic(), 0)
        self._channel.send(ipc.Ready(self._target.names))
        while True:
            for _ in range(TICKS_PER_METRICS_REPORT):
                await self._time.sleep(TICK_SECONDS)
                self._status_page.tick(self._time.monotonic(), self._engine.held)
            self._report_metrics()

    def _report_metrics(self) -> None:
        self._channel.send(ipc.MetricsReport(self._metrics.snapshot))

    async def _receive(self) -> None:
        engine = self._engine
        while True:
            message = await self._channel.receive()
            match message:
                case ipc.Assign(worker):
                    engine.assign(worker)
                case ipc.LeaseLost(worker):
                    engine.lease_lost(worker)
                case ipc.Cancel(numbers):
                    engine.attempts.cancel(numbers)
                case ipc.Drain():
                    engine.drain()
                    self._draining.set()
                case ipc.ReleaseAll():
                    engine.attempts.release_all()
                case ipc.Reconcile():
                    engine.reconcile()
                case ipc.ApplyPolicy(policy):
                    engine.attempts.apply_policy(policy)
                case None:
                    os.killpg(0, signal.SIGKILL)  # without a supervisor there is no lease
                case _:
                    log.warning("unexpected message from the supervisor: %r", type(message))

    def check_lease(self, worker: str) -> None:
        """See LeaseKeeper."""
        self._channel.send(ipc.CheckLease(worker))

    def register_again(self) -> None:
        """See LeaseKeeper."""
        self._channel.send(ipc.RegisterAgain())


def _source(init: ipc.Init) -> Any:
    if init.redis_url is not None:
        return init.redis_url
    path = Path(init.redis_url_file or "")
    return lambda: read_url(path)


async def _connect(store: RedisStore, time: TimeSource) -> None:
    """Open the store. Other errors than an outage are met by the supervisor too, which ends."""
    backoff = Backoff()
    while True:
        try:
            await store.open()
        except StoreUnavailable as error:
            log.info("waiting for the store: %s", error)
            await time.sleep(backoff.next())
        else:
            return


async def _serve(control: socket.socket, status_page: RunStatusPage) -> int:
    channel = await ipc.open_channel(control, ipc.ToChild)
    init = await channel.receive()
    if not isinstance(init, ipc.Init):
        return 1
    configure_logging(init.log_level, init.log_format, user_code=True)
    log_uncaught()
    isolate_forks()
    endpoint = AsyncEndpoint.parse(init.endpoint)
    time = SystemTime()
    try:
        folders = [Path(each) for each in init.folders]
        target = target_of(endpoint, folders, None, init.http_target, time, init.callback_host)
        await target.start()
    except UsageError as error:
        channel.send(ipc.StartupFailed(str(error)))
        await channel.finish()
        return 2
    history = None if init.history_folder is None else Path(init.history_folder)
    store = record_history(RedisStore(_source(init), endpoint.key), history, "child")
    # Objects loaded by now stay: the collector need not scan them with every thousand jobs.
    gc.collect()
    gc.freeze()
    try:
        tracing = tracing_of(endpoint.key)
        logs = endpoint.spec.worker.logs
        await Child(channel, status_page, store, target, time, init, tracing, logs).run()
    except BaseException:
        # At once: running attempts that were canceled by this would fail and be charged.
        log.critical("internal error in a worker process", exc_info=True)
        os._exit(1)
    await store.close()
    await asyncio.to_thread(flush_traces)
    await channel.finish()
    return 0


def main(arguments: list[str]) -> int:
    """Run as the child with the descriptors that the supervisor passed in `arguments`."""
    control, status_page, death_pipe, parent = map(int, arguments)
    for descriptor in (control, status_page, death_pipe):
        os.set_inheritable(descriptor, False)  # processes that a handler starts must not hold them
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN: processes that a handler starts would inherit that.
        signal.signal(number, lambda *_: None)
    end_with_parent(parent, death_pipe)
    return run_with_user_code(
        _serve(socket.socket(fileno=control), RunStatusPage(status_page)), current_job.get
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
