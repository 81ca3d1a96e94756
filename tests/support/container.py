"""A small real HTTP server in place of the user's container in HTTP mode."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web

from support.ports import free_port


class Container:
    """Responds as the path of the job's request (`Job-Path`) says; records its requests."""

    def __init__(self) -> None:
        self.port = free_port()
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.release = asyncio.Event()
        self.arrived = asyncio.Event()
        self.broken = asyncio.Event()
        self.answers: dict[str, list[web.Response]] = {}
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/run"

    async def start(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/run", self._run)
        app.router.add_route("*", "/elsewhere", self._elsewhere)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _run(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.method, headers, await request.read()))
        self.arrived.set()
        path = headers["job-path"].partition("?")[0]
        if path == "/hold":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.broken.set()
                raise
        if path == "/break":
            assert request.transport is not None
            request.transport.abort()
        if path == "/endless":
            return await self._endless(request)
        if path == "/endless-error":
            return await self._endless(request, 400, "text/plain", b"y")
        answers = self.answers.get(path)
        if answers:
            return answers.pop(0)
        return web.json_response({"ok": True})

    async def _endless(
        self,
        request: web.Request,
        status: int = 200,
        content_type: str = "application/octet-stream",
        byte: bytes = b"x",
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": content_type})
        await response.prepare(request)
        try:
            while True:
                await response.write(byte * 65_536)
        except (ConnectionError, asyncio.CancelledError):
            self.broken.set()
            raise

    async def _elsewhere(self, request: web.Request) -> web.Response:
        raise AssertionError("a redirect was followed")
