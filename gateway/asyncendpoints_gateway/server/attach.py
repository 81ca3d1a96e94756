"""The gateway as a library: an endpoint's routes inside a user's own aiohttp application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web
from yarl import URL

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.manifest.source import resolve_source
from asyncendpoints_gateway.http.auth import guard_of
from asyncendpoints_gateway.server.aiohttp_adapter import AiohttpRequest, to_aiohttp
from asyncendpoints_gateway.server.app import Gateway, Rejected
from asyncendpoints_gateway.server.embedded import Embedded, check_prefix, local_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from asyncendpoints_core.jobs.records import Request as StoredRequest
    from asyncendpoints_core.manifest.source import Source
    from asyncendpoints_core.store.protocol import Store

    BeforeEnqueue = Callable[[web.BaseRequest], Awaitable[None]]
    Hook = Callable[[StoredRequest], Awaitable[None]]


def attach(
    app: web.Application,
    endpoint: Source,
    store: Store,
    prefix: str = "",
    worker: bool = False,
    before_enqueue: BeforeEnqueue | None = None,
) -> Gateway:
    """Serve `endpoint` inside `app`, below `prefix` (such as "/async"), behind its middlewares.

    `endpoint` is an Endpoint, the path of a file with one, or what `load` returned. Only its own
    paths are handled: its routes, /jobs…, /docs and /openapi.json, and everything below a prefix.
    `worker=True` also runs the endpoint's handlers in this process. `before_enqueue(request)` runs
    after validation; it refuses the request by raising Refused, or a web.HTTPException, which is
    the response. The store is opened when the application starts; the caller closes it.

    Raises UsageError for a prefix that is not a path, or handlers that cannot be used.
    """
    check_prefix(prefix)
    found = resolve_source(endpoint)
    time = SystemTime()
    guard = guard_of(found.endpoint, time, folder=found.folder)
    gateway = Gateway(found.endpoint, store, time, mount=prefix, guard=guard, owns_policy=True)
    embedded = Embedded(gateway, local_worker(found, store) if worker else None)
    app.router.register_resource(EndpointResource(gateway, before_enqueue))

    async def close_waits(_: web.Application) -> None:
        await gateway.close_waits()

    app.on_shutdown.append(close_waits)
    app.cleanup_ctx.append(lambda _: _running(embedded))
    return gateway


async def _running(embedded: Embedded) -> AsyncIterator[None]:
    """Run the gateway, and the worker if there is one, while the application runs."""
    await embedded.start()
    yield
    await embedded.stop()


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
        if self._gateway.owns(request.rel_url.raw_path):
            return web.UrlMappingMatchInfo({}, self._route), set()
        return None, set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        hook = None if self._before_enqueue is None else self._hook(self._before_enqueue, request)
        try:
            response = await self._gateway.handle(AiohttpRequest(request, decoded=True), hook)
        except Rejected as rejected:
            raise rejected.response from None
        return await to_aiohttp(request, response, self._gateway.unsent)

    @staticmethod
    def _hook(before_enqueue: BeforeEnqueue, request: web.Request) -> Hook:
        async def run(_: StoredRequest) -> None:
            try:
                await before_enqueue(request)
            except web.HTTPException as response:
                raise Rejected(response) from response

        return run


async def _no_continue(request: web.Request) -> None:
    """Leave `Expect: 100-continue` to the view, which knows whether it reads the body."""
