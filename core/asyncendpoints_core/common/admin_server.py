"""The admin port of every role: /livez, /readyz and /metrics. No Service exposes it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from asyncendpoints_core import __version__
from asyncendpoints_core.common.listening import (
    cannot_listen,
    is_loopback,
    names_loopback,
    url_host,
)
from asyncendpoints_core.common.problem_runner import ProblemRunner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from prometheus_client import Metric

BUILD: Final = "asyncendpoints_build"
DEFAULT_PORT: Final = 9_090


@web.middleware
async def _loopback_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse a page that reaches the loopback by a name of its own (DNS rebinding)."""
    if not names_loopback(request.host):
        raise web.HTTPForbidden(text="this host is not allowed\n")
    return await handler(request)


class _WithProcess:
    """The metrics of a role, of its process (where /proc exists), and its version."""

    def __init__(self, metrics: MetricSource) -> None:
        self._metrics = metrics
        self._process = ProcessCollector(registry=CollectorRegistry())

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.collect()
        yield from self._process.collect()
        yield InfoMetricFamily(
            BUILD,
            "The version of asyncendpoints and of Python.",
            value={"version": __version__, "python": platform.python_version()},
        )


class MetricSource(Protocol):
    """What a scrape reads: a prometheus_client registry or a single collector."""

    def collect(self) -> Iterable[Metric]:
        """Return the current metrics."""
        ...


class AdminServer:
    """Answers probes and scrapes between `start` and `stop`.

    `unready` returns why the process is not ready, "" once it is. `is_alive` defaults to the
    answer itself: the event loop runs. `port` is the one chosen when 0 was given.
    """

    def __init__(
        self,
        host: str,
        port: int,
        metrics: MetricSource,
        unready: Callable[[], str],
        is_alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._host = host
        self.port = port
        self._metrics = _WithProcess(metrics)
        self._unready = unready
        self._is_alive = is_alive
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The URL for clients on this machine."""
        return f"http://{url_host(self._host)}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        app = web.Application(middlewares=[_loopback_only] if is_loopback(self._host) else [])
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        runner = ProblemRunner(app)
        await runner.setup()
        try:
            await runner.listen(self._host, self.port)
        except OSError as error:
            await runner.cleanup()
            raise cannot_listen(self._host, self.port, error, "--admin-port") from None
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _probe("" if self._is_alive() else "not alive")

    async def _readyz(self, _: web.Request) -> web.Response:
        return _probe(self._unready())

    async def _scrape(self, _: web.Request) -> web.Response:
        body = generate_latest(self._metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _probe(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")
