"""The HTTP server of a gateway: with the fast path where the installed aiohttp supports it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import __version__ as aiohttp_version
from aiohttp import web

from asyncendpoints_gateway.server.aiohttp_adapter import (
    AiohttpRequest,
    connection_options,
    to_aiohttp,
)
from asyncendpoints_gateway.server.fast_path import probe

if TYPE_CHECKING:
    from asyncendpoints_gateway.server.app import Gateway

log = logging.getLogger("asyncendpoints.gateway")


def http_server(gateway: Gateway) -> web.Server:
    """Return the server, a factory of protocols; must be called inside the event loop."""
    # A submission on the fast path has no request object to report.
    differences = probe.differences() if gateway.on_response is None else []
    gateway.metrics.fast_path = gateway.on_response is None and not differences
    if gateway.metrics.fast_path:
        from asyncendpoints_gateway.server.fast_path.server import FastServer

        return FastServer(gateway)
    if differences:
        log.warning(
            "the fast path is disabled, because aiohttp %s differs from the supported versions: %s",
            aiohttp_version,
            "; ".join(differences),
        )

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await gateway.handle(AiohttpRequest(request))
        made = await to_aiohttp(request, response, gateway.unsent)
        with suppress(ConnectionError):  # the client has disconnected
            await made.prepare(request)
            await made.write_eof()
        if isinstance(made, web.Response):
            made.body = None  # aiohttp keeps the object until the connection's next request
        return made

    options = connection_options(gateway.config.max_head)
    return web.Server(answer, handler_cancellation=True, **options)
