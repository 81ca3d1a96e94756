"""Responses written to the socket in one piece, head and body together.

aiohttp builds a head in several steps that suit streams and compression; for small responses on a
keep-alive connection they cost more than everything else about a submission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web

from asyncendpoints_gateway.http.messages import Response, encode
from asyncendpoints_gateway.server.aiohttp_adapter import discard

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.abc import AbstractStreamWriter

    from asyncendpoints_gateway.server.unsent import UnsentBytes


def is_plain(request: web.BaseRequest, response: Response) -> bool:
    """Return whether a response can be written as it is: HTTP/1.1, with a known body."""
    return (
        response.stream is None
        and request.version == HttpVersion11
        and request.transport is not None
    )


class PlainResponse(web.StreamResponse):
    """A plain response, written when aiohttp prepares it; nothing of StreamResponse is used."""

    def __init__(self, response: Response, unsent: UnsentBytes, *, close: bool = False) -> None:
        """`close`: the client closes the connection after it, whatever the response says."""
        self._response = response
        self._unsent = unsent
        self._last = close or response.close
        self._unread: StreamReader | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether to keep the connection open."""
        return not self._last

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the response; raises ConnectionError when the client has disconnected."""
        transport, response = request.transport, self._response
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has disconnected")
        data = encode(
            response.status,
            response.headers,
            response.body,
            close=self._last,
            head=request.method == "HEAD",
        )
        request.writer.output_size += len(data)
        transport.write(data)
        self._unsent.watch(transport, len(data))
        # aiohttp keeps the response object until the next request on the connection.
        self._response = Response()
        if self._last:
            self._unread = request.content
        del data, response
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Discard the rest of the body before the connection is closed; all has been written."""
        if self._unread is not None:
            await discard(self._unread)
