"""Translation between ASGI's messages and the gateway's own (http/messages.py)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, nullcontext, suppress
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_gateway.server.asgi.unread import UnreadBody

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator, Iterable, Mapping

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_gateway.http.messages import Headers, Response
    from asyncendpoints_gateway.server.asgi.types import Message, Receive, Scope, Send
    from asyncendpoints_gateway.server.unsent import UnsentBytes

log = logging.getLogger("asyncendpoints.gateway")

SMALL_BYTES: Final = 16_384
"""A body of this size is sent without a deadline: servers buffer as much without waiting."""
PIECE_BYTES: Final = 131_072
"""Responses are sent in pieces of this size at most: servers then wait for the client."""
PIECE_SECONDS: Final = 30.0
"""How long a client may take to read a piece."""
LINGER_SECONDS: Final = 1.0
"""How long a client that still sends a refused body has for reading the response."""
_BODILESS: Final = frozenset({204, 304})
_NAMES: Final = {
    name: name.lower().encode() for name in ("Content-Type", "Location", "Retry-After")
}
_HTTP1: Final = frozenset({"1.0", "1.1"})


class AsgiHeaders:
    """The headers of a request as the views' Headers."""

    __slots__ = ("_pairs", "first")

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = [
            (name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
            for name, value in raw
        ]
        self.first = dict(reversed(self._pairs))  # ASGI's names are in lower case
        """The first value of each name."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self.first

    def get(self, name: str, default: str, /) -> str:
        """Return the first value of `name`."""
        return self.first.get(name.lower(), default)

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Return every value of `name`."""
        lower = name.lower()
        if lower not in self.first:
            return default
        return [value for key, value in self._pairs if key == lower]

    def items(self) -> list[tuple[str, str]]:
        """Return all headers in the order in which they arrived."""
        return self._pairs


def begin(awaitable: Awaitable[Message]) -> Message | Begun:
    """Make the first step of an awaitable. Returns its result if what it waits for is there, at no
    more than the price of a call; otherwise what is to be awaited, before anything else is.
    """
    steps = awaitable.__await__()
    try:
        waits_for = steps.send(None)
    except StopIteration as end:
        result: Message = end.value
        return result
    return Begun(steps, waits_for)


class Begun:
    """An awaitable whose first step was made, and that waits for something."""

    __slots__ = ("_first", "_steps")

    def __init__(self, steps: Generator[Any, Any, Message], waits_for: object) -> None:
        self._first = waits_for
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Message]:
        """Go on with the second step, as the task would have."""
        waits_for = self._first
        while True:
            try:
                try:
                    sent = yield waits_for
                except GeneratorExit:
                    self._steps.close()
                    raise
                except BaseException as error:
                    waits_for = self._steps.throw(error)
                else:
                    waits_for = self._steps.send(sent)
            except StopIteration as end:
                message: Message = end.value
                return message


class AsgiRequest:
    """A request of an ASGI server as the views' Request."""

    decoded = False

    def __init__(
        self, scope: Scope, receive: Receive, path: str, begun: Message | Begun | None = None
    ) -> None:
        """Wrap `scope`, whose raw path is `path`. `begun`: see `begin`, of a first `receive()`."""
        raw = scope["headers"]
        version: str = scope["http_version"]
        self.method: str = scope["method"]
        self.target = self.path = path
        self.query: str = scope["query_string"].decode("utf-8", "surrogateescape")
        self.fields = AsgiHeaders(raw)
        self.headers: Headers = self.fields
        # The server speaks the later versions; what is left of them is like HTTP/1.1.
        self.version = (1, 0) if version == "1.0" else (1, 1)
        self.has_connection = version in _HTTP1
        self.invites = "expect" in self.fields.first
        """Whether the client waits for `100 Continue` before it sends the body."""
        self.gone = False
        self._raw = raw
        self._receive = receive
        self._ended = False
        self._begun = begun
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def head_size(self) -> int:
        """Return the bytes of all headers."""
        return len(b"".join(chain.from_iterable(self._raw))) + 4 * len(self._raw)

    def client_gone(self) -> bool:
        """Whether the client has disconnected. From the first call on, that cancels the task."""
        if self._watcher is None and not self.gone:
            self._task = asyncio.current_task()
            self._watcher = asyncio.get_running_loop().create_task(self._watch())
        return self.gone

    def at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._ended

    def read_nowait(self) -> bytes:
        """Return what has arrived of the body and was not read. `read` must follow, unless this
        returns something or the body ends.
        """
        if self._begun is None:
            self._begun = begin(self._receive())
        if isinstance(self._begun, Begun):
            return b""
        message, self._begun = self._begun, None
        return self._part(message)

    async def read(self) -> bytes:
        """Wait for the next part of the body."""
        begun, self._begun = self._begun, None
        if begun is None:
            return self._part(await self._receive())
        return self._part(await begun if isinstance(begun, Begun) else begun)

    def _part(self, message: Message) -> bytes:
        if message["type"] != "http.request":
            self.gone = True
            raise ConnectionResetError("the client has disconnected")
        self._ended = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def send_continue(self) -> None:
        """Do nothing: servers send `100 Continue` when the body is first read."""

    def reusable(self) -> bool:
        """Whether the server can find the next request: after a body that was not invited it is not
        known whether the client sends it. What else is unread, servers discard.
        """
        return self._ended or not self.invites

    async def _watch(self) -> None:
        """Keep one `receive()` outstanding; cancel the request's task once the client is gone."""
        try:
            while True:
                message = await self._receive()
                if message["type"] != "http.request":
                    break
                if self._ended:
                    return  # a server that repeats the end of the body
                self._ended = not message.get("more_body", False)
        except OSError:
            log.debug("the server reports a lost connection", exc_info=True)
        self.gone = True
        if self._task is not None:
            self._task.cancel()

    def stop_watching(self) -> None:
        """No longer cancel the task: the response is complete but for its last message."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def close(self) -> None:
        """Wait for the end of the watching task."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])


