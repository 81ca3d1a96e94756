"""Plain submissions, the most frequent request, in fewer steps than Gateway.handle takes.

A submission is plain if it has no query and no header that needs more checks or more than one
step, and its body has arrived in one part. Both paths validate, decide and answer with the same
functions. What is done for each request here is half of what a submission costs beyond its server.
"""

from __future__ import annotations

import logging
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.resource.path_templates import Match
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.server.asgi.adapter import (
    AsgiRequest,
    Begun,
    begin,
    last_part,
    respond,
    start_of,
)
from asyncendpoints_gateway.views.submission import (
    CONTROL,
    OTHER_HEADERS,
    SubmissionHeaders,
    check_quickly,
    new_job,
    read_options,
    stored_request,
)
from asyncendpoints_gateway.views.submit import MAX_INLINE_HASHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import NewJob
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.server.app import Gateway
    from asyncendpoints_gateway.server.asgi.types import Message, Receive, Scope, Send
    from asyncendpoints_gateway.views.mounted import Views
    from asyncendpoints_gateway.views.submit import SubmitView

log = logging.getLogger("asyncendpoints.gateway")


class _Use(NamedTuple):
    """What a header is for; neither: it makes a submission one that is not plain."""

    name: str
    kept: bool
    given: bool


_OTHER: Final = frozenset({*OTHER_HEADERS, "transfer-encoding"})


class PlainSubmissions:
    """Handles the plain submissions of a gateway."""

    def __init__(self, gateway: Gateway, time: TimeSource) -> None:
        self._gateway = gateway
        self._time = time
        self._match = gateway.router.match
        self._max_body = min(gateway.config.max_body, MAX_INLINE_HASHED)
        self._max_head = gateway.config.max_head
        # Responses with CORS headers are left to Gateway.handle.
        self._enabled = not gateway.cors.enabled
        self._uses = {route.keep: _uses(route.keep) for route in gateway.config.routes}

    async def handle(
        self, scope: Scope, receive: Receive, send: Send, path: str, views: Views
    ) -> AsgiRequest | None:
        """Answer a plain submission. Any other request is returned, for Gateway.handle."""
        gateway = self._gateway
        match = None
        if self._enabled and not scope["query_string"] and not gateway.hub.closing:
            match = self._match(scope["method"], path[len(views.mount) :])
        if type(match) is not Match:
            return AsgiRequest(scope, receive, path)
        begun = perf_counter()
        headers = self._headers(scope["headers"], match.route)
        if headers is None:
            return AsgiRequest(scope, receive, path)
        first = begin(receive())
        if isinstance(first, Begun) or not self._is_whole(first):
            return AsgiRequest(scope, receive, path, first)
        submit, route = views.submit, match.route
        try:
            new = self._new_job(submit, match, headers, scope["method"], path, first)
            if new is None:
                return AsgiRequest(scope, receive, path, first)
            answer = await submit.enqueue.request(new)
            job, extra = submit.accept(route, answer)
            fields, body = views.responses.accepted_parts(job, answer.position, extra)
        except Exception as error:
            submit.count_refusal(route, error)
            response = gateway.refusal(error, "submit")
            gateway.metrics.request("submit", response.status, perf_counter() - begun)
            request = AsgiRequest(scope, receive, path, first)
            request.read_nowait()
            await respond(request, response, send, self._time)
            return None
        gateway.metrics.request("submit", 202, perf_counter() - begun)
        try:
            await send(start_of(202, fields, len(body)))
            await send(last_part(body))
        except OSError as error:
            log.debug("the client has disconnected: %s", error)
        return None

    def _new_job(
        self,
        submit: SubmitView,
        match: Match[RouteConfig],
        headers: SubmissionHeaders,
        method: str,
        path: str,
        message: Message,
    ) -> NewJob | None:
        """Return the job that a request describes, None if its check takes long. Raises Problem."""
        route = match.route
        options = read_options(route, headers)
        stored = stored_request(method, path, "", match.params, headers, message.get("body", b""))
        if not check_quickly(route, stored.body, stored.content_type):
            return None
        now_ms, attempts = submit.time.now_ms(), submit.policy.max_attempts
        return new_job(route, options, stored, now_ms, attempts)

    def _is_whole(self, message: Message) -> bool:
        return (
            message["type"] == "http.request"
            and not message.get("more_body", False)
            and len(message.get("body", b"")) <= self._max_body
        )

    def _headers(
        self, raw: Sequence[tuple[bytes, bytes]], route: RouteConfig
    ) -> SubmissionHeaders | None:
        """Return the headers of a plain submission, None for any other. Decodes what matters.

        Those of a plain one are ASCII, and none occurs twice: see `collected` for the others.
        """
        whole = b"".join(chain.from_iterable(raw))
        fields = dict(raw)
        if (
            len(fields) < len(raw)
            or not whole.isascii()
            or len(whole) + 4 * len(raw) > self._max_head
        ):
            return None
        kept: dict[str, str] = {}
        given: dict[str, str] = {}
        uses = self._uses[route.keep]
        for field, value in raw:
            use = uses.get(field)
            if use is not None:
                name, is_kept, is_given = use
                if is_kept:
                    kept[name] = value.decode()
                if is_given:
                    given[name] = value.decode()
                elif not is_kept:
                    return None
        gateway = self._gateway
        size = int(given.get("content-length", 0))
        if size > self._max_body or not gateway.hosts.accepts(given.get("host", "")):
            return None
        if gateway.guard is not None:
            try:
                gateway.guard.check(fields.get(b"authorization", b"").decode())
            except Problem:
                return None
        return SubmissionHeaders(kept, given, ())


def _uses(keep: frozenset[str]) -> dict[bytes, _Use]:
    """Return the headers that matter to a route which keeps `keep`."""
    return {
        name.encode(): _Use(name, name in keep and name not in _OTHER, name in CONTROL - _OTHER)
        for name in keep | CONTROL | _OTHER
    }
