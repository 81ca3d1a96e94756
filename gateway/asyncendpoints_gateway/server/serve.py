"""The gateway as a process: its port, its admin port, and its shutdown."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.admin_server import DEFAULT_PORT, AdminServer
from asyncendpoints_core.common.listening import (
    cannot_listen,
    in_url,
    is_loopback,
    open_sockets,
    url_host,
)
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_gateway.http.auth import guard_of
from asyncendpoints_gateway.metrics import Labelled
from asyncendpoints_gateway.server.app import Gateway
from asyncendpoints_gateway.server.console import start_console
from asyncendpoints_gateway.server.http_server import http_server
from asyncendpoints_gateway.webhooks.start import WebhookOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from pathlib import Path

    from aiohttp import web

    from asyncendpoints_console.server import ConsoleServer
    from asyncendpoints_core.common.admin_server import MetricSource
    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_gateway.server.app import OnResponse

log = logging.getLogger("asyncendpoints.gateway")

BACKLOG: Final = 1_024
SHUTDOWN_SECONDS: Final = 10.0
"""How long requests in progress may take once the server shuts down."""
CONSOLE_WAIT_SECONDS: Final = 1.0
"""How long the console's start waits for the store: requests of clients come first."""


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
        on_response: OnResponse | None = None,
    ) -> None:
        """Prepare; UsageError when bearer tokens cannot be read.

        `port` overrides the settings. Relative paths in the resource are resolved against
        `folder`. `owns_policy`, `on_response`: see Gateway.
        """
        time = SystemTime()
        guard = guard_of(endpoint, time, settings.auth_tokens_file, folder)
        self._host = settings.http_host
        # On the loopback, so that a page cannot reach it by a name of its own (DNS rebinding).
        limited = is_loopback(self._host) or bool(settings.allowed_hosts)
        hosts = frozenset(settings.allowed_hosts) if limited else None
        self.gateway = Gateway(
            endpoint,
            store,
            time,
            guard=guard,
            hosts=hosts,
            owns_policy=owns_policy,
            on_response=on_response,
            webhooks=WebhookOptions.of(settings, folder),
        )
        self.port = settings.http_port if port is None else port
        """The port that it listens on, once it does; 0 until then for any free one."""
        self._http: web.Server | None = None
        self._listeners: list[asyncio.Server] = []

    @property
    def address(self) -> str:
        """The URL of the address that it listens on, which may be one for all interfaces."""
        return f"http://{in_url(self._host)}:{self.port}"

    @property
    def url(self) -> str:
        """The URL for clients on this machine."""
        return f"http://{url_host(self._host)}:{self.port}"

    async def start(self) -> None:
        """Listen, and connect to the store in the background. Raises CannotListen."""
        loop = asyncio.get_running_loop()
        self._http = http_server(self.gateway)
        sockets = await listen(self._host, self.port)
        self.port = sockets[0].getsockname()[1]
        self._listeners = [
            await loop.create_server(self._http, sock=each, backlog=BACKLOG) for each in sockets
        ]
        if self.gateway.guard is None and not is_loopback(self._host):
            log.warning(
                "%s listens on %s without gateway.auth: any client that can connect may submit "
                "jobs and read their results",
                self.gateway.endpoint.name,
                self._host,
            )
        self.gateway.start()

    async def stop(self) -> None:
        """Accept no more connections, answer the requests in progress, and end waits.

        The store stays open: the caller closes it.
        """
        if self._http is None or not self._listeners:
            return
        for each in self._listeners:
            each.close()
        self._http.pre_shutdown()
        await self.gateway.close_waits()
        await self._http.shutdown(SHUTDOWN_SECONDS)
        for each in self._listeners:
            await each.wait_closed()
        await self.gateway.stop()
        self._http, self._listeners = None, []


def admin_server(
    settings: Settings,
    servers: Iterable[Server],
    sources: Iterable[tuple[str, MetricSource]] = (),
) -> AdminServer:
    """Return the admin server of a process that serves endpoints.

    `sources` are further metrics, such as a worker's, by endpoint name. A process is ready once
    each of its gateways has reached its store: docs/rules.md K2.
    """
    gateways = [server.gateway for server in servers]

    def unready() -> str:
        waiting = [
            f"{each.endpoint.name}: {each.policy.problem}"
            for each in gateways
            if not each.is_ready()
        ]
        return f"not ready: {', '.join(waiting)}" if waiting else ""

    return AdminServer(
        settings.admin_host or settings.http_host,
        DEFAULT_PORT if settings.admin_port is None else settings.admin_port,
        Labelled([*((each.endpoint.name, each.metrics.registry) for each in gateways), *sources]),
        unready,
    )


async def serve(
    endpoint: AsyncEndpoint,
    store: Store,
    settings: Settings,
    *,
    stopping: asyncio.Event,
    folder: Path | None = None,
    owns_policy: bool = False,
) -> None:
    """Serve `endpoint` with its admin port until `stopping`, then shut down gracefully.

    The log says where it listens, and that it is ready once it has reached the store.
    `owns_policy`: see Gateway. The store is opened here and closed by the caller. Raises
    CannotListen and UsageError.
    """
    server = Server(endpoint, store, settings, folder=folder, owns_policy=owns_policy)
    admin = admin_server(settings, [server])
    console: ConsoleServer | None = None
    ready: asyncio.Task[None] | None = None
    try:
        await server.start()
        await admin.start()
        log.info("%s listens on %s", endpoint.name, server.address)
        ready = asyncio.create_task(_report_ready(server))
        console = await _start_console(server, store, settings, stopping)
        _tune_garbage_collection()
        await stopping.wait()
    finally:
        if ready is not None:
            ready.cancel()
        if console is not None:
            await console.stop()
        if not server.gateway.is_ready():
            # No traffic was routed here yet. What came all the same is answered 503 at once, and a
            # store that is available again does not make this process serve.
            await store.close()
        await server.stop()
        await admin.stop()


async def _start_console(
    server: Server, store: Store, settings: Settings, stopping: asyncio.Event
) -> ConsoleServer | None:
    """Start the console once the store is reached, or some time later; None if it is off."""
    policy = server.gateway.policy
    first = [asyncio.create_task(event.wait()) for event in (policy.connected, stopping)]
    try:
        await asyncio.wait(first, timeout=CONSOLE_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in first:
            task.cancel()
    if stopping.is_set():
        return None
    return await start_console(
        server.gateway.endpoint, store, settings.console_folder, settings.console_port
    )


async def _report_ready(server: Server) -> None:
    await server.gateway.policy.connected.wait()
    log.info("%s is ready at %s", server.gateway.endpoint.name, server.address)


def _tune_garbage_collection() -> None:
    """Exclude everything loaded so far from garbage collection, and collect less often: requests
    create hardly any reference cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def listen(host: str, port: int) -> list[socket.socket]:
    """Open the port. Raises CannotListen."""
    try:
        return await open_sockets(host, port, BACKLOG)
    except OSError as error:
        raise cannot_listen(host, port, error, "--port") from None
