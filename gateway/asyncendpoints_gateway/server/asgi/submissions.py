"""Plain submissions, the most frequent request, in fewer steps than Gateway.handle takes.

A submission is plain if it has no query and no header that needs more checks or more than one
step. Both paths validate, decide and answer with the same functions.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from asyncendpoints_core.resource.path_templates import Match
from asyncendpoints_gateway.http.bodies import read_body
from asyncendpoints_gateway.http.headers import submission_headers
from asyncendpoints_gateway.http.messages import Response
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.views.submit import OTHER_HEADERS, read_options, stored_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.http.headers import SubmissionHeaders
    from asyncendpoints_gateway.server.app import Gateway
    from asyncendpoints_gateway.server.asgi.adapter import AsgiRequest
    from asyncendpoints_gateway.views.mounted import Views


class PlainSubmissions:
    """Handles the plain submissions of a gateway."""

    def __init__(self, gateway: Gateway, time: TimeSource) -> None:
        """Handle the submissions of `gateway`."""
        self._gateway = gateway
        self._time = time
        self._max_body = gateway.config.max_body
        self._max_head = gateway.config.max_head
        self._methods = {method for route in gateway.config.routes for method in route.methods}
        # Responses with CORS headers are left to Gateway.handle.
        self._enabled = not gateway.cors.enabled

    async def handle(self, request: AsgiRequest, views: Views) -> Response | None:
        """Answer a plain submission; None leaves any other request untouched."""
        gateway = self._gateway
        if (
            not self._enabled
            or request.query
            or request.method not in self._methods
            or gateway.hub.closing
        ):
            return None
        match = gateway.router.match(request.method, request.path[len(views.mount) :])
        if not isinstance(match, Match):
            return None
        begun = perf_counter()
        headers = submission_headers(request.headers, match.route.keep)
        if not self._is_accepted(request, headers.given):
            return None
        try:
            response = await self._submit(request, views, match.route, match.params, headers)
        except Exception as error:
            views.submit.count_refusal(match.route, error)
            response = gateway.refusal(error, "submit")
        gateway.metrics.request("submit", response.status, perf_counter() - begun)
        return response

    async def _submit(
        self,
        request: AsgiRequest,
        views: Views,
        route: RouteConfig,
        params: dict[str, str],
        headers: SubmissionHeaders,
    ) -> Response:
        submit = views.submit
        options = read_options(route, headers)
        body = request.whole_body(self._max_body)
        if body is None:
            body = await read_body(request, headers.given, self._max_body, self._time)
        stored = stored_request(request.method, request.path, "", params, headers, body)
        answer = await submit.enqueue.request(await submit.checked_job(route, options, stored))
        job, extra = submit.accept(route, answer)
        return Response(202, *views.responses.accepted_parts(job, answer.ahead, extra))

    def _is_accepted(self, request: AsgiRequest, given: Mapping[str, str]) -> bool:
        first = request.fields.first
        if (
            not OTHER_HEADERS.isdisjoint(given)
            or "transfer-encoding" in first
            or int(given.get("content-length", 0)) > self._max_body
            or not self._gateway.hosts.accepts(given.get("host", ""))
            or request.head_size() > self._max_head
        ):
            return False
        if self._gateway.guard is not None:
            try:
                self._gateway.guard.check(first.get("authorization", ""))
            except Problem:
                return False
        return True
