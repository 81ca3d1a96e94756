"""Translation between aiohttp's requests and responses and the gateway's own (http/messages.py)."""

from __future__ import annotations

from contextlib import aclosing
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from asyncendpoints_gateway.http.messages import PHRASES, BodyError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncendpoints_gateway.http.messages import Headers, Response

MAX_URI: Final = 8_190
MAX_HEADERS: Final = 128
IDLE_SECONDS: Final = 75.0
"""How long a connection may stay open without a request, or with an incomplete head."""
LINGER_SECONDS: Final = 1.0
"""How long a client that violates the protocol has for reading the response."""

_FRAMING_ERRORS = (web.RequestPayloadError, HttpProcessingError, ClientPayloadError)


def connection_options(max_head: int) -> dict[str, Any]:
    """Return the keyword arguments of web.Server for its connections; `max_head` in bytes."""
    return {
        "access_log": None,
        "auto_decompress": False,  # http/bodies.py decodes, with a limit on the output
        "keepalive_timeout": IDLE_SECONDS,
        "lingering_time": LINGER_SECONDS,
        "max_line_size": MAX_URI,
        # The parser reports both limits with one error: their values tell them apart.
        "max_field_size": max_head if max_head != MAX_URI else max_head + 1,
        "max_headers": MAX_HEADERS,
    }


class AiohttpRequest:
    """An aiohttp request as the views' Request."""

    __slots__ = ("_content", "_request", "decoded", "headers", "method", "path", "query", "version")

    def __init__(self, request: web.BaseRequest, *, decoded: bool = False) -> None:
        """Wrap `request`; `decoded`: its server undoes Content-Encoding."""
        url = request.rel_url
        self._request = request
        self._content = request.content
        self.method = request.method
        self.path = url.raw_path
        self.query = url.raw_query_string
        self.headers: Headers = request.headers
        self.version: tuple[int, int] = request.version
        self.decoded = decoded

    def head_size(self) -> int:
        """Return the bytes of all headers."""
        raw = self._request.raw_headers
        return sum(map(len, chain.from_iterable(raw))) + 4 * len(raw)

    def client_gone(self) -> bool:
        """Whether the connection is lost."""
        return self._request.transport is None

    def at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._content.at_eof()

    def read_nowait(self) -> bytes:
        """Return what has arrived of the body and was not read."""
        try:
            return self._content.read_nowait(-1)
        except _FRAMING_ERRORS:
            raise BodyError from None

    async def read(self) -> bytes:
        """Wait for the next part of the body."""
        try:
            return await self._content.readany()
        except _FRAMING_ERRORS:
            raise BodyError from None

    async def send_continue(self) -> None:
        """Send `100 Continue` if the body has not arrived yet."""
        if self.version >= (1, 1) and not self._content.is_eof():
            writer = self._request.writer
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.output_size = 0  # the response has not begun


async def to_aiohttp(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    """Return the response for aiohttp to send; a stream is sent here."""
    if response.stream is not None:
        return await _send_stream(request, response, response.stream)
    return whole_response(response)


def whole_response(response: Response) -> web.Response:
    """Return a response without a stream for aiohttp to send."""
    made = web.Response(
        status=response.status,
        reason=PHRASES[response.status],
        headers=response.headers,
        body=response.body or None,
    )
    if response.close:
        made.force_close()
    return made


async def _send_stream(
    request: web.BaseRequest, response: Response, stream: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    sent = web.StreamResponse(status=response.status, headers=response.headers)
    if response.close:
        sent.force_close()
    if request.method == "HEAD":
        return sent
    async with aclosing(stream):
        try:
            await sent.prepare(request)
            async for part in stream:
                await sent.write(part)
            await sent.write_eof()
        except ConnectionError:
            pass  # the client has disconnected
    return sent
