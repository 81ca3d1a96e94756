"""The gateway of one endpoint, independent of the HTTP server: routing, CORS, errors, metrics.

Routing uses the raw path, because the contract is about raw paths: no server in front may normalize
or redirect.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.process.tracing import tracing_of
from asyncendpoints_core.resource.path_templates import (
    Malformed,
    Match,
    MethodNotAllowed,
    NotFound,
    Router,
)
from asyncendpoints_core.store.group_commit import Batcher
from asyncendpoints_gateway.config import GatewayConfig
from asyncendpoints_gateway.http import cors, queries
from asyncendpoints_gateway.http.heads import Hosts, check_head, check_origin
from asyncendpoints_gateway.http.problems import Problem, internal, store_unavailable
from asyncendpoints_gateway.http.router import (
    is_own,
    is_public,
    options,
    own_target,
)
from asyncendpoints_gateway.intake.body_checks import BodyChecks
from asyncendpoints_gateway.intake.long_poll import Hub
from asyncendpoints_gateway.intake.retry_after import Sampler
from asyncendpoints_gateway.intake.schedules import ScheduleLoop
from asyncendpoints_gateway.intake.store_calls import StoreCalls
from asyncendpoints_gateway.intake.store_policy import StorePolicy
from asyncendpoints_gateway.metrics import Metrics
from asyncendpoints_gateway.server.unsent import UnsentBytes
from asyncendpoints_gateway.views.jobs import JobViews
from asyncendpoints_gateway.views.mounted import Views
from asyncendpoints_gateway.views.pages import Pages, ready
from asyncendpoints_gateway.views.responses import JobResponses, stored_result
from asyncendpoints_gateway.views.sse import EventView
from asyncendpoints_gateway.views.submit import SubmitView
from asyncendpoints_gateway.webhooks.delivery import Source
from asyncendpoints_gateway.webhooks.start import WebhookOptions, deliver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import NewJob, Result
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Enqueued, Found
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.http.auth import Guard
    from asyncendpoints_gateway.http.messages import Request, Response
    from asyncendpoints_gateway.views.submit import BeforeEnqueue

    OnResponse = Callable[[Request, Response, float], None]

log = logging.getLogger("asyncendpoints.gateway")

MAX_RESULTS: Final = 16
"""Results that are read from the store at the same time: a bound on their memory."""
MAX_ROOTS: Final = 64
"""Roots whose views are kept; see Gateway.views_below."""
JOB_OVERHEAD: Final = 1_024
"""Bytes of a job in a call to the store in addition to its body: path, query, headers."""


class Rejected(Exception):
    """`before_enqueue` rejected the request with a response of the HTTP server's own kind."""

    def __init__(self, response: BaseException) -> None:
        """Reject with `response`, which that server raises."""
        super().__init__("rejected before it was enqueued")
        self.response = response


