"""aiohttp's server connection, extended by the fast path and by parser errors as problems.

aiohttp answers a bad request line, header or chunk itself, in plain text that repeats the bytes.
Its hook for these is `RequestHandler.handle_error`. This module relies on private attributes of
aiohttp, which probe.py checks first.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import (
    BadHttpMessage,
    BadHttpMethod,
    BadStatusLine,
    HttpProcessingError,
    InvalidURLError,
    LineTooLong,
)
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from asyncendpoints_gateway.http.messages import encode
from asyncendpoints_gateway.http.problems import Problem, internal
from asyncendpoints_gateway.server.aiohttp_adapter import (
    IDLE_SECONDS,
    LINGER_MOST_SECONDS,
    LINGER_SECONDS,
    MAX_HEADERS,
    AiohttpRequest,
    connection_options,
    to_aiohttp,
)
from asyncendpoints_gateway.server.fast_path.response import PlainResponse, is_plain
from asyncendpoints_gateway.server.fast_path.submissions import FastSubmissions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncendpoints_gateway.server.app import Gateway
    from asyncendpoints_gateway.server.fast_path.submissions import PendingResponse
    from asyncendpoints_gateway.server.unsent import UnsentBytes


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


class FastConnection(RequestHandler):
    """One connection."""

    __slots__ = (
        "_broken",
        "_discarding",
        "_lost",
        "_pending",
        "_submissions",
        "_unparsed",
        "_unsent",
        "dropped",
        "small",
    )

    def __init__(
        self,
        server: FastServer,
        submissions: FastSubmissions,
        unsent: UnsentBytes,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._unsent = unsent
        self._submissions = submissions
        # The response of the submission that was taken and is not answered yet.
        self._pending: PendingResponse | None = None
        self._broken = False
        # Whether anything was received behind an error since this was last looked at.
        self._discarding = True
        self._lost: asyncio.Future[None] | None = None
        self._unparsed = 0
        # Whether everything received since the previous request is within the limit of a head.
        self.small = True
        # Whether aiohttp may have dropped what followed a request to upgrade the connection.
        self.dropped = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, until it finds an error: what follows an error has no meaning."""
        if self._broken:
            self._discarding = True
            return
        # Hidden from aiohttp, so that it only queues what it parses: its task is woken below.
        idle, self._waiter = self._waiter, None
        try:
            RequestHandler.data_received(self, data)
        except Exception as error:  # any error that is not aiohttp's own would end the connection
            fault = BadHttpMessage("the request cannot be parsed")
            fault.__cause__ = error
            self._messages.append((_ErrInfo(400, fault, ""), EMPTY_PAYLOAD))
        self._waiter = idle
        messages = self._messages
        self._unparsed += len(data)
        if not messages:
            return
        self.small = self._unparsed <= self.max_field_size
        self._unparsed = 0
        message, _ = messages[-1]
        if isinstance(message, _ErrInfo):
            self._broken = True
            if self._current_request is not None:
                # The error may be inside the body being read: notify its reader.
                self._current_request.content.set_exception(RequestPayloadError("broken framing"))
        elif message.upgrade and not self._upgraded:
            head = data.find(b"\r\n\r\n") + 4
            size = int(message.headers.get("Content-Length", 0))
            self.dropped = len(messages) > 1 or head + size != len(data)
        if idle is None or idle.done() or self._pending is not None or self._take_submission():
            return
        idle.set_result(None)

    def _take_submission(self) -> bool:
        """Pass the only request that is queued to the fast path, if it is a plain submission."""
        message, payload = self._messages[0]
        if (
            len(self._messages) > 1
            or not self.small
            or self.writing_paused
            or isinstance(message, _ErrInfo)
        ):
            return False
        return self._submissions.take(message, payload, self)

    def take(self, pending: PendingResponse) -> None:
        """Remove the request from the queue, so that aiohttp's task does not handle it."""
        self._messages.popleft()
        if self._parser is not None and self._manager is not None:  # still connected
            self._parser.message_consumed()
            self._manager.requests_count += 1
        self._pending = pending
        self._request_in_progress = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume only what was paused: aiohttp feeds its parser again after each read of a body."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Write the response of the fast path, then handle what arrived in the meantime."""
        self._finish_pending()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        data = encode(status, headers, body, close=self._close or self._force_close)
        transport.write(data)
        self._unsent.watch(transport, len(data))
        self._next_keepalive_close_time = self._loop.time() + IDLE_SECONDS
        idle = self._waiter
        if self._messages and idle is not None and not idle.done():
            idle.set_result(None)

    def _finish_pending(self) -> None:
        """Mark the connection as idle, which a server that shuts down waits for."""
        self._pending = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)

    def _process_keepalive(self) -> None:
        """Close an idle connection; to aiohttp a connection with a pending response looks idle."""
        if self._pending is not None:
            self._next_keepalive_close_time = self._loop.time() + IDLE_SECONDS
        super()._process_keepalive()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the pending response."""
        if self._pending is not None:
            self._pending.cancel()
            self._finish_pending()
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
