"""A gateway for tests on a free port, on either store, with a client and raw sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import ClaimedJob, Job, JobError, Result, complete, fail
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Found
from asyncendpoints_gateway.intake.long_poll import Hub, Watch
from asyncendpoints_gateway.server.serve import Server
from support.resources import resource
from support.store.stores import Hand, hand

PROBLEM = "urn:asyncendpoints:problem:"
JSON = {"Content-Type": "application/json"}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["a"],
    "properties": {"a": {"$ref": "#/$defs/Number"}},
    "$defs": {"Number": {"type": "integer", "minimum": 0}},
}

ROUTES: list[dict[str, Any]] = [
    {"path": "/reports/{customer}", "job": "build-report", "headers": ["X-Tenant"]},
    {"path": "/reports/latest", "job": "latest"},
    {"path": "/checked", "job": "checked", "schema": SCHEMA},
    {"path": "/things/{a}/parts/{b}", "job": "part", "methods": ["PUT", "PATCH", "DELETE"]},
]


def endpoint(**spec: Any) -> AsyncEndpoint:
    """Return an endpoint with the routes above, unless `spec` has others."""
    return AsyncEndpoint.parse(resource(**{"routes": ROUTES, **spec}))


class Answer(msgspec.Struct):
    """A response over HTTP."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> JobId:
        """The id of the job in the Location, or else in the body."""
        text = self.headers.get("Location", "").rpartition("/")[2] or self.json["id"]
        found = ids.parse(text)
        assert found is not None
        return found

    def problem(self, name: str, status: int) -> Any:
        """Assert that this is the problem `name`, and return it."""
        assert (self.status, self.headers["Content-Type"]) == (status, "application/problem+json")
        assert self.headers["Cache-Control"] == "no-store"
        found = self.json
        assert found["type"] == PROBLEM + name, found
        assert found["status"] == status
        assert found["title"]
        assert found["detail"]
        return found


class Site:
    """A running gateway, a client for it, and a worker on its store."""

    def __init__(self, server: Server, store: Store, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.store = store
        self.session = session
        self._hand: Hand | None = None
        self.until_waiting = entrance(server.gateway.hub)

    @property
    def port(self) -> int:
        return self.server.port

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; the path is sent unchanged."""
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def submit(self, path: str = "/reports/7", body: Any = None, **headers: str) -> Answer:
        """POST a JSON body with headers given as `Job_Delay="1"`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", path, data=json.dumps(body), headers={**JSON, **sent})

    async def accepted(self, path: str = "/reports/7", body: Any = None, **headers: str) -> JobId:
        """Submit a job that must be accepted, and return its id."""
        answer = await self.submit(path, body, **headers)
        assert answer.status == 202, answer.body
        return answer.id

    async def job(self, job_id: JobId) -> Answer:
        return await self.ask("GET", f"/jobs/{ids.text(job_id)}")

    async def record(self, job_id: JobId) -> Job:
        [found] = await self.store.get([job_id])
        assert found.job is not None
        return found.job

    async def hand(self) -> Hand:
        if self._hand is None:
            self._hand = await hand(self.store, "test-worker")
        return self._hand

    async def claim(self) -> ClaimedJob:
        """Start the next job."""
        return await (await self.hand()).one()

    async def complete(self, claimed: ClaimedJob, result: Result | None = None) -> None:
        await self.store.settle(
            [complete(claimed.claim, result or Result("text/plain; charset=utf-8", b"done"))]
        )

    async def fail(self, claimed: ClaimedJob, message: str = "it went wrong") -> None:
        await self.store.settle([fail(claimed.claim, JobError("handler-error", message))])

    async def finished(self, **headers: str) -> JobId:
        """Submit a job and complete it."""
        job_id = await self.accepted(**headers)
        claimed = await self.claim()
        assert claimed.job.id == job_id
        await self.complete(claimed)
        return job_id

    async def raw(self, data: bytes, *, eof: bool = False) -> bytes:
        """Send bytes over a new connection and return everything until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if eof:
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()


def entrance(hub: Hub) -> Callable[..., Awaitable[None]]:
    """Return a function that waits until `count` requests (1) wait in `hub` and have read their
    jobs once: they must then report any change.
    """
    entered = asyncio.Event()
    add, get = hub._add, hub.get
    unread = 0

    def added(job_id: JobId, watch: Watch) -> None:
        nonlocal unread
        unread += 1
        add(job_id, watch)

    async def read(job_id: JobId) -> Found:
        nonlocal unread
        found = await get(job_id)
        unread = max(0, unread - 1)
        entered.set()
        return found

    async def until(count: int = 1) -> None:
        while hub.waiters < count or unread:
            entered.clear()
            await asyncio.wait_for(entered.wait(), 20)

    hub._add = added  # type: ignore[method-assign]
    hub.get = read
    return until


@asynccontextmanager
async def serving(
    store: Store,
    described: AsyncEndpoint | None = None,
    *,
    connected: bool = True,
    **settings: Any,
) -> AsyncIterator[Site]:
    """Run a gateway on a free port of 127.0.0.1; `connected`: once it has reached its store."""
    server = Server(
        described or endpoint(),
        store,
        # Raw requests in the tests name these hosts.
        Settings(**{"http_port": 0, "allowed_hosts": ("h", "elsewhere"), **settings}),
        owns_policy=True,
    )
    await server.start()
    try:
        if connected:
            await asyncio.wait_for(server.gateway.policy.connected.wait(), 20)
        async with aiohttp.ClientSession() as session:
            yield Site(server, store, session)
    finally:
        await server.stop()


def parse_events(stream: bytes) -> list[dict[str, str]]:
    """Return the events of a text/event-stream, each a mapping of its fields."""
    events = []
    for block in stream.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":")
        )
        if fields:
            events.append(fields)
    return events
