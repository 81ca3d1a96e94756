"""The gateway as a library: an endpoint's routes inside a user's own aiohttp application."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from aiohttp.web_urldispatcher import AbstractResource, ResourceRoute, UrlMappingMatchInfo
from yarl import URL

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.resource.path_templates import Malformed, NotFound, Router
from asyncendpoints_gateway.http.auth import guard_of
from asyncendpoints_gateway.server.app import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web
    from aiohttp.web_urldispatcher import AbstractRoute

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.views.submit import BeforeEnqueue


log = logging.getLogger("asyncendpoints.gateway")

START_SECONDS: Final = 5.0
OWN: Final = frozenset({"/jobs", "/docs", "/openapi.json"})


class Worker(Protocol):
    """What runs handlers inside the application; asyncendpoints_worker.local.LocalWorker is one."""

    async def start(self) -> None:
        """Begin to claim."""
        ...

    async def stop(self, drain_seconds: float | None = None) -> int:
        """Finish, and hand back the rest."""
        ...


def attach(
    app: web.Application,
    endpoint: AsyncEndpoint,
    store: Store,
    prefix: str = "",
    worker: bool = False,
    before_enqueue: BeforeEnqueue | None = None,
) -> Gateway:
    """Serve `endpoint` inside `app`, below `prefix` (such as "/async"), behind its middlewares.

    Only the endpoint's own paths are touched: its routes, /jobs…, /docs and /openapi.json, and
    everything below a prefix. `worker=True` runs the endpoint's handlers in this process too.
    `before_enqueue(request)` runs after validation; what it raises (web.HTTPException) is the
    answer. The store is opened when the application starts and stays the caller's to close.

    Raises UsageError for a prefix that is no path or handlers that cannot be used.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
        raise UsageError(f'prefix is a path such as "/async", without a slash at its end: {prefix}')
    gateway = Gateway(
        endpoint,
        store,
        mount=prefix,
        guard=guard_of(endpoint),
        before_enqueue=before_enqueue,
        owns_policy=True,
    )
    local = _worker(endpoint, store) if worker else None
    app.router.register_resource(EndpointResource(gateway))

    async def close_waits(_: web.Application) -> None:
        await gateway.close_waits()

    async def running(_: web.Application) -> AsyncIterator[None]:
        gateway.start()
        starting = None if local is None else await _start(gateway, local)
        yield
        if local is not None:
            if starting is not None:
                starting.cancel()
            await local.stop()
        await gateway.stop()

    app.on_shutdown.append(close_waits)
    app.cleanup_ctx.append(running)
    return gateway


def _worker(endpoint: AsyncEndpoint, store: Store) -> Worker:
    """Return a worker for this process.

    It is found by name: gateway and worker are siblings that do not import each other, and an
    application that runs no handlers never loads them.
    """
    module = import_module("asyncendpoints_worker.local")
    return cast("Worker", module.LocalWorker(endpoint, store))


async def _start(gateway: Gateway, worker: Worker) -> asyncio.Task[None] | None:
    """Start the worker once the store answers; if that takes long, while the application serves."""

    async def start() -> None:
        await gateway.connected.wait()
        await worker.start()

    task = asyncio.create_task(start())
    await asyncio.wait([task], timeout=START_SECONDS)
    if not task.done():
        log.warning("handlers start as soon as the store answers")
        return task
    await task  # so that what a start-up function raises keeps the application from starting
    return None


class EndpointResource(AbstractResource):
    """The endpoint's paths in an application's router, matched by the endpoint's own rules."""

    def __init__(self, gateway: Gateway) -> None:
        """Route to `gateway`, below its mount."""
        super().__init__()
        self._gateway = gateway
        self._routes: Router[RouteConfig] = Router(gateway.context.config.routes)
        self._route = ResourceRoute("*", self._handle, self, expect_handler=_later)

    @property
    def canonical(self) -> str:
        """The path below which everything may be the endpoint's."""
        return self._gateway.context.config.mount or "/"

    def url_for(self, **kwargs: str) -> URL:
        """Return the mount."""
        return URL(self.canonical)

    def add_prefix(self, prefix: str) -> None:
        """Move below `prefix`: the application became part of another one."""
        self._gateway.move(prefix)

    def get_info(self) -> Any:
        """Return the mount."""
        return {"path": self.canonical}

    def raw_match(self, path: str) -> bool:
        """Say no: no other resource is the same as this one."""
        return False

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter((self._route,))

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Take the request if its path is the endpoint's, whatever its method."""
        if self._owns(request.rel_url.raw_path):
            return UrlMappingMatchInfo({}, self._route), set()
        return None, set()

    def _owns(self, path: str) -> bool:
        mount = self._gateway.context.config.mount
        if mount:
            return path.startswith(mount + "/")
        if path in OWN or path.startswith("/jobs/"):
            return True
        # The method does not matter here: for a wrong one, 405 is the endpoint's to say.
        return not isinstance(self._routes.match("", path), NotFound | Malformed)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        return await self._gateway.handle(request, decoded=True)


async def _later(request: web.Request) -> None:
    """Leave `Expect: 100-continue` to the view, which knows whether it wants the body."""
