"""The life of one `run`: a service for each endpoint, signals, reload, and the end of it all."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asyncendpoints_cli.files import show
from asyncendpoints_cli.main import INTERRUPTED, MISUSED, complain
from asyncendpoints_cli.run.service import Service
from asyncendpoints_cli.run.watcher import Watcher
from asyncendpoints_core import manifest
from asyncendpoints_core.errors import AsyncEndpointsError
from asyncendpoints_gateway.server import Admin
from asyncendpoints_worker.loops import run_loop
from asyncendpoints_worker.modules import forget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.settings import Settings

log = logging.getLogger("asyncendpoints.run")


def serve(loaded: Sequence[Loaded], files: Sequence[str], settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status."""
    if settings.reload:
        # A file changed twice within a second would else be run from the cache of the first.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    status = run_loop(Run(loaded, files, settings).run())
    if status == INTERRUPTED:
        # Nothing that a handler still does may hold up a person who asked twice.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


class Run:
    """The whole of one `run`."""

    def __init__(self, loaded: Sequence[Loaded], files: Sequence[str], settings: Settings) -> None:
        """Prepare a service for each endpoint: ports follow each other from --port."""
        self._files = [Path(file) for file in files]
        self._settings = settings
        self._services = [
            Service(item, settings, settings.http_port and settings.http_port + number,
                    self._handlers_refused)
            for number, item in enumerate(loaded)
        ]  # fmt: skip
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._signals = 0
        self._status = 0
        self._admin: Admin | None = None

    async def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        started: list[Service] = []
        reloading: asyncio.Task[None] | None = None
        try:
            for service in self._services:
                started.append(service)
                await service.start()
            await self._open_admin()
            for service in self._services:  # only now: what has failed by here was never ready
                sys.stdout.write(f"{service.name} ready at {service.url}\n")
            sys.stdout.flush()
            if self._settings.reload:
                reloading = loop.create_task(self._reload_for_ever())
            await self._stop.wait()
        except BaseException:
            self._hurry.set()
            raise
        finally:
            if reloading is not None:
                reloading.cancel()
                await asyncio.gather(reloading, return_exceptions=True)
            drained = await self._shut_down(started)
            if self._admin is not None:
                await self._admin.stop()
        if self._signals > 1:
            return INTERRUPTED
        return self._status or (0 if drained else 1)

    async def _open_admin(self) -> None:
        """Open the admin port: one for all, again after a reload, on the same port."""
        settings = self._settings
        if self._admin is not None:
            settings = replace(settings, admin_port=self._admin.port)
            await self._admin.stop()
        servers = [service.server for service in self._services if service.server is not None]
        sources = [source for service in self._services for source in service.sources()]
        self._admin = Admin(settings, servers, sources)
        await self._admin.start()

    def _interrupted(self) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            self._hurry.set()

    def _handlers_refused(self) -> None:
        """Workers have said on stderr why their handlers cannot be loaded."""
        if self._settings.reload:
            log.error("no worker runs until the handlers can be loaded and started")
        else:
            self._status = MISUSED
            self._stop.set()

    async def _shut_down(self, started: Sequence[Service]) -> bool:
        if not self._hurry.is_set():
            running = sum([await service.running() for service in started])
            if running:
                log.info(
                    "ending: %d running job%s may finish; Ctrl-C again ends now",
                    running,
                    "" if running == 1 else "s",
                )
        ends = await asyncio.gather(
            *(service.stop(self._hurry) for service in started), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                log.error("a service did not end well", exc_info=end)
        return all(end is True for end in ends)

    # Reload.

    async def _reload_for_ever(self) -> None:
        folders = [
            file.resolve().parent
            for file in self._files
            if any(s.loaded.file == file and s.loaded.endpoint.spec.worker.handlers
                   for s in self._services)
        ]  # fmt: skip
        watcher = Watcher(self._files, folders)
        while True:
            changes = await watcher.changed()
            log.info("changed: %s", ", ".join(path.name for path in changes[:5]))
            await self._reload(folders)

    async def _reload(self, folders: Sequence[Path]) -> None:
        """Go on with what the files say now; with a fault in them, with what there was before."""
        found = manifest.load(self._files)
        if found.faults:
            show(found.faults)
            log.warning("the files have faults; what they said before stays in force")
            return
        by_key = {item.endpoint.key: item for item in found.loaded}
        if set(by_key) != {service.loaded.endpoint.key for service in self._services}:
            log.warning("endpoints were added, removed or renamed: start `run` anew for that")
            return
        forget(folders)
        for service in self._services:
            try:
                await service.renew(by_key[service.loaded.endpoint.key], self._hurry)
            except (AsyncEndpointsError, OSError) as error:
                complain(error, MISUSED)
                log.warning("%s: no worker runs until this is mended", service.name)
            else:
                log.info("%s: reloaded", service.name)
        await self._open_admin()
