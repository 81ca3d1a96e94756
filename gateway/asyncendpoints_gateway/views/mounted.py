"""The views of a gateway for one mount, which is a part of their links."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncendpoints_gateway.http.headers import wants_events
from asyncendpoints_gateway.views.pages import options_response, ready

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from asyncendpoints_gateway.http.messages import Request, Response
    from asyncendpoints_gateway.http.router import Target
    from asyncendpoints_gateway.views.jobs import JobViews
    from asyncendpoints_gateway.views.pages import Pages
    from asyncendpoints_gateway.views.responses import JobResponses
    from asyncendpoints_gateway.views.sse import EventView
    from asyncendpoints_gateway.views.submit import SubmitView


class Views(NamedTuple):
    """All views. `mount`: what the raw path of each of their requests begins with."""

    mount: str
    responses: JobResponses
    submit: SubmitView
    events: EventView
    jobs: JobViews
    pages: Pages

    def of(self, request: Request, target: Target) -> tuple[str, Awaitable[Response]]:
        """Return the operation and the view of one of the gateway's own paths."""
        operation, job_id, allow = target
        if operation == "options":
            return operation, options_response(request.method, allow)
        if operation == "docs":
            return "docs", ready(self.pages.docs)
        if operation == "openapi":
            return "docs", ready(self.pages.openapi)
        if job_id is None:
            return "list", self.jobs.list(request)
        if operation == "result":
            return operation, self.jobs.result(request, job_id)
        if operation == "cancel":
            return operation, self.jobs.cancel(request, job_id)
        if operation == "retry":
            return operation, self.jobs.retry(request, job_id)
        if wants_events(",".join(request.headers.getall("Accept", []))):
            return "events", self.events.stream(request, job_id)
        return "job", self.jobs.show(request, job_id)
