"""Answers with a body that is known: written to the socket in one piece, head and body together.

aiohttp's own way builds the head in several steps that suit streams and compression; for small
answers on a keep-alive connection they cost more than everything else about a submission.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import AbstractStreamWriter

# As RFC 9110 has them; Python's own differ between its versions.
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    422: "Unprocessable Content",
}
_LINES: Final = {status: f"HTTP/1.1 {status} {phrase}\r\n" for status, phrase in _PHRASES.items()}
_BODILESS: Final = frozenset({204, 304})


class _Clock:
    """The Date header, made once a second."""

    second = 0
    line = ""

    @classmethod
    def date(cls) -> str:
        now = int(time.time())
        if now != cls.second:
            cls.second, cls.line = now, f"Date: {rfc822_formatted_time()}\r\n"
        return cls.line


def whole(status: int, headers: Mapping[str, str], body: bytes, *, close: bool = False) -> bytes:
    """Return the bytes of an HTTP/1.1 answer. `close`: say that the connection ends with it."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    last = "Connection: close\r\n" if close else ""
    head = f"{_LINES[status]}{lines}Content-Length: {len(body)}\r\n{_Clock.date()}{last}\r\n"
    return head.encode() + body


class Reply(web.Response):
    """A response like any other; on the gateway's own server it takes the short way out."""

    def __init__(
        self, status: int = 200, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> None:
        super().__init__(status=status, reason=_PHRASES[status], headers=headers, body=body)
        self.whole_body = body or b""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write everything, if nothing about the connection is special; else do as aiohttp does.

        A web.Request belongs to an application, whose signals may still change the headers.
        """
        transport = request.transport
        if (
            type(request) is not web.BaseRequest
            or self._eof_sent
            or self._keep_alive is False
            or transport is None
            or request.version != HttpVersion11
            or request.method == "HEAD"
            or not request.keep_alive
            or self._status in _BODILESS
        ):
            return await super().prepare(request)
        self._keep_alive = True
        self._eof_sent = True  # write_eof has nothing left to do
        if transport.is_closing():
            raise ConnectionResetError("the client went away")
        data = whole(self._status, self._headers, self.whole_body)
        request.writer.output_size += len(data)
        transport.write(data)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None
