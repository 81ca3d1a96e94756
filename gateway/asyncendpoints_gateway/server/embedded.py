"""A gateway, and a worker if there is one, inside a user's own application."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from asyncendpoints_core.manifest.source import Resolved
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_gateway.server.app import Gateway
    from asyncendpoints_worker.local import LocalWorker

log = logging.getLogger("asyncendpoints.gateway")

START_SECONDS: Final = 5.0
"""How long an application's start may wait for the store."""


def check_prefix(prefix: str) -> None:
    """Raise UsageError for a prefix that is not a path."""
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
        raise UsageError(
            f'prefix must be a path such as "/async", without a trailing slash: {prefix}'
        )


def local_worker(found: Resolved, store: Store) -> LocalWorker:
    """Return a worker for this process. This is the only import of the worker by the gateway, and
    applications that do not run handlers never load it. Raises UsageError.
    """
    from asyncendpoints_worker.local import LocalWorker

    return LocalWorker(found.endpoint, store, found.registry, folders=found.folders)


class Embedded:
    """The gateway and the worker, between `start` and `stop`."""

    def __init__(self, gateway: Gateway, worker: LocalWorker | None) -> None:
        """Prepare; both use one store, which the caller closes."""
        self.gateway = gateway
        self._worker = worker
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the gateway, and the worker once the store is available; after START_SECONDS that
        goes on in the background. Raises what a startup function of the handlers raised.
        """
        self.gateway.start()
        self._starting = task = asyncio.create_task(self._start())
        await asyncio.wait([task], timeout=START_SECONDS)
        if task.done():
            self._starting = None
            await task
        elif self._worker is not None:
            log.warning("handlers will start once the store is available")

    async def _start(self) -> None:
        await self.gateway.policy.connected.wait()
        if self._worker is not None:
            await self._worker.start()

    async def stop(self, drain_seconds: float | None = None) -> None:
        """End waits, let attempts finish for `drain_seconds` (the endpoint's drain time), stop."""
        await self.gateway.close_waits()
        if self._starting is not None:
            self._starting.cancel()
        if self._worker is not None:
            await self._worker.stop(drain_seconds)
        await self.gateway.stop()