async def respond(
    request: AsgiRequest,
    response: Response,
    send: Send,
    time: TimeSource,
    unsent: UnsentBytes | None = None,
) -> None:
    """Send a response. Ends early, without an error, once the client is gone or does not read.

    `unsent` bounds what all large responses keep in memory.
    """
    try:
        if response.stream is None:
            request.stop_watching()
            await _send_body(request, response, send, time, unsent)
        else:
            await _send_stream(request, response, response.stream, send, time)
    except OSError as error:
        log.debug("the client has disconnected: %s", error)
    except TimeoutError:
        log.warning("a client did not read its response for %g s", PIECE_SECONDS)


async def _send_body(
    request: AsgiRequest,
    response: Response,
    send: Send,
    time: TimeSource,
    unsent: UnsentBytes | None,
) -> None:
    body = b"" if request.method == "HEAD" else response.body
    await send(_start(request, response))
    if len(body) > SMALL_BYTES:
        body = await _send_pieces(body, send, time, unsent)
    if response.close and not request.at_end() and not request.invites:
        await send(_part(body))
        body = b""
        with suppress(TimeoutError, ConnectionError):
            async with time.timeout(LINGER_SECONDS):
                while not request.at_end():
                    await request.read()
    await send(last_part(body))


async def _send_pieces(
    body: bytes, send: Send, time: TimeSource, unsent: UnsentBytes | None
) -> bytes:
    """Send a large body but for its last bytes, which are returned."""
    at = 0
    async with nullcontext() if unsent is None else UnreadBody(len(body), unsent) as unread:
        while len(body) - at > SMALL_BYTES:
            piece = body[at : at + PIECE_BYTES]
            async with time.timeout(PIECE_SECONDS):
                await send(_part(piece))
            at += len(piece)
            if unread is not None:
                unread.sent(len(piece))
    return body[at:]


async def _send_stream(
    request: AsgiRequest,
    response: Response,
    stream: AsyncGenerator[bytes, None],
    send: Send,
    time: TimeSource,
) -> None:
    async with aclosing(stream):
        await send(_start(request, response))
        if request.method != "HEAD":
            async for part in stream:
                async with time.timeout(PIECE_SECONDS):
                    await send(_part(part))
        request.stop_watching()
        await send(last_part(b""))


def _part(body: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def last_part(body: bytes) -> dict[str, object]:
    """Return the message that ends a response."""
    return {"type": "http.response.body", "body": body, "more_body": False}


def _start(request: AsgiRequest, response: Response) -> dict[str, object]:
    bodiless = response.stream is not None or response.status in _BODILESS
    message = start_of(response.status, response.headers, None if bodiless else len(response.body))
    if response.close and request.has_connection:
        message["headers"].append((b"connection", b"close"))
    return message


def start_of(status: int, fields: Mapping[str, str], size: int | None) -> dict[str, Any]:
    """Return the message that begins a response; `size`: of its body, if it is known."""
    headers = [(_NAMES.get(name) or _name(name), value.encode()) for name, value in fields.items()]
    if size is not None:
        headers.append((b"content-length", b"%d" % size))
    return {"type": "http.response.start", "status": status, "headers": headers}


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    return name.lower().encode("latin-1")
