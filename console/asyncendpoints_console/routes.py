"""Every path of the listener, and what answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from asyncendpoints_console.api import (
    actions,
    endpoints,
    jobs,
    logs,
    resubmit,
    schedules,
    session,
    webhooks,
)
from asyncendpoints_console.api.call import Call
from asyncendpoints_console.openapi import document
from asyncendpoints_console.openapi.operations import ENDPOINT, JOB
from asyncendpoints_console.refusals import forbidden

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from asyncendpoints_console.pages.views import Views
    from asyncendpoints_console.site import Site

    ForSite = Callable[[Site, web.Request], Awaitable[web.StreamResponse]]
    ForEndpoint = Callable[[Call], Awaitable[web.StreamResponse]]
    T = TypeVar("T")
    Add = Callable[[str, str, T], None]
    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN: Final = frozenset({("GET", "/login"), ("POST", "/api/v1/session")})
"""What is answered without a token and a session: the login."""
PAGE: Final = "/e/{namespace}/{name}"


def add(router: web.UrlDispatcher, site: Site, pages: Views) -> None:
    """Add every route."""
    figures = {
        *(endpoints.show, endpoints.pause, endpoints.resume, endpoints.figures, endpoints.audit),
        *(pages.scaling, pages.audit),
    }

    def of_site(method: str, path: str, answer: ForSite) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await answer(site, request)

        router.add_route(method, path, handle)

    def of_endpoint(method: str, path: str, answer: ForEndpoint) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            target = site.target(request)
            if target.figures_only and answer not in figures:
                raise forbidden("this console shows the overview and figures only")
            return await answer(Call(request, target, site))

        router.add_route(method, path, handle)

    router.add_get("/", pages.overview)
    router.add_get("/static/{file}", pages.asset)
    router.add_get("/logout", pages.log_out)
    of_endpoint("GET", f"{PAGE}/jobs", pages.jobs)
    of_endpoint("GET", f"{PAGE}/jobs/{{id}}", pages.job)
    of_endpoint("GET", f"{PAGE}/workers", pages.workers)
    of_endpoint("GET", f"{PAGE}/schedules", pages.schedules)
    of_endpoint("GET", f"{PAGE}/webhooks", pages.webhooks)
    of_endpoint("GET", f"{PAGE}/scaling", pages.scaling)
    of_endpoint("GET", f"{PAGE}/failures", pages.failures)
    of_endpoint("GET", f"{PAGE}/audit", pages.audit)
    _add_api(of_site, of_endpoint)


def _add_api(of_site: Add[ForSite], of_endpoint: Add[ForEndpoint]) -> None:
    of_site("GET", "/login", session.use_link)
    of_site("POST", "/logout", session.log_out_by_form)
    of_site("POST", "/api/v1/session", session.log_in)
    of_site("DELETE", "/api/v1/session", session.log_out)
    of_site("POST", "/api/v1/login-links", session.new_link)
    of_site("GET", "/api/v1", endpoints.about)
    of_site("GET", "/api/v1/openapi.json", document.show)
    of_site("GET", "/api/v1/endpoints", endpoints.listing)
    of_endpoint("GET", ENDPOINT, endpoints.show)
    of_endpoint("POST", f"{ENDPOINT}/pause", endpoints.pause)
    of_endpoint("POST", f"{ENDPOINT}/resume", endpoints.resume)
    of_endpoint("GET", f"{ENDPOINT}/workers", endpoints.workers)
    of_endpoint("GET", f"{ENDPOINT}/schedules", schedules.listing)
    of_endpoint("POST", f"{ENDPOINT}/schedules/{{schedule}}/run", schedules.run)
    of_endpoint("GET", f"{ENDPOINT}/webhooks", webhooks.listing)
    of_endpoint("GET", f"{ENDPOINT}/deliveries", webhooks.deliveries)
    of_endpoint("POST", f"{ENDPOINT}/deliveries/replay-all", webhooks.replay_all)
    of_endpoint("POST", f"{ENDPOINT}/deliveries/{{delivery}}/replay", webhooks.replay)
    of_endpoint("GET", f"{ENDPOINT}/failures", endpoints.failures)
    of_endpoint("GET", f"{ENDPOINT}/figures", endpoints.figures)
    of_endpoint("GET", f"{ENDPOINT}/audit", endpoints.audit)
    of_endpoint("GET", f"{ENDPOINT}/jobs", jobs.listing)
    of_endpoint("POST", f"{ENDPOINT}/actions", actions.begin)
    of_endpoint("GET", f"{ENDPOINT}/actions/{{id}}", actions.show)
    of_endpoint("DELETE", f"{ENDPOINT}/actions/{{id}}", actions.abort)
    of_endpoint("GET", JOB, jobs.show)
    of_endpoint("DELETE", JOB, jobs.delete)
    of_endpoint("GET", f"{JOB}/body", jobs.body)
    of_endpoint("GET", f"{JOB}/result", jobs.result)
    of_endpoint("GET", f"{JOB}/logs", logs.show)
    of_endpoint("POST", f"{JOB}/cancel", jobs.cancel)
    of_endpoint("POST", f"{JOB}/retry", jobs.retry)
    of_endpoint("POST", f"{JOB}/run-now", jobs.run_now)
    of_endpoint("POST", f"{JOB}/resubmit", resubmit.resubmit)
