"""What runs an endpoint's jobs: its Python handlers, or its container behind HTTP."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from asyncendpoints_core.common.time_source import SystemTime, TimeSource
from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers.callback import HOST
from asyncendpoints_worker.handlers.enqueueing import EnqueueRules
from asyncendpoints_worker.handlers.http_mode import HttpTarget
from asyncendpoints_worker.handlers.modules import EXITS, load, startup_error
from asyncendpoints_worker.handlers.result_check import NO_CHECKS, ResultCheck, result_checks
from asyncendpoints_worker.handlers.runners import ThreadRun, call_hook, runners
from asyncendpoints_worker.handlers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_worker.handlers.attempt import Run
    from asyncendpoints_worker.handlers.registry import Registry

log = logging.getLogger("asyncendpoints.worker")


class Target(Protocol):
    """What an engine needs to run jobs. It claims nothing before `gate()` returns."""

    runners: dict[str, Run | ThreadRun]
    fallback: Run | None
    gate: Callable[[], Awaitable[None]] | None
    names: tuple[str, ...]
    enqueue_rules: EnqueueRules

    async def start(self) -> None:
        """Prepare for the first job. Raises UsageError for a start-up function that fails."""
        ...

    async def stop(self) -> None:
        """Clean up after the last job."""
        ...


class PythonTarget:
    """Runs the functions of a registry."""

    def __init__(
        self,
        registry: Registry,
        limit: int,
        enqueue_rules: EnqueueRules,
        checks: Mapping[str, ResultCheck] = NO_CHECKS,
    ) -> None:
        """Read every signature; UsageError for one that cannot be called."""
        self._registry = registry
        self._threads = Threads("handler")
        self.runners = runners(registry, limit, self._threads, checks)
        self.fallback: Run | None = None  # a job without a handler is left to other workers
        self.gate: Callable[[], Awaitable[None]] | None = None
        self.names = tuple(sorted(self.runners))
        self.enqueue_rules = enqueue_rules

    async def start(self) -> None:
        """Run the start-up functions in the order of their declaration."""
        for function in self._registry.startup:
            try:
                await call_hook(function, self._threads)
            except (Exception, *EXITS) as error:
                raise startup_error(function, error) from error

    async def stop(self) -> None:
        """Run the shut-down functions in reverse order; a failing one does not stop the next."""
        for function in reversed(self._registry.shutdown):
            try:
                await call_hook(function, self._threads)
            except (Exception, *EXITS, asyncio.CancelledError):
                log.exception("an @on_shutdown function failed")
        self._threads.close()


def target_of(
    endpoint: AsyncEndpoint,
    folders: Sequence[Path] = (),
    registry: Registry | None = None,
    http_target: str | None = None,
    time: TimeSource | None = None,
    callback_host: str = HOST,
) -> Target:
    """Return what runs the jobs of `endpoint`.

    `folders` are searched first for its handler module; `registry` replaces the module, and
    `http_target` (a URL) the container of the HTTP mode, which reaches this machine by
    `callback_host`. Raises UsageError.
    """
    worker, time = endpoint.spec.worker, time or SystemTime()
    names = endpoint.spec.job_names
    checks = result_checks(endpoint.spec.routes)
    if worker.http is not None and registry is None:
        url = http_target or f"http://127.0.0.1:{worker.http.port}{worker.http.path}"
        rules = EnqueueRules(time, names)
        return HttpTarget(url, worker.max_result_bytes, time, checks, rules, callback_host)
    if registry is None:
        registry = load([worker.handlers] if worker.handlers else [], folders)
    if not registry.handlers:
        raise UsageError(f"worker.handlers: {worker.handlers} declares no @handler")
    rules = EnqueueRules(time, names | registry.handlers.keys())
    return PythonTarget(registry, worker.max_result_bytes, rules, checks)
