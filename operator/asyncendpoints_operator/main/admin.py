"""The operator's own /livez, /readyz and /metrics. None of them asks Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from asyncendpoints_core.common.listening import cannot_listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.registry import Collector

    from asyncendpoints_core.process.settings import Settings

DEFAULT_PORT: Final = 9090


class Admin:
    """Answers probes and scrapes.

    Alive: the loop turns, which an answer shows. Ready (`is_ready`): everything was listed once, so
    that this replica can lead when it is elected.
    """

    def __init__(
        self, settings: Settings, is_ready: Callable[[], bool], collector: Collector
    ) -> None:
        self._settings = settings
        self._is_ready = is_ready
        self._metrics = CollectorRegistry()
        ProcessCollector(registry=self._metrics)
        self._metrics.register(collector)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        settings = self._settings
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        port = DEFAULT_PORT if settings.admin_port is None else settings.admin_port
        host = settings.admin_host or "127.0.0.1"
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_listen(host, port, error) from None

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._is_ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="not everything was listed yet\n")

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._metrics), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
