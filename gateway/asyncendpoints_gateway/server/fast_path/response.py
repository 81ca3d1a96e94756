"""Responses written to the socket in one piece, head and body together.

aiohttp builds a head in several steps that suit streams and compression; for small responses on a
keep-alive connection they cost more than everything else about a submission.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web

from asyncendpoints_gateway.http.messages import PHRASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import AbstractStreamWriter

    from asyncendpoints_gateway.http.messages import Response

_LINES: Final = {status: f"HTTP/1.1 {status} {phrase}\r\n" for status, phrase in PHRASES.items()}
_BODILESS: Final = frozenset({204, 304})


@lru_cache(maxsize=1)
def _date_header(second: int) -> str:
    """Return the Date header (RFC 9110 §6.6.1), formatted once a second."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n"


def encode(status: int, headers: Mapping[str, str], body: bytes, *, close: bool = False) -> bytes:
    """Return the bytes of an HTTP/1.1 response. `close`: announce the end of the connection."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    last = "Connection: close\r\n" if close else ""
    date = _date_header(int(time.time()))
    head = f"{_LINES[status]}{lines}Content-Length: {len(body)}\r\n{date}{last}\r\n"
    return head.encode() + body


def is_plain(request: web.BaseRequest, response: Response) -> bool:
    """Return whether a response can be written as it is: keep-alive, with a known body."""
    return (
        response.stream is None
        and not response.close
        and response.status not in _BODILESS
        and request.version == HttpVersion11
        and request.method != "HEAD"
        and request.keep_alive
        and request.transport is not None
    )


class PlainResponse(web.StreamResponse):
    """A plain response, written when aiohttp prepares it; nothing of StreamResponse is used."""

    def __init__(self, response: Response) -> None:
        self._response = response

    @property
    def keep_alive(self) -> bool:
        """Keep the connection open."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the response; raises ConnectionError when the client has disconnected."""
        transport, response = request.transport, self._response
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has disconnected")
        data = encode(response.status, response.headers, response.body)
        request.writer.output_size += len(data)
        transport.write(data)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: everything has been written."""
