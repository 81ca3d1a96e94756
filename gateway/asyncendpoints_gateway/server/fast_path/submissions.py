"""Plain submissions, the most frequent request, without aiohttp's request and response objects.

aiohttp spends on a request two wake-ups of the connection's task, a task, a future and several
objects: more than reading, storing and answering it (docs/adr/0005). Here a request that arrived
complete is stored when it is parsed, and answered when the store's reply is read. All other
requests go through aiohttp; both paths validate, decide and answer with the same functions.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from aiohttp import HttpVersion11

from asyncendpoints_core.resource.path_templates import Match
from asyncendpoints_gateway.http.problems import Problem
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
    from asyncendpoints_gateway.views.submission import Options

log = logging.getLogger("asyncendpoints.gateway")


class Connection(Protocol):
    """The connection of a request."""

    def take(self, pending: PendingResponse) -> None:
        """Remove the request from the connection's queue: `pending` will answer it."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send the response to the request that was taken."""


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
        self, message: RawRequestMessage, payload: StreamReader, connection: Connection
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

    def __init__(self, path: FastSubmissions, route: RouteConfig, connection: Connection) -> None:
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
