"""The gateway as a library: an endpoint's routes inside a user's own aiohttp application."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from yarl import URL

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.source import resolve_source
from asyncendpoints_core.resource.path_templates import Malformed, NotFound
from asyncendpoints_gateway.http.auth import guard_of
from asyncendpoints_gateway.http.router import is_own
from asyncendpoints_gateway.server.aiohttp_adapter import AiohttpRequest, to_aiohttp
from asyncendpoints_gateway.server.app import Gateway, Rejected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from asyncendpoints_core.manifest.source import Resolved, Source
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.local import LocalWorker

    BeforeEnqueue = Callable[[web.BaseRequest], Awaitable[None]]

log = logging.getLogger("asyncendpoints.gateway")

START_SECONDS: Final = 5.0


def attach(
    app: web.Application,
    endpoint: Source,
    store: Store,
    prefix: str = "",
    worker: bool = False,
    before_enqueue: BeforeEnqueue | None = None,
) -> Gateway:
    """Serve `endpoint` inside `app`, below `prefix` (such as "/async"), behind its middlewares.

    `endpoint` is an Endpoint, the path of a file with one, or what `load` returned.

    Only the endpoint's own paths are handled: its routes, /jobs…, /docs and /openapi.json, and
    everything below a prefix. `worker=True` also runs the endpoint's handlers in this process.
    `before_enqueue(request)` runs after validation; a web.HTTPException that it raises is the
    response. The store is opened when the application starts; the caller closes it.

    Raises UsageError for a prefix that is not a path, or handlers that cannot be used.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
        raise UsageError(
            f'prefix must be a path such as "/async", without a trailing slash: {prefix}'
        )
    time = SystemTime()
    found = resolve_source(endpoint)
    guard = guard_of(found.endpoint, time)
    gateway = Gateway(found.endpoint, store, time, mount=prefix, guard=guard, owns_policy=True)
    local = _local_worker(found, store) if worker else None
    app.router.register_resource(EndpointResource(gateway, before_enqueue))

    async def close_waits(_: web.Application) -> None:
        await gateway.close_waits()

    app.on_shutdown.append(close_waits)
    app.cleanup_ctx.append(lambda _: _running(gateway, local))
    return gateway


async def _running(gateway: Gateway, local: LocalWorker | None) -> AsyncIterator[None]:
    """Run the gateway, and the worker if there is one, while the application runs."""
    gateway.start()
    starting = None if local is None else await _start(gateway, local)
    yield
    if local is not None:
        if starting is not None:
            starting.cancel()
        await local.stop()
    await gateway.stop()


def _local_worker(found: Resolved, store: Store) -> LocalWorker:
    """Return a worker for this process. This is the only import of the worker by the gateway, and
    applications that do not run handlers never load it.
    """
    from asyncendpoints_worker.local import LocalWorker

    return LocalWorker(found.endpoint, store, found.registry, folders=found.folders)


async def _start(gateway: Gateway, worker: LocalWorker) -> asyncio.Task[None] | None:
    """Start the worker once the store is available; after START_SECONDS, in the background."""

    async def start() -> None:
        await gateway.policy.connected.wait()
        await worker.start()

    task = asyncio.create_task(start())
    await asyncio.wait([task], timeout=START_SECONDS)
    if not task.done():
        log.warning("handlers will start once the store is available")
        return task
    await task  # an error of a startup function keeps the application from starting
    return None


class EndpointResource(web.AbstractResource):
    """The endpoint's paths in an application's router, matched by the endpoint's own rules."""

    def __init__(self, gateway: Gateway, before_enqueue: BeforeEnqueue | None) -> None:
        """Route to `gateway`, below its mount."""
        super().__init__()
        self._gateway = gateway
        self._before_enqueue = before_enqueue
        self._route = web.ResourceRoute("*", self._handle, self, expect_handler=_no_continue)

    @property
    def canonical(self) -> str:
        """The mount."""
        return self._gateway.config.mount or "/"

    def url_for(self, **kwargs: str) -> URL:
        """Return the mount."""
        return URL(self.canonical)

    def add_prefix(self, prefix: str) -> None:
        """Move below `prefix`: the application became part of another one."""
        self._gateway.add_mount(prefix)

    def get_info(self) -> Any:
        """Return the mount."""
        return {"path": self.canonical}

    def raw_match(self, path: str) -> bool:
        """Return False: no other resource is equal to this one."""
        return False

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter((self._route,))

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """Accept the request if its path is the endpoint's, whatever its method."""
        if self._owns(request.rel_url.raw_path):
            return web.UrlMappingMatchInfo({}, self._route), set()
        return None, set()

    def _owns(self, path: str) -> bool:
        mount = self._gateway.config.mount
        if mount:
            return path.startswith(mount + "/")
        # Any method matches: the endpoint itself answers 405.
        return is_own(path) or not isinstance(
            self._gateway.router.match("", path), NotFound | Malformed
        )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        hook = None if self._before_enqueue is None else self._hook(self._before_enqueue, request)
        try:
            response = await self._gateway.handle(AiohttpRequest(request, decoded=True), hook)
        except Rejected as rejected:
            raise rejected.response from None
        return await to_aiohttp(request, response, self._gateway.unsent)

    @staticmethod
    def _hook(before_enqueue: BeforeEnqueue, request: web.Request) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            try:
                await before_enqueue(request)
            except web.HTTPException as response:
                raise Rejected(response) from response

        return run


async def _no_continue(request: web.Request) -> None:
    """Leave `Expect: 100-continue` to the view, which knows whether it reads the body."""
