"""The gateway of one endpoint: every request comes in at `Gateway.handle` and finds its view.

Routing is our own, on the raw path, because the contract is about raw paths: no server in between
may normalize or redirect.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Final

from aiohttp import web

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.resource.path_templates import (
    Malformed,
    Match,
    MethodNotAllowed,
    Router,
    split_raw_path,
)
from asyncendpoints_gateway.config import GatewayConfig
from asyncendpoints_gateway.context import Context
from asyncendpoints_gateway.http import cors, queries
from asyncendpoints_gateway.http.headers import wants_events
from asyncendpoints_gateway.http.problems import (
    Problem,
    internal,
    method_not_allowed,
    not_found,
    store_unavailable,
)
from asyncendpoints_gateway.openapi.docs_page import docs_page, page_headers
from asyncendpoints_gateway.openapi.document import openapi_json
from asyncendpoints_gateway.server.fast_path.response import Reply
from asyncendpoints_gateway.server.fast_path.submissions import Express
from asyncendpoints_gateway.views import jobs, replies, sse
from asyncendpoints_gateway.views.submit import submit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.http.auth import Guard
    from asyncendpoints_gateway.views.submit import BeforeEnqueue

log = logging.getLogger("asyncendpoints.gateway")

RECONNECT_SECONDS: Final = (0.5, 2.0)

# Our own paths by their shape (None is an id): method → operation.
_JOB: Final = ("jobs", None)
_OWN: Final[Mapping[tuple[str | None, ...], Mapping[str, str]]] = {
    ("jobs",): {"GET": "list"},
    _JOB: {"GET": "job", "DELETE": "cancel"},
    (*_JOB, "result"): {"GET": "result"},
    (*_JOB, "retry"): {"POST": "retry"},
    ("docs",): {"GET": "docs"},
    ("openapi.json",): {"GET": "openapi"},
}


class Gateway:
    """Takes requests of one endpoint. Start it before the first one; close it to let waits end."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        store: Store,
        *,
        mount: str = "",
        guard: Guard | None = None,
        before_enqueue: BeforeEnqueue | None = None,
        owns_policy: bool = False,
    ) -> None:
        """Prepare. `owns_policy`: what the endpoint says (its limits, `suspend`) goes into the
        store, whatever is there. In a cluster that is for the operator to do.
        """
        self.endpoint = endpoint
        self.context = Context(GatewayConfig.of(endpoint, mount), store)
        self._guard = guard
        self._before_enqueue = before_enqueue
        self._owns_policy = owns_policy
        self._router: Router[RouteConfig] = Router(self.context.config.routes)
        kept = {name for route in self.context.config.routes for name in route.keep}
        self._cors = cors.Cors(self.context.config.origins, kept)
        self._pages: dict[str, bytes] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.connected = asyncio.Event()

    def move(self, prefix: str) -> None:
        """Serve below one more `prefix`, in front of the others. Before the start."""
        endpoint, config = self.endpoint, self.context.config
        self.context.config = GatewayConfig.of(endpoint, prefix + config.mount)

    def is_ready(self) -> bool:
        """Tell whether the store was reached once since the start; later outages do not matter."""
        return self.connected.is_set()

    def start(self) -> None:
        """Connect to the store, however long that takes, and begin to measure."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._connect()),
                loop.create_task(self.context.sampler.run()),
            ]

    async def close_waits(self) -> None:
        """Let long polls answer with what they have, and streams end."""
        await self.context.hub.close()

    async def stop(self) -> None:
        """Finish the calls to the store that are under way, and end what runs in the background."""
        await self.close_waits()
        await self.context.drained()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _connect(self) -> None:
        store, policy = self.context.store, self.endpoint.spec.policy()
        told, backoff = False, Backoff(*RECONNECT_SECONDS)
        while True:
            try:
                health = await store.open()
                await store.configure(policy, overwrite=self._owns_policy)
                if self._owns_policy:
                    await (store.pause() if self.endpoint.spec.suspend else store.resume())
            except StoreUnavailable as error:
                if not told:
                    log.warning("waiting for the store: %s", error)
                    told = True
            except StoreError:
                log.exception("the store cannot be used")
            else:
                for warning in health.warnings:
                    log.warning("the store: %s", warning)
                self.connected.set()
                return
            await asyncio.sleep(backoff.next())

    async def handle(
        self, request: web.BaseRequest, *, decoded: bool = False
    ) -> web.StreamResponse:
        """Answer one request. `decoded`: the server in front undoes gzip and deflate itself.

        Raises nothing but web.HTTPException from `before_enqueue`, and CancelledError.
        """
        begun, context = perf_counter(), self.context
        operation = "none"
        extra: dict[str, str] = {}
        try:
            extra = self._cors.headers(request.headers)
            operation, view = self._find(request, extra, decoded)
            response = await view
        except web.HTTPException:
            raise
        except Exception as error:
            response = self._refusal(error, operation)
        if extra and not response.prepared:
            cors.add(response, extra)
        if context.hub.closing and not response.prepared:
            response.force_close()  # and say so: the connection ends with the server
        context.metrics.request(operation, response.status, perf_counter() - begun)
        return response

    def _refusal(self, error: Exception, operation: str) -> Reply:
        """Return the answer to what a view raised."""
        if isinstance(error, Problem):
            return error.response()
        if isinstance(error, StoreError):
            if not isinstance(error, StoreUnavailable):
                log.error("the store cannot be used: %s", error)
            self.context.metrics.store_error()
            return store_unavailable().response()
        if isinstance(error, ConnectionError):  # the client went away half-way; nobody reads this
            return Problem("malformed-body", "the connection was lost", close=True).response()
        log.error("%s failed", operation, exc_info=error)
        return internal().response()

    def express(self) -> Express | None:
        """Return the short way for plain submissions to a server that has no mount, None where none
        is plain: its answer has CORS headers, or there is something to be asked before.
        """
        if self._cors.enabled or self._before_enqueue is not None:
            return None
        return Express(self.context, self._router, self._guard, self._refusal)

    def _find(
        self, request: web.BaseRequest, extra: Mapping[str, str], decoded: bool
    ) -> tuple[str, Awaitable[web.StreamResponse]]:
        """Return what a request is for and the view that answers it; raises Problem."""
        context, method, before = self.context, request.method, self._before_enqueue
        _check_head(request, context.config.max_head)
        if method == "OPTIONS":
            preflight = self._cors.preflight(request.headers)
            if preflight is not None:
                return "options", _at_once(preflight)
        if self._guard is not None:
            self._guard.check(request.headers.get("Authorization"))
        url = request.rel_url
        path = url.raw_path[len(context.config.mount) :]
        query = url.raw_query_string
        if query:
            queries.check_utf8(query)
        match = self._router.match(method, path)
        if isinstance(match, Match):
            view = submit(context, request, match.route, match.params, before, decoded=decoded)
            return "submit", view
        if isinstance(match, Malformed):
            raise Problem("invalid-query", match.detail)
        if isinstance(match, MethodNotAllowed):
            return "options", _allowing(method, [*match.allow, "OPTIONS"])
        return self._own(request, path, extra)

    def _own(
        self, request: web.BaseRequest, path: str, extra: Mapping[str, str]
    ) -> tuple[str, Awaitable[web.StreamResponse]]:
        method = request.method
        if path == "*" and method == "OPTIONS":
            return "options", _allowing(method, cors.METHODS.split(", "))
        if not path.startswith("/"):
            raise not_found()
        segments = split_raw_path(path)
        if isinstance(segments, Malformed):
            raise Problem("invalid-query", segments.detail)
        shape = tuple(None if at == 1 and part else part for at, part in enumerate(segments))
        methods = _OWN.get(shape)
        if methods is None:
            raise not_found()
        operation = methods.get("GET" if method == "HEAD" else method)
        if operation is None:
            heads = ["HEAD"] if "GET" in methods else []
            return "options", _allowing(method, [*methods, *heads, "OPTIONS"])
        return self._view(request, operation, segments, extra)

    def _view(
        self,
        request: web.BaseRequest,
        operation: str,
        segments: list[str],
        extra: Mapping[str, str],
    ) -> tuple[str, Awaitable[web.StreamResponse]]:
        context = self.context
        if operation == "list":
            return "list", jobs.listing(context, request)
        if operation == "docs":
            return "docs", _at_once(self._page(docs_page, page_headers()))
        if operation == "openapi":
            headers = {"Content-Type": replies.JSON, "Cache-Control": "no-cache"}
            return "docs", _at_once(self._page(openapi_json, headers))
        job_id = ids.parse(segments[1])
        if job_id is None:
            raise replies.missing()
        if operation == "job":
            if wants_events(",".join(request.headers.getall("Accept", []))):
                return "events", sse.stream(context, request, job_id, extra)
            return "job", jobs.show(context, request, job_id)
        if operation == "result":
            return "result", jobs.result(context, request, job_id)
        if operation == "cancel":
            return "cancel", jobs.cancel(context, request, job_id)
        return "retry", jobs.retry(context, job_id)

    def _page(
        self, make: Callable[[GatewayConfig, bool], bytes], headers: Mapping[str, str]
    ) -> web.Response:
        """Return a page that is made once."""
        key = make.__name__
        if key not in self._pages:
            self._pages[key] = make(self.context.config, self._guard is not None)
        return Reply(body=self._pages[key], headers=headers)


async def _at_once(response: web.Response) -> web.Response:
    return response


async def _allowing(method: str, methods: list[str]) -> web.Response:
    """Answer OPTIONS, or refuse a method that the path does not take."""
    allow = ", ".join(sorted(methods))
    if method != "OPTIONS":
        raise method_not_allowed(allow)
    return Reply(status=204, headers={"Allow": allow})


def _check_head(request: web.BaseRequest, limit: int) -> None:
    """Refuse headers that are too large together: the parser has a limit for each alone; and
    HTTP/0.9, which knows neither headers nor statuses.
    """
    if request.version.major != 1:
        raise Problem("invalid-header", "the request is no HTTP/1.1", close=True)
    if getattr(request.protocol, "slight", False):
        return  # our own server has seen so few bytes that there is nothing to count
    raw = request.raw_headers
    if sum(map(len, chain.from_iterable(raw))) + 4 * len(raw) > limit:
        raise Problem("headers-too-large", f"headers have at most {limit} bytes", close=True)
