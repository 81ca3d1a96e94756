"""A console on a port of its own, over memory stores, with clients for its API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from asyncendpoints_console.access import Role
from asyncendpoints_console.server import ConsoleServer
from asyncendpoints_console.target import Target
from asyncendpoints_core.common.time_source import SystemTime, TimeSource
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Store
from support.cli import Answer, ask
from support.http.gateway import ROUTES
from support.http.operations_document import check
from support.resources import merge, resource

TOKENS = {Role.VIEW: "view-token", Role.OPERATE: "operate-token"}


@dataclass
class Site:
    """A running console."""

    server: ConsoleServer
    stores: dict[str, Store]

    async def ask(
        self,
        method: str,
        path: str,
        body: str = "",
        role: Role | None = Role.OPERATE,
        **headers: str,
    ) -> Answer:
        """Send a request as a program with a token does; `headers` as in `support.cli.ask`. The
        OpenAPI document must describe the answer.
        """
        given = {"Authorization": f"Bearer {TOKENS[role]}"} if role is not None else {}
        if method in ("POST", "DELETE"):
            given["Content-Type"] = "application/json"
        answer = await asyncio.to_thread(
            ask, self.server.url + path, method, body or None, **{**given, **headers}
        )
        check(method, path, answer)
        return answer

    async def read(self, path: str) -> Any:
        """Return the JSON below /api/v1 as the role `view` reads it."""
        answer = await self.ask("GET", f"/api/v1{path}", role=Role.VIEW)
        assert answer.status == 200, answer
        return answer.json


def endpoint(name: str, **spec: Any) -> AsyncEndpoint:
    """Return an endpoint of that name in the namespace demo."""
    document = resource(**{"routes": ROUTES, **spec})
    return AsyncEndpoint.parse(merge(document, {"metadata": {"name": name}}))


@asynccontextmanager
async def console(
    stores: dict[str, Store],
    *,
    read_only: bool = False,
    bodies: bool = True,
    time: TimeSource | None = None,
    **spec: Any,
) -> AsyncIterator[Site]:
    """Serve endpoints by their names, each over its store."""
    targets = [
        Target(endpoint(name, **spec), store, bodies=bodies) for name, store in stores.items()
    ]
    server = ConsoleServer(
        lambda: targets, lambda: TOKENS, time or SystemTime(), scope="run", read_only=read_only
    )
    await server.start(0)
    try:
        yield Site(server, stores)
    finally:
        await server.stop()
