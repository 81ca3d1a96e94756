"""Gateways as ASGI applications, run by the protocols of real servers inside the test's loop."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import uvicorn
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_gateway.http.auth import guard_of
from asyncendpoints_gateway.server.app import Gateway
from asyncendpoints_gateway.server.asgi.application import AsgiEndpoint
from asyncendpoints_worker.local import LocalWorker


class AsgiServer:
    """What `serving` needs of a server; subclasses accept connections."""

    def __init__(
        self, described: AsyncEndpoint, store: Store, settings: Settings, *, owns_policy: bool
    ) -> None:
        self._store = store
        time = SystemTime()
        guard = guard_of(described, time, settings.auth_tokens_file, Path())
        self.gateway = Gateway(
            described,
            store,
            time,
            guard=guard,
            hosts=frozenset(settings.allowed_hosts),
            owns_policy=owns_policy,
        )
        self.app = AsgiEndpoint(
            lambda: (self.gateway, self._no_worker),
            store,
            app=None,
            worker=False,
            before_enqueue=None,
            drain_seconds=0,
            signals=False,
            time=time,
        )
        self.port = 0
        self._lifespan = AsyncExitStack()

    def _no_worker(self) -> LocalWorker:
        raise NotImplementedError

    async def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        await self._accept(listener)

    async def stop(self) -> None:
        await self.app.closing()
        await self._end()
        await self._store.open()  # the application closed it, and tests still look at it

    async def _accept(self, listener: socket.socket) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        raise NotImplementedError


class UvicornServer(AsgiServer):
    """uvicorn's protocol with httptools. Its Server polls ten times a second: too slow to be
    started for each test.
    """

    async def _accept(self, listener: socket.socket) -> None:
        config = uvicorn.Config(self.app, log_config=None, lifespan="off")
        config.load()
        self._state = ServerState()
        await self._lifespan.enter_async_context(self.app.lifespan())
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: HttpToolsProtocol(config, self._state, {}), sock=listener
        )

    async def _end(self) -> None:
        self._listening.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=10)
        await self._lifespan.aclose()


class HypercornServer(AsgiServer):
    """Hypercorn's server, with its lifespan."""

    async def _accept(self, listener: socket.socket) -> None:
        config = Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.errorlog = None
        self._stopping = asyncio.Event()
        started = asyncio.Event()
        app = self.app

        async def watched(scope, receive, send):  # type: ignore[no-untyped-def]
            async def noticed(message):  # type: ignore[no-untyped-def]
                await send(message)
                started.set()

            await app(scope, receive, noticed if scope["type"] == "lifespan" else send)

        framework: ASGIFramework = watched
        self._task = asyncio.create_task(
            serve(framework, config, shutdown_trigger=self._stopping.wait)
        )
        await asyncio.wait_for(started.wait(), 20)

    async def _end(self) -> None:
        self._stopping.set()
        await self._task


ASGI_SERVERS = {"uvicorn": UvicornServer, "hypercorn": HypercornServer}
