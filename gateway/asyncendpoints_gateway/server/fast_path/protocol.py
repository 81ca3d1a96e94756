"""aiohttp's low-level server, made to answer its parser's own faults as problems.

aiohttp answers a bad request line, header or chunk itself, in plain text that repeats the bytes.
Its hook for these is `RequestHandler.handle_error`; the rest here is what has to be true around it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import (
    BadHttpMessage,
    HttpProcessingError,
    InvalidURLError,
    LineTooLong,
)
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from asyncendpoints_gateway.http.problems import Problem, internal
from asyncendpoints_gateway.server.fast_path.response import whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.web_protocol import _RequestHandler

    from asyncendpoints_gateway.server.fast_path.submissions import Asked, Express

MAX_URI: Final = 8_190
MAX_HEADERS: Final = 128
IDLE_SECONDS: Final = 75.0
"""How long a connection may stay open without a request, or with half of one's head."""
LINGER_SECONDS: Final = 1.0
"""How long a client that broke the protocol has for reading the answer."""


class HttpServer(web.Server):
    """Accepts connections and hands their requests to `handler`. `max_head` in bytes.

    A handler is cancelled when its client goes away, so that nothing waits for nobody.
    """

    def __init__(
        self, handler: _RequestHandler, max_head: int, express: Express | None = None
    ) -> None:
        """Prepare; must be made inside the event loop. `handler` sees what `express` leaves."""
        super().__init__(handler, handler_cancellation=True)
        self._express = express
        # The parser's fault is the same for both, but for the limit: two limits tell them apart.
        max_field = max_head if max_head != MAX_URI else max_head + 1
        self._options: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,  # bodies.py does it, with a limit on what comes out
            "keepalive_timeout": IDLE_SECONDS,
            "lingering_time": LINGER_SECONDS,
            "max_line_size": MAX_URI,
            "max_field_size": max_field,
            "max_headers": MAX_HEADERS,
        }

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return Protocol(self, self._express, loop=self._loop, **self._options)


class Protocol(RequestHandler):
    """One connection."""

    __slots__ = ("_asked", "_broken", "_express", "_lost", "_unread", "slight")

    def __init__(self, server: HttpServer, express: Express | None, **options: Any) -> None:
        super().__init__(server, **options)
        self._express = express
        # The request that went the express way and is not answered yet.
        self._asked: Asked | None = None
        self._broken = False
        self._lost: asyncio.Future[None] | None = None
        self._unread = 0
        # Whether all that came since the request before is less than the head may have.
        self.slight = True

    def data_received(self, data: bytes) -> None:
        """Feed the parser, until it has found a fault: what follows one means nothing."""
        if self._broken:
            return
        # Set aside, so that aiohttp only queues what it parsed: its task is woken below, or not.
        idle, self._waiter = self._waiter, None
        try:
            RequestHandler.data_received(self, data)
        except Exception as error:  # anything else than its own faults would kill the connection
            fault = BadHttpMessage("the request cannot be parsed")
            fault.__cause__ = error
            self._messages.append((_ErrInfo(400, fault, ""), EMPTY_PAYLOAD))
        self._waiter = idle
        messages = self._messages
        self._unread += len(data)
        if not messages:
            return
        self.slight = self._unread <= self.max_field_size
        self._unread = 0
        if isinstance(messages[-1][0], _ErrInfo):
            self._broken = True
            if self._current_request is not None:
                # The fault is in the body that is being read: let its reader know.
                self._current_request.content.set_exception(RequestPayloadError("broken framing"))
        if idle is None or idle.done() or self._asked is not None or self._expressed():
            return
        idle.set_result(None)

    def _expressed(self) -> bool:
        """Let the one request that has come go the express way, if it may."""
        express, (message, payload) = self._express, self._messages[0]
        if (
            express is None
            or len(self._messages) > 1
            or not self.slight
            or self.writing_paused
            or isinstance(message, _ErrInfo)
        ):
            return False
        return express.take(message, payload, self)

    def take(self, asked: Asked) -> None:
        """Take the request that has come off the queue; aiohttp's task will not see it."""
        self._messages.popleft()
        if self._parser is not None and self._manager is not None:  # still connected
            self._parser.message_consumed()
            self._manager.requests_count += 1
        self._asked = asked
        self._request_in_progress = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume what was paused: aiohttp would go through it all after each read of a body."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Write the answer of what went the express way, and go on with what came meanwhile."""
        self._done()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(whole(status, headers, body, close=self._close or self._force_close))
        self._next_keepalive_close_time = self._loop.time() + IDLE_SECONDS
        idle = self._waiter
        if self._messages and idle is not None and not idle.done():
            idle.set_result(None)

    def _done(self) -> None:
        """Nothing is under way any more; a server that ends waits for that."""
        self._asked = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)

    def _process_keepalive(self) -> None:
        """Close a connection that was idle for long; to aiohttp one looks idle that is not."""
        if self._asked is not None:
            self._next_keepalive_close_time = self._loop.time() + IDLE_SECONDS
        super()._process_keepalive()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of everything."""
        if self._asked is not None:
            self._asked.cancel()
            self._done()
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
        """Return the problem for a fault of the parser, or for a defect of ours."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if isinstance(exc, HttpProcessingError):
            problem = parser_problem(exc, self.max_line_size)
        else:
            self.log_exception("a request failed", exc_info=exc)
            problem = internal()
        response = problem.response()
        response.force_close()
        return response

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
        """Take, and throw away, what the client still sends: closing at once would reset the
        connection before it has read the answer.
        """
        transport = self.transport
        if transport is None or not transport.can_write_eof():
            return
        transport.write_eof()
        self._lost = self._loop.create_future()
        await asyncio.wait([self._lost], timeout=LINGER_SECONDS)


def parser_problem(error: HttpProcessingError, max_uri: int) -> Problem:
    """Return the problem for a fault of the parser. Nothing of the request is repeated."""
    if isinstance(error, LineTooLong):
        if error.args[1] in (max_uri, str(max_uri)):
            return Problem("uri-too-long", f"a URI has at most {max_uri} characters", close=True)
        return Problem("headers-too-large", "a header is too long", close=True)
    if "Too many headers" in error.message:
        detail = f"a request has at most {MAX_HEADERS} headers"
        return Problem("headers-too-large", detail, close=True)
    if isinstance(error, InvalidURLError):
        return Problem("invalid-query", "the request's target is not valid", close=True)
    return Problem("invalid-header", "the request is no valid HTTP/1.1", close=True)
