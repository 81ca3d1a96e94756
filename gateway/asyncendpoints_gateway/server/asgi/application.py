"""The ASGI application: which requests are the endpoint's, and when its gateway runs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.any_case import Headers
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.source import resolve_source
from asyncendpoints_gateway.http.auth import guard_of
from asyncendpoints_gateway.http.problems import internal, not_found
from asyncendpoints_gateway.server.app import Gateway, Rejected
from asyncendpoints_gateway.server.asgi.adapter import AsgiRequest, respond
from asyncendpoints_gateway.server.asgi.lifespan import run_lifespan
from asyncendpoints_gateway.server.asgi.paths import locate
from asyncendpoints_gateway.server.asgi.running import Running
from asyncendpoints_gateway.server.embedded import check_prefix, local_worker
from asyncendpoints_gateway.views.before_enqueue import Refused, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import Request as StoredRequest
    from asyncendpoints_core.manifest.source import Source
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_gateway.server.asgi.types import Application, Receive, Scope, Send
    from asyncendpoints_gateway.views.mounted import Views
    from asyncendpoints_worker.local import LocalWorker

    BeforeEnqueue = Callable[[Request], Awaitable[None] | None]
    Hook = Callable[[StoredRequest], Awaitable[None]]

log = logging.getLogger("asyncendpoints.gateway")

NO_LIFESPAN: Final = (
    "asgi(worker=True) runs handlers while its lifespan does, and that was not started: use "
    "FastAPI(lifespan=jobs.lifespan), or asgi(…, app=your_application) as the application"
)


def asgi(
    endpoint: Source,
    store: Store,
    *,
    app: Application | None = None,
    prefix: str = "",
    worker: bool = False,
    before_enqueue: BeforeEnqueue | None = None,
    drain_seconds: float = 10,
    signals: bool = True,
) -> AsgiEndpoint:
    """Return an ASGI 3 application that serves `endpoint`, to mount in another one or to run.

    `endpoint` is an Endpoint, the path of a file with one, or what `load` returned. The store is
    opened when the application's lifespan starts and closed when that ends; without a lifespan the
    first request opens it. `app`: another application, which receives every request that is not
    the endpoint's. `prefix`, such as "/async", comes before the endpoint's paths. `worker=True`
    also runs the endpoint's handlers in this process; that needs the lifespan, at whose end
    attempts have `drain_seconds` to finish.

    `before_enqueue(request)`, a function or a coroutine function, runs after validation. It refuses
    the request by raising Refused; exceptions with a `status_code`, as other frameworks have them,
    are left to the application around. `signals`: SIGTERM and SIGINT end long polls and event
    streams, for which servers would wait; see `AsgiEndpoint.closing`.

    Raises UsageError for an endpoint that cannot be used, or a prefix that is not a path.
    """
    if drain_seconds < 0:
        raise UsageError(f"drain_seconds must not be negative: {drain_seconds}")
    time = SystemTime()
    return AsgiEndpoint(
        _maker(endpoint, store, prefix, time),
        store,
        app=app,
        worker=worker,
        before_enqueue=before_enqueue,
        drain_seconds=drain_seconds,
        signals=signals,
        time=time,
    )


def _maker(
    endpoint: Source, store: Store, prefix: str, time: TimeSource
) -> Callable[[], tuple[Gateway, Callable[[], LocalWorker]]]:
    """Return what makes the gateway and the worker; checks at once what can be checked."""
    check_prefix(prefix)
    # One in code may get more routes until it is served.
    known = None if hasattr(endpoint, "registry") else resolve_source(endpoint)
    guard = None if known is None else guard_of(known.endpoint, time, folder=known.folder)

    def make() -> tuple[Gateway, Callable[[], LocalWorker]]:
        found = known or resolve_source(endpoint)
        checked = guard or guard_of(found.endpoint, time, folder=found.folder)
        gateway = Gateway(
            found.endpoint, store, time, mount=prefix, guard=checked, owns_policy=True
        )
        return gateway, lambda: local_worker(found, store)

    return make


class AsgiEndpoint:
    """The application; `asgi` documents it."""

    def __init__(
        self,
        make: Callable[[], tuple[Gateway, Callable[[], LocalWorker]]],
        store: Store,
        *,
        app: Application | None,
        worker: bool,
        before_enqueue: BeforeEnqueue | None,
        drain_seconds: float,
        signals: bool,
        time: TimeSource,
    ) -> None:
        """Serve what `make` returns for each event loop: a gateway, and what makes its worker."""
        self._make = make
        self._store = store
        self._app = app
        self._worker = worker
        self._before_enqueue = before_enqueue
        self._drain_seconds = drain_seconds
        self._with_signals = signals
        self._time = time
        self._running: dict[asyncio.AbstractEventLoop, Running] = {}
        self._reported: set[str] = set()

    @property
    def gateway(self) -> Gateway | None:
        """The gateway that runs on this event loop."""
        running = self._running.get(asyncio.get_running_loop())
        return None if running is None else running.gateway

    async def closing(self) -> None:
        """Answer long polls with the jobs' present states, end event streams, and let no request
        wait from now on. For servers whose shutdown does not begin with a signal.
        """
        for running in list(self._running.values()):
            await running.gateway.close_waits()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Serve, and run handlers, while the context is open: a lifespan for the application that
        mounts this one. `app` is ignored.
        """
        loop = asyncio.get_running_loop()
        if loop in self._running:  # nested, or a request came first
            await self._running[loop].started()
            yield
            return
        running = self._open(loop)
        try:
            await running.started()
        except BaseException:
            self._running.pop(loop, None)
            raise
        try:
            yield
        finally:
            self._running.pop(loop, None)
            await running.stop(self._drain_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, run the lifespan, or pass anything else on."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        running = self._running.get(loop)
        if running is None or not running.ready:
            running = await self._on_demand(loop)
        root, path = locate(scope)
        request: AsgiRequest | None
        if running is None:
            request = AsgiRequest(scope, receive, root + path)
            await respond(request, internal().response(), send, self._time)
            return
        gateway = running.gateway
        if self._app is not None and not gateway.owns(path):
            await self._app(scope, receive, send)
            return
        if gateway.config.mount and not gateway.owns(path):
            request = AsgiRequest(scope, receive, root + path)
            await respond(request, not_found().response(), send, self._time)
            return
        views = gateway.views_below(root) if root else gateway.views
        if self._before_enqueue is None:
            request = await running.plain.handle(scope, receive, send, root + path, views)
            if request is not None:
                await self._answer(gateway, request, views, None, send)
        else:
            request = AsgiRequest(scope, receive, root + path)
            hook = _hook(self._before_enqueue, request, scope)
            await self._answer(gateway, request, views, hook, send)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await run_lifespan(self.lifespan, self._app, scope, receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close"})

    async def _answer(
        self, gateway: Gateway, request: AsgiRequest, views: Views, hook: Hook | None, send: Send
    ) -> None:
        try:
            response = await gateway.handle(request, hook, views)
            if not request.gone:
                await respond(request, response, send, self._time, gateway.unsent)
        except Rejected as rejected:
            raise rejected.response from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not request.gone or task is None or task.uncancel():
                raise
        finally:
            await request.close()

    async def _on_demand(self, loop: asyncio.AbstractEventLoop) -> Running | None:
        """Return what runs on this loop, started by its first request; None if it cannot be."""
        running = self._running.get(loop)
        try:
            if running is None:
                if self._worker:
                    raise UsageError(NO_LIFESPAN)
                running = self._open(loop)
            await running.started()
        except Exception as error:
            self._running.pop(loop, None)
            if str(error) not in self._reported:
                self._reported.add(str(error))
                log.error("%s", error, exc_info=not isinstance(error, UsageError))
            return None
        return running

    def _open(self, loop: asyncio.AbstractEventLoop) -> Running:
        """Start on this loop, and forget loops that were closed without the end of a lifespan."""
        closed = [each for each in self._running if each.is_closed()]
        for other in closed:
            self._running.pop(other).abandon()
        gateway, make_worker = self._make()
        running = self._running[loop] = Running(
            gateway,
            self._store,
            make_worker if self._worker else None,
            self._time,
            signals=self._with_signals,
            reopen=bool(closed),
        )
        return running


def _hook(before_enqueue: BeforeEnqueue, request: AsgiRequest, scope: Scope) -> Hook:
    async def run(stored: StoredRequest) -> None:
        client = scope.get("client")
        try:
            found = before_enqueue(
                Request(
                    stored.method,
                    stored.path,
                    Headers(request.fields.first),
                    stored.route_params,
                    stored.body,
                    None if client is None else (client[0], client[1]),
                    scope,
                )
            )
            if inspect.isawaitable(found):
                await found
        except Refused:
            raise
        except Exception as error:
            if isinstance(getattr(error, "status_code", None), int):
                raise Rejected(error) from error
            raise

    return run