class Gateway:
    """Answers the requests of one endpoint, between `start` and `stop`."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        store: Store,
        time: TimeSource,
        *,
        mount: str = "",
        guard: Guard | None = None,
        hosts: frozenset[str] | None = None,
        owns_policy: bool = False,
        on_response: OnResponse | None = None,
        webhooks: WebhookOptions | None = None,
    ) -> None:
        """Serve below `mount`. `hosts`: see Hosts. `owns_policy`: write the endpoint's limits and
        `suspend` to the store, replacing what is there. In a cluster the operator does that.
        `on_response` is called after each request, with its duration in seconds. `webhooks`: how
        events are sent; None uses the defaults.
        """
        self.endpoint, self.guard, self.on_response = endpoint, guard, on_response
        self.hosts = Hosts(hosts)
        self._store = store
        self._tasks: list[asyncio.Task[None]] = []
        self._calls = StoreCalls()
        self._time = time
        config = GatewayConfig.of(endpoint, mount)
        self.metrics = Metrics(lambda: self.hub.waiters)
        self.enqueue, self._lookup = self._batchers()
        self.hub = Hub(store, self._lookup.request, config.max_waiters, time)
        self.sampler = Sampler(store, self.metrics.stats, time)
        self._webhooks = webhooks or WebhookOptions()
        pending = self._webhooks.max_pending
        self.policy = StorePolicy(endpoint, store, time, owned=owns_policy, webhook_pending=pending)
        self._schedules = ScheduleLoop(
            endpoint.spec.schedules, store, self.policy, self.metrics.schedule_times, time
        )
        self.unsent = UnsentBytes(time)
        self._results = asyncio.Semaphore(MAX_RESULTS)
        self._route(config)
        self._serve(config)

    def _batchers(self) -> tuple[Batcher[NewJob, Enqueued], Batcher[JobId, Found]]:
        enqueue, tracing = self._store.enqueue, tracing_of(self.endpoint.key)
        submissions = Batcher(
            enqueue if tracing is None else tracing.send(enqueue),
            self.metrics.batch_of("enqueue"),
            weigh=lambda new: len(new.request.body) + JOB_OVERHEAD,
            time=self._time,
            log=log,
        )
        reads = Batcher(self._store.get, self.metrics.batch_of("get"), time=self._time, log=log)
        return submissions, reads

    def _route(self, config: GatewayConfig) -> None:
        """Create what depends on the routes, whatever the mount is."""
        self.router: Router[RouteConfig] = Router(config.routes)
        self._checks = BodyChecks(config.routes)
        kept = {name for route in config.routes for name in route.keep}
        self.cors = cors.Cors(config.origins, kept)

    def _serve(self, config: GatewayConfig) -> None:
        """Create the views for `config`'s mount."""
        self.config = config
        self.views = self._views(config)
        self._views_below = {"": self.views}
        self.responses = self.views.responses
        self.submit = self.views.submit

    def _views(self, config: GatewayConfig) -> Views:
        responses = JobResponses(config.base, self.sampler, self.policy)
        submit = SubmitView(
            config.max_body,
            config.receivers,
            self._checks,
            self.policy,
            self.enqueue,
            self.hub,
            self._read_result,
            responses,
            self.metrics,
            self._time,
        )
        jobs = JobViews(
            self._store,
            self._calls,
            self._read_result,
            self.hub,
            responses,
            config.may_list,
        )
        events = EventView(self.hub, responses, self._time)
        pages = Pages(config, guarded=self.guard is not None)
        return Views(config.mount, responses, submit, events, jobs, pages)

    def views_below(self, root: str) -> Views:
        """Return the views for requests whose paths, and links, begin with `root` and the mount."""
        views = self._views_below.get(root)
        if views is None:
            if len(self._views_below) >= MAX_ROOTS:  # a part of the path may be the client's choice
                self._views_below = {"": self.views}
            views = self._views_below[root] = self._views(self.config.below(root))
        return views

    def owns(self, path: str) -> bool:
        """Return whether a raw path, which begins with the mount, is the endpoint's, whatever the
        method: the endpoint itself answers 405.
        """
        mount = self.config.mount
        if mount:
            return path.startswith(mount + "/")
        return is_own(path) or not isinstance(self.router.match("", path), NotFound | Malformed)

    async def _read_result(self, job_id: JobId) -> tuple[Found, Result | None]:
        async with self._results:
            return await self._calls.run(stored_result(self._store, job_id))

    def add_mount(self, prefix: str) -> None:
        """Serve below `prefix` followed by the present mount. Only before `start`."""
        self._serve(GatewayConfig.of(self.endpoint, prefix + self.config.mount))

    def is_ready(self) -> bool:
        """Whether the store was reached once since the start; later outages do not count."""
        return self.policy.connected.is_set()

    def start(self) -> None:
        """Start to connect to the store, for as long as it takes, and to measure."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self.policy.run()),
                loop.create_task(self.sampler.run()),
                loop.create_task(self._schedules.run()),
            ]
            if self.endpoint.spec.webhooks_digest:
                self._tasks.append(loop.create_task(self._deliver()))

    async def _deliver(self) -> None:
        """Send the events of finished jobs to webhooks until cancelled."""
        await self.policy.connected.wait()
        metrics = self.metrics
        source = Source(self.endpoint, self.config.base, self._store)
        await deliver(
            source, self._webhooks, self._time, metrics.webhook_try, metrics.webhook_status
        )

    async def close_waits(self) -> None:
        """Answer long polls with the present state, and end streams."""
        await self.hub.close()

    async def stop(self) -> None:
        """Finish the calls to the store, and stop the background tasks."""
        await self.close_waits()
        await self.enqueue.drained()
        await self._lookup.drained()
        await self._calls.drained()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._checks.close()

    async def handle(
        self,
        request: Request,
        before_enqueue: BeforeEnqueue | None = None,
        views: Views | None = None,
    ) -> Response:
        """Answer one request. Raises nothing but Rejected, by `before_enqueue`, and
        CancelledError. `views`: of `views_below`, if the request's path begins with a root.
        """
        begun = perf_counter()
        operation = "none"
        cors_headers: dict[str, str] = {}
        try:
            cors_headers = self.cors.headers(request.headers)
            operation, view = self._find(request, before_enqueue, views or self.views)
            response = await view
        except Rejected:
            raise
        except Exception as error:
            response = self.refusal(error, operation)
        if cors_headers:
            response = cors.with_headers(response, cors_headers)
        if self.hub.closing or not request.reusable():
            response = replace(response, close=True)
        if response.stream is None or request.method == "HEAD":
            self._measure(request, response, operation, begun)
            return response
        stream = self._measured(response.stream, request, response, operation, begun)
        return replace(response, stream=stream)

    def _measure(self, request: Request, response: Response, operation: str, begun: float) -> None:
        seconds = perf_counter() - begun
        self.metrics.request(operation, response.status, seconds)
        if self.on_response is not None:
            self.on_response(request, response, seconds)

    async def _measured(
        self,
        stream: AsyncGenerator[bytes, None],
        request: Request,
        response: Response,
        operation: str,
        begun: float,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the parts of a stream, and count the request once it has ended."""
        try:
            async with aclosing(stream):
                async for part in stream:
                    yield part
        except Exception:
            log.exception("%s failed", operation)
            raise
        finally:
            self._measure(request, response, operation, begun)

    def refusal(self, error: Exception, operation: str) -> Response:
        """Return the response to what a view raised."""
        if isinstance(error, Problem):
            return error.response()
        if isinstance(error, StoreError):
            if not isinstance(error, StoreUnavailable):
                log.error("the store cannot be used: %s", error)
            self.metrics.store_error()
            return store_unavailable().response()
        if isinstance(error, ConnectionError):  # the client has disconnected
            return Problem("malformed-body", "the connection was lost", close=True).response()
        log.error("%s failed", operation, exc_info=error)
        return internal().response()

    def _find(
        self, request: Request, before_enqueue: BeforeEnqueue | None, views: Views
    ) -> tuple[str, Awaitable[Response]]:
        """Return a request's operation and its view; raises Problem."""
        method = request.method
        check_head(request, self.config.max_head, self.hosts)
        check_origin(method, request.headers, self.config.origins)
        if method == "OPTIONS":
            preflight = self.cors.preflight(request.headers)
            if preflight is not None:
                return "options", ready(preflight)
        path = request.path[len(views.mount) :]
        if self.guard is not None and not is_public(method, path):
            self.guard.check(request.headers.get("Authorization", ""))
        if request.query:
            queries.check_utf8(request.query)
        match = self.router.match(method, path)
        if isinstance(match, Match):
            return "submit", views.submit.submit(request, match.route, match.params, before_enqueue)
        if isinstance(match, Malformed):
            raise Problem("invalid-query", match.detail)
        if isinstance(match, MethodNotAllowed):
            target = options([*match.allow, "OPTIONS"])
        else:
            target = own_target(method, path)
        return views.of(request, target)
