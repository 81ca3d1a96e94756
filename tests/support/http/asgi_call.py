"""Requests to an ASGI application without a server: full control of the messages."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from asyncendpoints_gateway.server.asgi.types import Application, Message, Scope


class Reply(msgspec.Struct):
    """What an application sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Call:
    """One request; `disconnect` ends its client."""

    def __init__(self, method: str, path: str, *parts: bytes, **scope: Any) -> None:
        self.scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 5000),
            **scope,
        }
        self.sent: list[Message] = []
        self.receiving = 0
        self.listening = asyncio.Event()  # for the end of the connection
        self.changed = asyncio.Event()
        self._parts = list(parts) or [b""]
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        self.receiving += 1
        self.listening.set()
        try:
            await self._gone.wait()
        finally:
            self.receiving -= 1
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._gone.is_set():
            raise OSError("the client is gone")
        self.sent.append(message)
        self.changed.set()

    def disconnect(self) -> None:
        self._gone.set()

    def reply(self) -> Reply:
        start, *parts = self.sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], headers, b"".join(part["body"] for part in parts))

    async def parts(self, count: int) -> None:
        """Wait until so many parts of the body were sent."""
        while len(self.sent) <= count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)


async def ask(app: Application, method: str, path: str, *parts: bytes, **scope: Any) -> Reply:
    """Send a request and return the response."""
    call = Call(method, path, *parts, **scope)
    await app(call.scope, call.receive, call.send)
    assert not call.receiving
    assert not call.sent[-1].get("more_body")
    return call.reply()


class Lifespan:
    """The server's side of the lifespan protocol; runs on entry until the startup was answered."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> Message:
        scope: Scope = {"type": "lifespan", "state": {}}
        running = self._app(scope, self._inbox.get, self._outbox.put)
        self._task = asyncio.ensure_future(running)
        return await self._exchange("lifespan.startup")

    async def shutdown(self) -> Message:
        answer = await self._exchange("lifespan.shutdown")
        assert self._task is not None
        await self._task
        return answer

    async def ended(self) -> None:
        assert self._task is not None
        await self._task

    async def _exchange(self, kind: str) -> Message:
        await self._inbox.put({"type": kind})
        return await asyncio.wait_for(self._outbox.get(), 20)


@asynccontextmanager
async def started(app: Application) -> AsyncIterator[None]:
    """Run an application's lifespan as a server does."""
    lifespan = Lifespan(app)
    assert (await lifespan.startup())["type"] == "lifespan.startup.complete"
    yield
    assert (await lifespan.shutdown())["type"] == "lifespan.shutdown.complete"
