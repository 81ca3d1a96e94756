"""A connection whose plain submissions, the most frequent request, need none of aiohttp's objects.

aiohttp spends on a request two wake-ups of the connection's task, a task, a future and several
objects: more than reading, storing and answering it (docs/adr/0005). Here a request that arrived
complete is stored when it is parsed, and answered when the store's reply is read. All other
requests go through aiohttp; both paths validate, decide and answer with the same functions.

This module relies on private attributes of aiohttp, which probe.py checks first.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from asyncendpoints_core.resource.path_templates import Match
from asyncendpoints_gateway.http.messages import encode
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.server.aiohttp_adapter import IDLE_SECONDS
from asyncendpoints_gateway.server.fast_path.parser_errors import ProblemConnection
from asyncendpoints_gateway.views.submission import (
    OTHER_HEADERS,
    check_quickly,
    new_job,
    read_options,
    stored_request,
    submission_headers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import StreamReader
    from aiohttp.http import RawRequestMessage

    from asyncendpoints_core.jobs.records import Request
    from asyncendpoints_core.store.replies import Enqueued
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.server.app import Gateway
    from asyncendpoints_gateway.server.unsent import UnsentBytes
    from asyncendpoints_gateway.views.submission import Options

log = logging.getLogger("asyncendpoints.gateway")


class FastConnection(ProblemConnection):
    """One connection."""

    __slots__ = (
        "_broken",
        "_pending",
        "_submissions",
        "_unparsed",
        "dropped",
        "small",
    )

    def __init__(
        self,
        server: web.Server,
        submissions: FastSubmissions,
        unsent: UnsentBytes,
        **options: Any,
    ) -> None:
        super().__init__(server, unsent, **options)
        self._submissions = submissions
        # The response of the submission that was taken and is not answered yet.
        self._pending: PendingResponse | None = None
        self._broken = False
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
        super().connection_lost(exc)


class FastSubmissions:
    """Handles the plain submissions of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        """Handle the submissions of `gateway`, whose mount is empty."""
        self.submit = gateway.submit
        self.responses = gateway.responses
        self.refusal = gateway.refusal
        self.metrics = gateway.metrics
        self._hub = gateway.hub
        self._policy = gateway.policy
        self._now_ms = gateway.submit.time.now_ms
        self._enqueue = gateway.enqueue
        self._match = gateway.router.match
        self._guard = gateway.guard
        self._accepts_host = gateway.hosts.accepts
        self._max_body = gateway.config.max_body
        self._methods = {method for route in gateway.config.routes for method in route.methods}
        # Responses with CORS headers are left to Gateway.handle.
        self._enabled = not gateway.cors.enabled

    def take(
        self, message: RawRequestMessage, payload: StreamReader, connection: FastConnection
    ) -> bool:
        """Enqueue a plain submission; False leaves any other request untouched."""
        if not self._is_plain(message, payload):
            return False
        method, path = message.method, message.path
        match = self._match(method, path)
        if not isinstance(match, Match):
            return False
        route = match.route
        headers = submission_headers(message.headers, route.keep)
        if not self._is_accepted(message, headers.given):
            return False
        pending = PendingResponse(self, route, connection)
        connection.take(pending)
        try:
            options = read_options(route, headers)
            body = payload.read_nowait(-1)
            stored = stored_request(method, path, "", match.params, headers, body)
            if not check_quickly(route, body, stored.content_type):
                check = self._check_slowly(route, options, stored, pending)
                pending.checking = asyncio.get_running_loop().create_task(check)
                return True
            now_ms, attempts = self._now_ms(), self._policy.max_attempts
            new = new_job(route, options, stored, now_ms, attempts)
        except Exception as error:
            pending.set_exception(error)
        else:
            self._enqueue.add(new, pending)
        return True

    async def _check_slowly(
        self, route: RouteConfig, options: Options, stored: Request, pending: PendingResponse
    ) -> None:
        """Continue with a body whose check takes long."""
        try:
            new = await self.submit.checked_job(route, options, stored)
        except Exception as error:
            pending.set_exception(error)
        else:
            self._enqueue.add(new, pending)

    def _is_plain(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        path = message.path
        return not (
            not self._enabled
            or message.version != HttpVersion11
            or message.should_close
            or message.upgrade
            or message.chunked
            or not payload.is_eof()
            or payload.exception() is not None
            or self._hub.closing
            or message.method not in self._methods
            or "?" in path
            or "#" in path
        )

    def _is_accepted(self, message: RawRequestMessage, given: Mapping[str, str]) -> bool:
        if (
            not OTHER_HEADERS.isdisjoint(given)
            or not self._accepts_host(given.get("host", ""))
            or int(given.get("content-length", 0)) > self._max_body
        ):
            return False
        if self._guard is not None:
            try:
                self._guard.check(message.headers.get("Authorization", ""))
            except Problem:
                return False
        return True


class PendingResponse:
    """A submission waiting for the store: the batcher's result is sent as its response."""

    __slots__ = ("_begun", "_connection", "_done", "_path", "_route", "checking")

    def __init__(
        self, path: FastSubmissions, route: RouteConfig, connection: FastConnection
    ) -> None:
        self._begun = perf_counter()
        self._path = path
        self._route = route
        self._connection = connection
        self._done = False
        self.checking: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """The client has disconnected: send nothing."""
        self._done = True
        if self.checking is not None:
            self.checking.cancel()

    def done(self) -> bool:
        """Whether a result is no longer needed."""
        return self._done

    def set_result(self, answer: Enqueued) -> None:
        """Send the response to the store's decision."""
        try:
            job, extra = self._path.submit.accept(self._route, answer)
            headers, body = self._path.responses.accepted_parts(job, answer.position, extra)
        except Exception as error:
            self.set_exception(error)
        else:
            self._send(202, headers, body)

    def set_exception(self, error: Exception) -> None:
        """Send a problem."""
        self._path.submit.count_refusal(self._route, error)
        response = self._path.refusal(error, "submit")
        self._send(response.status, response.headers, response.body)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._done = True
        self._path.metrics.request("submit", status, perf_counter() - self._begun)
        try:
            self._connection.answer(status, headers, body)
        except Exception:  # must not affect the other submissions of the batch
            log.exception("a response could not be sent")
