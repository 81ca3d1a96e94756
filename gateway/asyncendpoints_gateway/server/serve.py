"""The gateway as a server of its own: its port, its admin port, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import signal
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.admin_server import DEFAULT_PORT, AdminServer
from asyncendpoints_core.common.listening import cannot_listen, url_host
from asyncendpoints_gateway.http.auth import guard_of
from asyncendpoints_gateway.metrics import Labelled
from asyncendpoints_gateway.server.app import Gateway
from asyncendpoints_gateway.server.fast_path.protocol import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from asyncendpoints_core.common.admin_server import MetricSource
    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store

log = logging.getLogger("asyncendpoints.gateway")

BACKLOG: Final = 1_024
SHUTDOWN_SECONDS: Final = 10.0
"""How long requests under way may take to be answered once the server ends."""


class Server:
    """Serves one endpoint on a port between `start` and `stop`."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        store: Store,
        settings: Settings,
        *,
        port: int | None = None,
        folder: Path | None = None,
        owns_policy: bool = False,
    ) -> None:
        """Prepare; UsageError when bearer tokens cannot be read.

        `port` takes the place of the settings'. `folder` is where a relative path of the resource
        begins. `owns_policy`: see Gateway.
        """
        guard = guard_of(endpoint, settings.auth_tokens_file, folder)
        self.gateway = Gateway(endpoint, store, guard=guard, owns_policy=owns_policy)
        self._host = settings.http_host
        self._port = settings.http_port if port is None else port
        self._http: HttpServer | None = None
        self._listener: asyncio.Server | None = None
        if guard is None and not is_loopback(self._host):
            log.warning(
                "%s listens on %s without gateway.auth: whoever reaches it may submit jobs and "
                "read their results",
                endpoint.name,
                self._host,
            )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Where it can be reached from this machine."""
        return f"http://{url_host(self._host)}:{self._port}"

    async def start(self) -> None:
        """Listen, and connect to the store in the background. Raises CannotListen."""
        loop = asyncio.get_running_loop()
        config = self.gateway.context.config
        self._http = HttpServer(self.gateway.handle, config.max_head, self.gateway.express())
        self._listener = await listen(loop, self._http, self._host, self._port)
        self._port = self._listener.sockets[0].getsockname()[1]
        self.gateway.start()

    async def stop(self) -> None:
        """Take no more connections, answer what is under way, let waits answer with what they have.

        The store stays open: it is the caller's.
        """
        if self._http is None or self._listener is None:
            return
        self._listener.close()
        self._http.pre_shutdown()
        await self.gateway.close_waits()
        await self._http.shutdown(SHUTDOWN_SECONDS)
        await self._listener.wait_closed()
        await self.gateway.stop()
        self._http = self._listener = None


def admin_server(
    settings: Settings,
    servers: Iterable[Server],
    sources: Iterable[tuple[str, MetricSource]] = (),
) -> AdminServer:
    """Return the admin server of a process that serves endpoints.

    `sources` are further metrics, such as a worker's, by endpoint name. Ready is a process whose
    gateways have each reached their store once: docs/rules.md K2.
    """
    gateways = [server.gateway for server in servers]

    def unready() -> str:
        waiting = [each.endpoint.name for each in gateways if not each.is_ready()]
        return f"not ready: {', '.join(waiting)}" if waiting else ""

    return AdminServer(
        settings.admin_host or settings.http_host,
        DEFAULT_PORT if settings.admin_port is None else settings.admin_port,
        Labelled(
            [*((each.endpoint.name, each.context.metrics.registry) for each in gateways), *sources]
        ),
        unready,
    )


async def serve(
    endpoint: AsyncEndpoint,
    store: Store,
    settings: Settings,
    *,
    folder: Path | None = None,
    announce: Callable[[str], None] | None = None,
    stopping: asyncio.Event | None = None,
    owns_policy: bool = False,
) -> None:
    """Serve `endpoint` with its admin port until SIGTERM or SIGINT, then end in good order.

    `announce` is told `NAME ready at http://…` once the port is open. With `stopping` the caller
    says when to end, and no signal is handled here. `owns_policy`: see Gateway. The
    store is opened here and closed by the caller. Raises CannotListen and UsageError.
    """
    if stopping is None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Server(endpoint, store, settings, folder=folder, owns_policy=owns_policy)
    admin = admin_server(settings, [server])
    try:
        await server.start()
        await admin.start()
        _settle_memory()
        if announce is not None:
            announce(f"{endpoint.name} ready at {server.url}")
        await stopping.wait()
    finally:
        await server.stop()
        await admin.stop()


def _settle_memory() -> None:
    """Leave what was loaded at the start out of every garbage collection from now on, and collect
    less often: what requests leave behind has hardly any cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def listen(
    loop: asyncio.AbstractEventLoop, server: HttpServer, host: str, port: int
) -> asyncio.Server:
    """Open the port; raises CannotListen with what to do about it."""
    try:
        return await loop.create_server(server, host, port, backlog=BACKLOG)
    except OSError as error:
        raise cannot_listen(host, port, error) from None


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
