"""The lifecycle of `asyncendpoints run`: services, signals, reload and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from asyncendpoints_cli.errors import INTERRUPTED, MISUSED, report
from asyncendpoints_cli.run.console import RunConsole
from asyncendpoints_cli.run.endpoint_service import RELOAD_DRAIN_SECONDS, EndpointService
from asyncendpoints_cli.run.kept_signals import keep_signals
from asyncendpoints_cli.run.sources import LAST_PORT, check
from asyncendpoints_cli.run.terminal import Terminal
from asyncendpoints_cli.run.watcher import Watcher
from asyncendpoints_core.common.event_loop import (
    exit_after,
    flush_output,
    run_loop,
    run_with_user_code,
)
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError
from asyncendpoints_core.process.logs import configure_logging, current_job
from asyncendpoints_core.process.tracing import flush_traces
from asyncendpoints_gateway.server.serve import admin_server
from asyncendpoints_worker.forks import isolate_forks
from asyncendpoints_worker.handlers.modules import forget
from asyncendpoints_worker.supervisor.reaper import kill_descendants
from asyncendpoints_worker.supervisor.tag_reaper import tag_started_processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from asyncendpoints_cli.run.kept_signals import Handlers
    from asyncendpoints_cli.run.sources import Sources
    from asyncendpoints_core.common.admin_server import AdminServer
    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.process.settings import Settings

log = logging.getLogger("asyncendpoints.run")

HURRY_SECONDS: Final = 2.0
"""How long a second Ctrl-C may take if a handler blocks the event loop."""


def serve(loaded: Sequence[Loaded], sources: Sources, settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status."""
    if settings.reload:
        # Bytecode caches have a resolution of a second: a file may change twice within it.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if settings.redis_source() is not None:
        return run_loop(Runner(loaded, sources, settings).run())
    tag_started_processes()
    return run_with_user_code(Runner(loaded, sources, settings).run(), current_job.get)


