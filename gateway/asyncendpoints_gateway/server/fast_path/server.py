"""aiohttp's server, whose connections have the fast path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from asyncendpoints_gateway.server.aiohttp_adapter import (
    AiohttpRequest,
    connection_options,
    to_aiohttp,
)
from asyncendpoints_gateway.server.fast_path.connection import FastConnection, FastSubmissions
from asyncendpoints_gateway.server.fast_path.response import PlainResponse, is_plain

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

    from asyncendpoints_gateway.server.app import Gateway


class FastServer(web.Server):
    """Accepts connections and passes their requests to a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        """Serve `gateway`; must be called inside the event loop."""
        super().__init__(self._answer, handler_cancellation=True)  # when the client disconnects
        self._gateway = gateway
        self._submissions = FastSubmissions(gateway)
        self._options = connection_options(gateway.config.max_head)
        self._event_loop = asyncio.get_running_loop()

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return FastConnection(
            self,
            self._submissions,
            self._gateway.unsent,
            loop=self._event_loop,
            **self._options,
        )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._gateway.handle(_Request(request))
        if is_plain(request, response):
            return PlainResponse(response, self._gateway.unsent, close=not request.keep_alive)
        return await to_aiohttp(request, response, self._gateway.unsent)


class _Request(AiohttpRequest):
    """A request of a FastConnection."""

    __slots__ = ()

    def head_size(self) -> int:
        """Return 0 when everything received is within the limit: headers are then not counted."""
        return 0 if getattr(self._request.protocol, "small", False) else super().head_size()

    def reusable(self) -> bool:
        """Whether everything of the request has arrived, and nothing behind it was dropped."""
        return self._content.is_eof() and not getattr(self._request.protocol, "dropped", False)
