"""A receiver of the webhooks of a soak. It fails at times, and keeps which ends of jobs it got."""

import asyncio
import random
from typing import Self

from aiohttp import web

from support.http.receiver import SECRET

FAILING = 0.05


class EventReceiver:
    """Signatures are not verified: the clocks of gateways, which they contain, are stepped."""

    secret = SECRET

    def __init__(self) -> None:
        self.received: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        self.port = 0
        self._server = web.Server(self._handle)

    async def start(self) -> Self:
        """Listen."""
        listener = await asyncio.get_running_loop().create_server(self._server, "127.0.0.1", 0)
        self._listener = listener
        self.port = listener.sockets[0].getsockname()[1]
        return self

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        job = (await request.json())["data"]["job"]
        event = job["id"], job["revision"]
        # Once each: after a second failure the next try is minutes later.
        if event not in self._failed and random.random() < FAILING:
            self._failed.add(event)
            return web.Response(status=503)
        self.received.add(event)
        return web.Response()

    async def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        await self._server.shutdown(1)
