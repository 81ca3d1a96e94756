"""Runs an aiohttp application whose answers name no server software, whoever makes them.

aiohttp answers a request that it cannot parse by itself: with a text that repeats parts of it, with
its version and that of Python, and with a traceback in the log.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from asyncendpoints_core.common.problem_types import MEDIA_TYPE, TABLE, encode

log = logging.getLogger("asyncendpoints")

# aiohttp logs what of a malformed request it cannot parse, which may be a token.
_SILENT: Final = logging.Logger("aiohttp", logging.CRITICAL + 1)


class ProblemRunner(web.AppRunner):
    """Runs an application; see the module. `headers` of its answers are set by the application."""

    __slots__ = ()

    def __init__(self, app: web.Application, *, shutdown_timeout: float = 60.0) -> None:
        """`shutdown_timeout`: how long requests may take at the end, in seconds."""
        super().__init__(app, handle_signals=False, shutdown_timeout=shutdown_timeout)
        app.on_response_prepare.append(_without_banner)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        loop = asyncio.get_running_loop()
        return _Connection(self, loop=loop, access_log=_SILENT, logger=_SILENT)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the problem for an error of the parser, or for an internal error."""
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun already")
        if isinstance(exc, LineTooLong):
            name, detail = "headers-too-large", "the request line or a header is too long"
        elif isinstance(exc, HttpProcessingError):
            name, detail = "invalid-header", "the request is not valid HTTP/1.1"
        else:
            log.error("internal error", exc_info=exc)
            name, detail = "internal", "internal error; see the log"
        kind = TABLE[name]
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        body = encode(name, kind, detail, {})
        response = _Problem(status=kind.status, body=body, headers=headers)
        response.force_close()
        return response


class _Problem(web.Response):
    async def _prepare_headers(self) -> None:
        # No signal of an application is sent for a request that is not parsed.
        await super()._prepare_headers()
        self.headers.popall("Server", None)


async def _without_banner(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
