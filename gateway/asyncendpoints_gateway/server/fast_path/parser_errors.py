"""Errors of aiohttp's parser, and of handlers, answered as problems.

aiohttp answers a bad request line, header or chunk itself, in plain text that repeats the bytes.
Its hook for these is `RequestHandler.handle_error`. This module relies on private attributes of
aiohttp, which probe.py checks first.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from aiohttp.http_exceptions import (
    BadHttpMethod,
    BadStatusLine,
    HttpProcessingError,
    InvalidURLError,
    LineTooLong,
)
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from asyncendpoints_gateway.http.problems import Problem, internal
from asyncendpoints_gateway.server.aiohttp_adapter import (
    LINGER_MOST_SECONDS,
    LINGER_SECONDS,
    MAX_HEADERS,
)
from asyncendpoints_gateway.server.fast_path.response import PlainResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from asyncendpoints_gateway.server.unsent import UnsentBytes


class ProblemConnection(RequestHandler):
    """One connection whose errors are answered as problems."""

    __slots__ = ("_discarding", "_lost", "_unsent")

    def __init__(self, server: web.Server, unsent: UnsentBytes, **options: Any) -> None:
        super().__init__(server, **options)
        self._unsent = unsent
        # Whether anything was received behind an error since this was last looked at.
        self._discarding = True
        self._lost: asyncio.Future[None] | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the wait for what the client still sends."""
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)
        super().connection_lost(exc)

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
        if isinstance(exc, HttpProcessingError):
            problem = parser_problem(exc, self.max_line_size)
        else:
            self.log_exception("a request failed", exc_info=exc)
            problem = internal()
        return PlainResponse(problem.response(), self._unsent, close=True)

    def _make_error_handler(
        self, err_info: _ErrInfo
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            response = self.handle_error(request, err_info.status, err_info.exc)
            await response.prepare(request)
            await response.write_eof()
            await self._linger()
            return response

        return handler

    async def _linger(self) -> None:
        """Discard what the client still sends, as `discard` does, and close the connection: aiohttp
        would write the response again.
        """
        transport = self.transport
        if transport is None:
            return
        if transport.can_write_eof():
            transport.write_eof()
            self._lost = self._loop.create_future()
            end = self._loop.time() + LINGER_MOST_SECONDS
            while self._discarding and not self._lost.done() and self._loop.time() < end:
                self._discarding = False
                await asyncio.wait([self._lost], timeout=LINGER_SECONDS)
        transport.close()


# The line of the error, as aiohttp quotes it in its message.
_REQUEST_LINE: Final = re.compile(r"b['\"][!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP/([0-9]\.[0-9])['\"]")
_VERSIONS: Final = frozenset({"1.0", "1.1"})


def parser_problem(error: HttpProcessingError, max_uri: int) -> Problem:
    """Return the problem for an error of the parser. It repeats nothing of the request.

    The parser refuses unknown methods and versions as it refuses what is not HTTP.
    """
    if isinstance(error, BadStatusLine):
        line = _REQUEST_LINE.search(error.message)
        if line is not None and line[1] not in _VERSIONS:
            detail = "only HTTP/1.1 and HTTP/1.0 are supported"
            return Problem("version-not-supported", detail, close=True)
        if line is not None and isinstance(error, BadHttpMethod):
            return Problem("not-implemented", "the method is not implemented", close=True)
    if isinstance(error, LineTooLong):
        if error.args[1] in (max_uri, str(max_uri)):
            return Problem("uri-too-long", f"the URI exceeds {max_uri} characters", close=True)
        return Problem("headers-too-large", "a header is too long", close=True)
    if "Too many headers" in error.message:  # aiohttp has no type for it; probe.py checks the text
        detail = f"the request has more than {MAX_HEADERS} headers"
        return Problem("headers-too-large", detail, close=True)
    if isinstance(error, InvalidURLError):
        return Problem("invalid-query", "the request target is not valid", close=True)
    return Problem("invalid-header", "the request is not valid HTTP/1.1", close=True)
