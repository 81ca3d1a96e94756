"""The short way of the commonest request: a plain submission to a route without parameters.

On aiohttp's way a request costs two wake-ups of the connection's task, a task, a future, a request
and a response object before and after anything of ours; measured, more than reading, storing and
answering it (docs/adr/0005). Here a request that came whole is stored from where it was parsed, and
answered from where the store's reply was read. Whatever is not plain goes aiohttp's way, and both
read, decide and answer with the same functions.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import HttpVersion11

from asyncendpoints_gateway import replies
from asyncendpoints_gateway.headers import sift
from asyncendpoints_gateway.problems import Problem
from asyncendpoints_gateway.submit import accept, job_of, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import StreamReader
    from aiohttp.http_parser import RawRequestMessage

    from asyncendpoints_core.store.protocol import Enqueued
    from asyncendpoints_gateway.auth import Guard
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.context import Context
    from asyncendpoints_gateway.response import Reply

OTHER: Final = frozenset({"content-encoding", "expect", "prefer"})
"""Steering headers that need more than one step."""


class Connection(Protocol):
    """Where an answer goes."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send the answer to what was taken."""


class Express:
    """Takes the plain submissions of a gateway. `refusal` makes an answer of an exception."""

    def __init__(
        self,
        context: Context,
        routes: Mapping[tuple[str, str], RouteConfig],
        guard: Guard | None,
        refusal: Callable[[Exception, str], Reply],
    ) -> None:
        """Prepare; `routes` by method and whole path."""
        self._context = context
        self._routes = routes
        self._guard = guard
        self._refusal = refusal

    def take(
        self, message: RawRequestMessage, payload: StreamReader, connection: Connection
    ) -> asyncio.Future[Enqueued] | None:
        """Take a request, and return the store's answer to come, after which `connection` is
        answered. None: not plain, and not touched.
        """
        context = self._context
        route = self._routes.get((message.method, message.path))
        if (
            route is None
            or message.version != HttpVersion11
            or message.should_close
            or message.upgrade
            or message.chunked
            or not payload.is_eof()
            or payload.exception() is not None
            or context.hub.closing
        ):
            return None
        sifted = sift(message.headers, route.keep)
        given = sifted.given
        if not OTHER.isdisjoint(given):
            return None
        if int(given.get("content-length", 0)) > context.config.max_body:
            return None
        begun = perf_counter()
        try:
            if self._guard is not None:
                self._guard.check(message.headers.get("Authorization"))
            body = payload.read_nowait(-1)
            new = job_of(context, message.method, message.url, route, {}, sifted, body)
            future = context.enqueue.ask(new)
        except Problem as problem:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(problem)
        future.add_done_callback(partial(self._answer, route, connection, begun))
        return future

    def _answer(
        self,
        route: RouteConfig,
        connection: Connection,
        begun: float,
        future: asyncio.Future[Enqueued],
    ) -> None:
        if future.cancelled():  # its client went away
            return
        context = self._context
        try:
            answer = future.result()
            job, extra = accept(context, route, answer)
            headers, body = replies.accepted_parts(context, job, answer.ahead, extra)
            status = 202
        except Exception as error:
            refused(context, route, error)
            reply = self._refusal(error, "submit")
            status, headers, body = reply.status, reply.headers, reply.whole_body
        context.metrics.request("submit", status, perf_counter() - begun)
        connection.answer(status, headers, body)
