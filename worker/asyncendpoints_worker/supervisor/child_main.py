"""The process that runs user code. Only the supervisor starts it, as
`python -m asyncendpoints_worker.supervisor.child_main`.

It claims and settles by itself; its leases, its timeouts' last resort and its end are the
supervisor's. Signals meant for the whole group (Ctrl-C, a stop of the service) are the
supervisor's too: it tells the child what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.common.event_loop import run_loop
from asyncendpoints_core.errors import StoreUnavailable, UsageError
from asyncendpoints_core.process.settings import read_url
from asyncendpoints_core.process.telemetry import configure_logging
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_worker.engine.loop import Engine
from asyncendpoints_worker.handlers.target import Target, target_of
from asyncendpoints_worker.metrics import Metrics
from asyncendpoints_worker.supervisor import ipc
from asyncendpoints_worker.supervisor.parent_death_signal import end_with_parent
from asyncendpoints_worker.supervisor.run_status import Board

log = logging.getLogger("asyncendpoints.worker")

TICK: Final = 0.2
FIGURES: Final = 1.0


class Child:
    """Obeys the supervisor until it is told to drain, or is gone."""

    def __init__(
        self,
        channel: ipc.Channel[ipc.ToChild],
        board: Board,
        store: RedisStore,
        target: Target,
        init: ipc.Init,
    ) -> None:
        """Make the engine; `run` starts it."""
        self._channel = channel
        self._board = board
        self._store = store
        self._target = target
        self._draining = asyncio.Event()
        self._metrics = Metrics()
        self._engine = Engine(
            store,
            target.runners,
            self,
            concurrency=init.concurrency,
            policy=init.policy,
            metrics=self._metrics,
            board=board,
            fallback=target.fallback,
            gate=target.gate,
        )

    async def run(self) -> None:
        """Run until drained."""
        ticking = asyncio.create_task(self._tick())
        obeying = asyncio.create_task(self._obey())
        await self._open()
        await self._engine.run()
        await self._target.stop()
        self._send_figures()
        for task in (ticking, obeying):
            task.cancel()

    async def _open(self) -> None:
        """Connect, however long that takes, unless told to drain first."""
        waiting = [
            asyncio.create_task(_connect(self._store)),
            asyncio.create_task(self._draining.wait()),
        ]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._board.tick(time.monotonic(), 0)
        self._channel.send(ipc.Ready(self._target.names))
        due = loop.time() + FIGURES
        while True:
            await asyncio.sleep(TICK)
            self._board.tick(time.monotonic(), self._engine.used)
            if loop.time() >= due:
                due = loop.time() + FIGURES
                self._send_figures()

    def _send_figures(self) -> None:
        self._channel.send(ipc.Figures(self._metrics.snapshot))

    async def _obey(self) -> None:
        engine = self._engine
        while True:
            message = await self._channel.receive()
            match message:
                case ipc.Assign(worker):
                    engine.assign(worker)
                case ipc.Gone(worker):
                    engine.gone(worker)
                case ipc.Cancel(numbers):
                    engine.cancel(numbers)
                case ipc.Drain():
                    engine.drain()
                    self._draining.set()
                case ipc.ReleaseAll():
                    engine.release_all()
                case ipc.Reconcile():
                    engine.reconcile()
                case ipc.Follow(policy):
                    engine.policy = policy
                case None:
                    os.killpg(0, signal.SIGKILL)  # no supervisor, no lease
                case _:
                    log.warning("a message of the supervisor was not understood")

    def doubt(self, worker: str) -> None:
        """See Link."""
        self._channel.send(ipc.Doubt(worker))

    def vacated(self) -> None:
        """See Link."""
        self._channel.send(ipc.Vacated())


def _source(init: ipc.Init) -> Any:
    if init.redis_url is not None:
        return init.redis_url
    path = Path(init.redis_url_file or "")
    return lambda: read_url(path)


async def _connect(store: RedisStore) -> None:
    """Open the store; what it refuses for good, the supervisor is told as well."""
    backoff = Backoff()
    while True:
        try:
            await store.open()
        except StoreUnavailable as error:
            log.info("waiting for the store: %s", error)
            await asyncio.sleep(backoff.next())
        else:
            return


async def _serve(control: socket.socket, board: Board) -> int:
    channel = await ipc.open_channel(control, ipc.ToChild)
    init = await channel.receive()
    if not isinstance(init, ipc.Init):
        return 1
    configure_logging(init.log_level, init.log_format)
    endpoint = AsyncEndpoint.parse(init.endpoint)
    try:
        target = target_of(endpoint, [Path(each) for each in init.folders], None, init.http_target)
        await target.start()
    except UsageError as error:
        channel.send(ipc.Refused(str(error)))
        await channel.finish()
        return 2
    store = RedisStore(_source(init), endpoint.key)
    # What is loaded by now stays: the collector need not look at it with every thousand jobs.
    gc.collect()
    gc.freeze()
    await Child(channel, board, store, target, init).run()
    await store.close()
    await channel.finish()
    return 0


def main(arguments: list[str]) -> int:
    """Run as the child that the supervisor has described in `arguments`."""
    control, board, lifeline, parent = map(int, arguments)
    for descriptor in (control, board, lifeline):
        os.set_inheritable(descriptor, False)  # what a handler starts must not hold them open
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN: that would be inherited by what a handler starts.
        signal.signal(number, lambda *_: None)
    end_with_parent(parent, lifeline)
    with contextlib.suppress(KeyboardInterrupt):
        return run_loop(_serve(socket.socket(fileno=control), Board(board)))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
