"""A receiver of webhooks on this machine, which verifies what it gets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@dataclass
class Received:
    """One verified request."""

    id: str
    event: dict[str, Any]
    headers: dict[str, str]
    body: bytes

    @property
    def job(self) -> dict[str, Any]:
        """The job in it."""
        job: dict[str, Any] = self.event["data"]["job"]
        return job


@dataclass
class Receiver:
    """Answers with `status`, and keeps what it got."""

    port: int = 0
    status: Callable[[Received], int] = lambda _: 200
    received: list[Received] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    secret: str = SECRET
    answer: Callable[[], asyncio.Future[None]] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hooks?token=secret"

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Verify a request, keep it, and answer."""
        body = await request.read()
        headers = dict(request.headers)
        event = Webhook(self.secret).verify(body, headers)
        got = Received(request.headers["webhook-id"], event, headers, body)
        status = self.status(got)
        self.received.append(got)
        self.arrived.set()
        if self.answer is not None:
            await self.answer()
        return web.Response(status=status)

    async def wait(self, count: int) -> list[Received]:
        """Return what came once it is so many."""
        async with asyncio.timeout(30):
            while len(self.received) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return self.received


@asynccontextmanager
async def receiver(**options: Any) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    made = Receiver(**options)
    server = web.Server(made.handle)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()
        await server.shutdown(1)