class Runner:
    """Runs one service for each endpoint, and the admin server of all."""

    def __init__(self, loaded: Sequence[Loaded], sources: Sources, settings: Settings) -> None:
        """Prepare a service for each endpoint, on consecutive ports from --port."""
        self._sources = sources
        self._settings = settings
        self._terminal = Terminal.of([item.endpoint for item in loaded], settings)
        self._services = [
            self._service(item, settings.http_port and settings.http_port + number)
            for number, item in enumerate(loaded)
        ]
        self._started: list[EndpointService] = []
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._in_memory = settings.redis_source() is None
        self._signals = 0
        self._ended = False
        self._status = 0
        self._admin: AdminServer | None = None
        self._console = RunConsole(lambda: self._services)

    def _service(self, loaded: Loaded, port: int) -> EndpointService:
        refused, terminal = self._handlers_refused, self._terminal
        return EndpointService(loaded, self._settings, port, refused, terminal=terminal)

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status."""
        loop = asyncio.get_running_loop()
        handlers = self._handle_signals()
        keeping = contextlib.ExitStack()
        if self._in_memory:
            isolate_forks()
            keeping.enter_context(keep_signals(handlers))
        reloading: asyncio.Task[None] | None = None
        try:
            # Before anything is imported: what changes meanwhile is a change.
            watcher = self._watcher() if self._settings.reload else None
            if await self._start():
                if watcher is not None:
                    reloading = loop.create_task(self._watch(watcher))
                await self._stop.wait()
        except BaseException:
            self._hurry.set()
            raise
        finally:
            if reloading is not None:
                reloading.cancel()
                await asyncio.gather(reloading, return_exceptions=True)
            drained = await self._shut_down(self._started)
            if self._admin is not None:
                await self._admin.stop()
            await self._console.stop()
            await asyncio.to_thread(flush_traces)
            if self._terminal is not None:
                self._terminal.summary()
            keeping.close()
        self._ended = True
        if self._signals > 1:
            # At once, whatever handlers have left running.
            flush_output()
            self._exit_now()
        if self._in_memory:
            kill_descendants()
        return self._status or (0 if drained else 1)

    async def _start(self) -> bool:
        """Start to serve, unless a signal comes first; return whether all services have started."""
        starting = asyncio.ensure_future(self._start_all())
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        started = starting.done()
        if not started:
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return started

    async def _start_all(self) -> None:
        for service in self._services:
            self._started.append(service)
            await service.start()
        await self._open_admin()
        await self._console.start(self._settings.console_port)
        if self._terminal is None:  # it shows a link that logs in, which is not for a log
            log.info("the console is at %s", self._console.server.url)
        for service in self._services:  # only after all of them have started
            self._print_ready(service)
        if self._terminal is not None:
            self._terminal.banner(
                [(service.loaded.endpoint, service.url) for service in self._services],
                self._banner_rows(),
            )

    def _banner_rows(self) -> Iterator[tuple[str, str]]:
        """Yield what else a person wants to know at the start, with a label."""
        yield "console", self._console.server.login_url()
        if self._admin is not None:
            yield "metrics", f"{self._admin.url}/metrics"
        if self._in_memory:
            yield "jobs", "in memory, lost at the end; keep them with --redis URL"
        else:
            yield "jobs", "in Redis, run by worker processes"
        if self._settings.reload:
            yield "reload", "on changes of " + ", ".join(self._sources.names)
        yield "stop", "Ctrl-C; once more to abort running jobs"

    async def _open_admin(self) -> None:
        """Start the admin server of all endpoints, or restart it on the same port."""
        settings = self._settings
        if self._admin is not None:
            settings = replace(settings, admin_port=self._admin.port)
            await self._admin.stop()
        servers = [service.server for service in self._services if service.server is not None]
        sources = [source for service in self._services for source in service.sources()]
        self._admin = admin_server(settings, servers, sources)
        await self._admin.start()

    def _handle_signals(self) -> Handlers:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)  # so that a signal wakes the loop

        def terminated(*_: object) -> None:
            loop.call_soon_threadsafe(self._stop.set)

        def interrupted(*_: object) -> None:
            self._signals += 1
            if self._ended or self._signals > 2:
                self._exit_now()
            if self._signals == 2 and self._in_memory:
                exit_after(HURRY_SECONDS, INTERRUPTED, kill_descendants)
            loop.call_soon_threadsafe(self._interrupted)

        # Not add_signal_handler: a handler that blocks the event loop must not delay it.
        handlers: Handlers = {signal.SIGINT: interrupted, signal.SIGTERM: terminated}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return handlers

    def _exit_now(self) -> NoReturn:
        if self._in_memory:  # with Redis, those are workers, which drain by themselves
            kill_descendants()
        os._exit(INTERRUPTED)

    def _interrupted(self) -> None:
        self._stop.set()
        if self._signals > 1:
            self._hurry.set()

    def _handlers_refused(self) -> None:
        """Stop, or wait for a reload. Workers have written the reason to stderr."""
        if self._settings.reload:
            log.error("no workers run until the handlers can be loaded and started")
        else:
            self._status = MISUSED
            self._stop.set()

    async def _shut_down(self, started: Sequence[EndpointService]) -> bool:
        if not self._hurry.is_set():
            running = sum([await service.running() for service in started])
            if running:
                log.info(
                    "shutting down after %d running job%s; press Ctrl-C again to exit now",
                    running,
                    "" if running == 1 else "s",
                )
        results = await asyncio.gather(
            *(service.stop(self._hurry) for service in started), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                log.error("stopping a service failed", exc_info=result)
        return all(result is True for result in results)

    # Reload.

    def _folders(self) -> list[Path]:
        """Return the folders of the handlers, which are imported again on a reload."""
        loaded = [service.loaded for service in self._services]
        return sorted({each.folder for each in loaded if each.endpoint.spec.worker.handlers})

    def _watcher(self) -> Watcher:
        return Watcher(self._sources.files, self._folders())

    async def _watch(self, watcher: Watcher) -> None:
        while True:
            changes = await watcher.changed()
            log.info("changed: %s", ", ".join(path.name for path in changes[:5]))
            await self._reload()
            watcher.follow(self._folders())

    async def _reload(self) -> None:
        """Apply the changed files; if they have faults, keep what was applied before."""
        try:
            self._sources.forget_code()
            loaded = self._sources.load()
            check(loaded, self._settings)
        except UsageError as error:
            report(error, MISUSED)
            log.warning("the changed files have faults and are not applied")
            return
        wanted = {item.endpoint.key: item for item in loaded}
        settings = self._settings  # changed modules may configure logging differently, or no more
        configure_logging(settings.log_level, settings.log_format, user_code=True)
        forget(self._folders())
        for service in list(self._services):
            name, item = service.name, wanted.pop(service.loaded.endpoint.key, None)
            if item is None:
                with _reported(name, "stopping it failed"):
                    await self._remove(service)
                continue
            with _reported(name, "the change is not applied until this is fixed"):
                await service.reload(item, self._hurry)
                log.info("%s: reloaded", name)
        for item in wanted.values():
            with _reported(item.endpoint.name, "not served until this is fixed"):
                await self._add(item)
        with _reported("the admin port", "closed until this is fixed"):
            await self._open_admin()

    async def _remove(self, service: EndpointService) -> None:
        """Stop a service whose endpoint was removed from the files."""
        self._services.remove(service)
        await self._stop_one(service)
        log.info("%s: no longer served", service.name)

    async def _add(self, loaded: Loaded) -> None:
        """Start to serve another endpoint, on the first unused port."""
        first = self._settings.http_port
        taken = {service.port for service in self._services}
        free = (port for port in range(first, LAST_PORT + 1) if port not in taken)
        service = self._service(loaded, next(free) if first else 0)
        self._started.append(service)
        try:
            await service.start()
        except (AsyncEndpointsError, OSError):
            await self._stop_one(service)
            raise
        self._services.append(service)
        self._print_ready(service)

    async def _stop_one(self, service: EndpointService) -> None:
        await service.stop(self._hurry, RELOAD_DRAIN_SECONDS)
        self._started.remove(service)

    def _print_ready(self, service: EndpointService) -> None:
        if self._terminal is None or not sys.stdout.isatty():
            sys.stdout.write(f"{service.name} ready at {service.url}\n")
            sys.stdout.flush()


@contextlib.contextmanager
def _reported(name: str, consequence: str) -> Iterator[None]:
    """Report an error of one endpoint and continue with the others."""
    try:
        yield
    except (AsyncEndpointsError, OSError) as error:
        report(error, MISUSED)
        log.warning("%s: %s", name, consequence)
