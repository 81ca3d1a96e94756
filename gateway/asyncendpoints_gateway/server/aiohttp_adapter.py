"""Translation between aiohttp's requests and responses and the gateway's own (http/messages.py)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientPayloadError, StreamReader, web
from aiohttp.http import HttpProcessingError

from asyncendpoints_gateway.http.messages import PHRASES, SERVER, BodyError, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp.abc import AbstractStreamWriter

    from asyncendpoints_gateway.http.messages import Headers, Response
    from asyncendpoints_gateway.server.unsent import UnsentBytes

MAX_URI: Final = 8_190
MAX_HEADERS: Final = 128
IDLE_SECONDS: Final = 75.0
"""How long a connection may stay open without a request, or with an incomplete head."""
LINGER_SECONDS: Final = 1.0
"""How long a connection whose request was refused stays open while its client sends nothing."""
LINGER_MOST_SECONDS: Final = 30.0
"""How long it stays open while the client sends: it may read the response only then."""

FRAMING_ERRORS: Final = (web.RequestPayloadError, HttpProcessingError, ClientPayloadError)


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log of its server, with errors of clients at the level DEBUG."""

    def exception(self, msg: object, *args: object, **options: Any) -> None:
        """Log an error with its traceback, unless the client sent invalid HTTP."""
        if isinstance(options.get("exc_info"), FRAMING_ERRORS):
            self.debug("a client sent invalid HTTP: %s", type(options["exc_info"]).__name__)
        else:
            super().exception(msg, *args, **options)


def connection_options(max_head: int) -> dict[str, Any]:
    """Return the keyword arguments of web.Server for its connections; `max_head` in bytes."""
    return {
        "access_log": None,
        "auto_decompress": False,  # http/bodies.py decodes, with a limit on the output
        "keepalive_timeout": IDLE_SECONDS,
        "lingering_time": LINGER_SECONDS,
        "logger": _ServerLog(logging.getLogger("aiohttp.server")),
        "max_line_size": MAX_URI,
        # The parser reports both limits with one error: their values tell them apart.
        "max_field_size": max_head if max_head != MAX_URI else max_head + 1,
        "max_headers": MAX_HEADERS,
    }


async def discard(body: StreamReader) -> None:
    """Discard what a client sends of a refused body: closing the connection at once would reset it
    before the client has read the response.
    """
    with suppress(TimeoutError, ConnectionError, *FRAMING_ERRORS):
        async with asyncio.timeout(LINGER_MOST_SECONDS):
            while not body.at_eof():
                async with asyncio.timeout(LINGER_SECONDS):
                    await body.readany()


class AiohttpRequest:
    """An aiohttp request as the views' Request."""

    __slots__ = (
        "_content",
        "_request",
        "decoded",
        "headers",
        "method",
        "path",
        "query",
        "target",
        "version",
    )

    def __init__(self, request: web.BaseRequest, *, decoded: bool = False) -> None:
        """Wrap `request`; `decoded`: its server undoes Content-Encoding."""
        url = request.rel_url
        self._request = request
        self._content = request.content
        self.method = request.method
        self.target = request.raw_path
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
        except FRAMING_ERRORS:
            raise BodyError from None

    async def read(self) -> bytes:
        """Wait for the next part of the body."""
        try:
            return await self._content.readany()
        except FRAMING_ERRORS:
            raise BodyError from None

    async def send_continue(self) -> None:
        """Send `100 Continue` if the body has not arrived yet."""
        if self.version >= (1, 1) and not self._content.is_eof():
            writer = self._request.writer
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.output_size = 0  # the response has not begun

    def reusable(self) -> bool:
        """Whether everything of the request has arrived. aiohttp may drop what follows a request to
        upgrade the connection.
        """
        return self._content.is_eof() and "Upgrade" not in self.headers


class _LastResponse(web.Response):
    """A response after which the connection is closed, once the client has sent the body or read
    the response. aiohttp itself waits for the end of the body only for a fixed time.
    """

    _unread: StreamReader | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """See web.Response."""
        if not self.prepared:
            self._unread = request.content
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """See web.Response; it is called again by aiohttp."""
        await super().write_eof(data)
        unread, self._unread = self._unread, None
        if unread is not None:
            await discard(unread)


async def to_aiohttp(
    request: web.BaseRequest, response: Response, unsent: UnsentBytes
) -> web.StreamResponse:
    """Return the response for aiohttp to send; a stream is sent here."""
    if request.transport is not None:
        unsent.watch(request.transport, len(response.body))
    if response.stream is not None:
        return await _send_stream(request, response, response.stream, unsent)
    made = (_LastResponse if response.close else web.Response)(
        status=response.status,
        reason=PHRASES[response.status],
        headers={"Server": SERVER, **response.headers},
        body=response.body or None,
    )
    if request.version[0] != 1 and request.transport is not None:
        # aiohttp would answer in the version of the request; it finds the connection closed.
        request.transport.write(
            encode(response.status, response.headers, response.body, close=True)
        )
        request.transport.close()
    if response.close:
        made.force_close()
    return made


async def _send_stream(
    request: web.BaseRequest,
    response: Response,
    stream: AsyncGenerator[bytes, None],
    unsent: UnsentBytes,
) -> web.StreamResponse:
    headers = {"Server": SERVER, **response.headers}
    sent = web.StreamResponse(status=response.status, headers=headers)
    if response.close:
        sent.force_close()
    if request.method == "HEAD":
        return sent
    async with aclosing(stream):
        try:
            await sent.prepare(request)
            async for part in stream:
                if request.transport is not None:
                    unsent.watch(request.transport, len(part))
                await sent.write(part)
            await sent.write_eof()
        except ConnectionError:
            pass  # the client has disconnected
    return sent
