"""The short way of the commonest request: a plain submission.

On aiohttp's way a request costs two wake-ups of the connection's task, a task, a future, a request
and a response object before and after anything of ours; measured, more than reading, storing and
answering it (docs/adr/0005). Here a request that came whole is stored from where it was parsed, and
answered from where the store's reply was read. Whatever is not plain goes aiohttp's way, and both
read, decide and answer with the same functions.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import HttpVersion11

from asyncendpoints_core.resource.path_templates import Match
from asyncendpoints_gateway.http.headers import sift
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.views import replies
from asyncendpoints_gateway.views.submit import accept, job_of, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import StreamReader
    from aiohttp.http_parser import RawRequestMessage

    from asyncendpoints_core.resource.path_templates import Router
    from asyncendpoints_core.store.protocol import Enqueued
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.context import Context
    from asyncendpoints_gateway.http.auth import Guard
    from asyncendpoints_gateway.server.fast_path.response import Reply

log = logging.getLogger("asyncendpoints.gateway")

OTHER: Final = frozenset({"content-encoding", "expect", "prefer"})
"""Steering headers that need more than one step."""


class Connection(Protocol):
    """Where a request came from."""

    def take(self, asked: Asked) -> None:
        """Take the request off the connection: `asked` will answer it."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send the answer to what was taken."""


class Express:
    """Takes the plain submissions of a gateway. `refusal` makes an answer of an exception."""

    def __init__(
        self,
        context: Context,
        router: Router[RouteConfig],
        guard: Guard | None,
        refusal: Callable[[Exception, str], Reply],
    ) -> None:
        self.context = context
        self.refusal = refusal
        self._router = router
        self._guard = guard
        self._methods = {method for route in context.config.routes for method in route.methods}

    def take(
        self, message: RawRequestMessage, payload: StreamReader, connection: Connection
    ) -> bool:
        """Take a request and answer it when the store has; False: not plain, and not touched."""
        context = self.context
        if (
            message.version != HttpVersion11
            or message.should_close
            or message.upgrade
            or message.chunked
            or not payload.is_eof()
            or payload.exception() is not None
            or context.hub.closing
        ):
            return False
        match = self._match(message.method, message.path)
        if match is None:
            return False
        route, params = match.route, match.params
        sifted = sift(message.headers, route.keep)
        given = sifted.given
        if not OTHER.isdisjoint(given):
            return False
        if int(given.get("content-length", 0)) > context.config.max_body:
            return False
        try:
            if self._guard is not None:
                self._guard.check(message.headers.get("Authorization"))
        except Problem:
            return False
        asked = Asked(self, route, connection)
        connection.take(asked)
        try:
            body = payload.read_nowait(-1)
            new = job_of(context, message.method, message.url, route, params, sifted, body)
        except Exception as error:
            asked.set_exception(error)
        else:
            context.enqueue.put(new, asked)
        return True

    def _match(self, method: str, target: str) -> Match[RouteConfig] | None:
        """Return the route of a target that has no query, and its parameters."""
        if method not in self._methods or "?" in target or "#" in target:
            return None
        match = self._router.match(method, target)
        return match if isinstance(match, Match) else None


class Asked:
    """One request under way: what the batcher tells of it becomes its answer at once."""

    __slots__ = ("_begun", "_connection", "_express", "_gone", "_route")

    def __init__(self, express: Express, route: RouteConfig, connection: Connection) -> None:
        self._begun = perf_counter()
        self._express = express
        self._route = route
        self._connection = connection
        self._gone = False

    def cancel(self) -> None:
        """The client went away: nobody hears the answer."""
        self._gone = True

    def done(self) -> bool:
        """Whether nobody asks any more."""
        return self._gone

    def set_result(self, answer: Enqueued) -> None:
        """Answer with what the store has decided."""
        context = self._express.context
        try:
            job, extra = accept(context, self._route, answer)
            headers, body = replies.accepted_parts(context, job, answer.ahead, extra)
        except Exception as error:
            self.set_exception(error)
        else:
            self._answer(202, headers, body)

    def set_exception(self, error: Exception) -> None:
        """Answer with a problem."""
        refused(self._express.context, self._route, error)
        reply = self._express.refusal(error, "submit")
        self._answer(reply.status, reply.headers, reply.whole_body)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._gone = True
        self._express.context.metrics.request("submit", status, perf_counter() - self._begun)
        try:
            self._connection.answer(status, headers, body)
        except Exception:  # one connection's trouble is none of its neighbours' in the batch
            log.exception("an answer could not be sent")
