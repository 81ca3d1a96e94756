"""Runs an aiohttp application whose answers name no server software, whoever makes them.

aiohttp answers a request that it cannot parse by itself: with a text that repeats parts of it, with
its version and that of Python, and with a traceback in the log.
"""

from __future__ import annotations

import asyncio
import logging
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from asyncendpoints_core.common.listening import open_sockets
from asyncendpoints_core.common.problem_types import MEDIA_TYPE, TABLE, encode

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

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

    @property
    def server(self) -> web.Server | None:
        """What the sites make connections with: they are those of aiohttp's server in all else."""
        made = super().server
        return None if made is None else _Server(made)

    async def listen(self, host: str, port: int) -> list[web.SockSite]:
        """Listen on each address of `host`; return the site of each. Raises OSError."""
        sites = [web.SockSite(self, each) for each in await open_sockets(host, port)]
        for site in sites:
            await site.start()
        return sites


class _Server(web.Server):
    def __init__(self, made: web.Server) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self._made = made

    def __call__(self) -> web.RequestHandler:
        loop = asyncio.get_running_loop()
        return _Connection(self._made, loop=loop, access_log=_SILENT, logger=_SILENT)


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
        return _Problem(name, detail)


class _Problem(web.Response):
    """Written as a whole: StreamResponse.prepare would add the name of the server software."""

    def __init__(self, name: str, detail: str) -> None:
        kind = TABLE[name]
        self._content: Final = encode(name, kind, detail, {})
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(self._content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Date": formatdate(usegmt=True),
            "Connection": "close",
        }
        super().__init__(status=kind.status, headers=headers)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the problem."""
        writer = request.writer
        await writer.write_headers(f"HTTP/1.1 {self.status} {self.reason}", self.headers)
        await writer.write_eof(b"" if request.method == "HEAD" else self._content)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all has been written."""


async def _without_banner(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
