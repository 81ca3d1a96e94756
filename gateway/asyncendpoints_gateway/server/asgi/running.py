"""What runs while an ASGI application does, on one event loop: made at its start, never reused."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.asgi.one_process import OneProcess
from asyncendpoints_gateway.server.asgi.signals import ChainedSignals
from asyncendpoints_gateway.server.asgi.submissions import PlainSubmissions
from asyncendpoints_gateway.server.embedded import Embedded

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_gateway.server.app import Gateway
    from asyncendpoints_worker.local import LocalWorker

log = logging.getLogger("asyncendpoints.gateway")


class Running:
    """A gateway, its store, and a worker if there is one, until `stop`."""

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        make_worker: Callable[[], LocalWorker] | None,
        time: TimeSource,
        *,
        signals: bool,
        reopen: bool,
    ) -> None:
        """Start on the running event loop. `signals`: end waits on SIGTERM and SIGINT. `reopen`:
        the store has connections of a loop that was closed.
        """
        self.gateway = gateway
        self.plain = PlainSubmissions(gateway, time)
        self._store = store
        self._make_worker = make_worker
        self._reopen = reopen
        self._embedded: Embedded | None = None
        loop = asyncio.get_running_loop()
        self._signals = ChainedSignals(loop, self._on_signal) if signals else None
        name = str(gateway.endpoint.key)
        self._process = OneProcess(name) if isinstance(store, MemoryStore) else None
        self._closing: asyncio.Task[None] | None = None
        self._starting = loop.create_task(self._start())
        self.ready = False

    async def started(self) -> None:
        """Return once it has started. Raises UsageError, and what a startup function raised."""
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        try:
            if self._process is not None:
                self._process.acquire()
            if self._reopen:
                with suppress(Exception):  # "Event loop is closed", once it has forgotten them
                    await self._store.close()
            worker = None if self._make_worker is None else self._make_worker()
            self._embedded = Embedded(self.gateway, worker)
            await self._embedded.start()
            if self._signals is not None:
                self._signals.install()
            self.ready = True
        except BaseException:
            await self.stop(0)
            raise

    def _on_signal(self) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.gateway.close_waits())

    async def stop(self, drain_seconds: float) -> None:
        """End waits, let attempts finish for `drain_seconds`, stop, and close the store."""
        self.ready = False
        if self._signals is not None:
            self._signals.restore()
        try:
            if self._embedded is not None:
                await self._embedded.stop(drain_seconds)
            else:
                await self.gateway.stop()
        finally:
            with suppress(Exception):
                await self._store.close()
            if self._process is not None:
                self._process.release()

    def abandon(self) -> None:
        """Forget a loop that was closed before `stop`: its tasks and connections ended with it."""
        if self._process is not None:
            self._process.release()
