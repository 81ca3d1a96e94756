"""httpx2's transport to a gateway in the same process: no socket, bodies and streams included."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import httpx2

from asyncendpoints_gateway.server.asgi.adapter import AsgiHeaders

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from asyncendpoints_gateway.http.messages import Headers
    from asyncendpoints_gateway.server.app import Gateway

    T = TypeVar("T")
    Guard = Callable[[Awaitable[T]], Awaitable[T]]


class InProcess(httpx2.AsyncBaseTransport):
    """Hands requests to `gateway`; `guard` awaits what may wait for the clock."""

    def __init__(self, gateway: Gateway, guard: Guard[object]) -> None:
        self._gateway = gateway
        self._guard = guard

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the gateway's response, as soon as its head is known."""
        made = _Request(request, await request.aread())
        response = await self._guard(self._gateway.handle(made))
        headers = list(response.headers.items())  # type: ignore[attr-defined]
        status: int = response.status  # type: ignore[attr-defined]
        stream = response.stream  # type: ignore[attr-defined]
        if stream is None:
            body: bytes = response.body  # type: ignore[attr-defined]
            return httpx2.Response(status, headers=headers, content=body)
        return httpx2.Response(status, headers=headers, stream=_Stream(stream, self._guard))


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, source: AsyncGenerator[bytes, None], guard: Guard[object]) -> None:
        self._source = source
        self._guard = guard

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self._guard(anext(self._source, None))) is not None:
            assert isinstance(part, bytes)  # noqa: S101 - what the gateway streams
            yield part

    async def aclose(self) -> None:
        await self._source.aclose()


class _Request:
    """A request of the client as the gateway's Request; its body has arrived."""

    decoded = False
    version = (1, 1)

    def __init__(self, request: httpx2.Request, body: bytes) -> None:
        target = request.url.raw_path.decode("ascii")
        self.method = request.method
        self.target = target
        self.path, _, self.query = target.partition("?")
        raw = [(name.lower(), value) for name, value in request.headers.raw]
        self.headers: Headers = AsgiHeaders(raw)
        self._body = body

    def head_size(self) -> int:
        """Return 0: the client's own headers are within limits."""
        return 0

    def client_gone(self) -> bool:
        """Return False: a client that is gone has canceled the call."""
        return False

    def at_end(self) -> bool:
        """Whether the body has been read."""
        return not self._body

    def read_nowait(self) -> bytes:
        """Return the whole body, once."""
        body, self._body = self._body, b""
        return body

    async def read(self) -> bytes:
        """Return the whole body, once."""
        return self.read_nowait()

    async def send_continue(self) -> None:
        """Do nothing: the body is here."""

    def reusable(self) -> bool:
        """Return True: there is no connection."""
        return True
