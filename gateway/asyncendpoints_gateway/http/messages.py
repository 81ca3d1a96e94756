"""Requests and responses as the views see them, independent of the HTTP server underneath, and
the bytes of a response.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

JSON: Final = "application/json"

# As in RFC 9110; http.HTTPStatus differs between Python versions.
PHRASES: Final[Mapping[int, str]] = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    422: "Unprocessable Content",
}


SERVER: Final = "asyncendpoints"
_FIRST_LINES: Final = {
    status: f"HTTP/1.1 {status} {phrase}\r\nServer: {SERVER}\r\n"
    for status, phrase in PHRASES.items()
}
_BODILESS: Final = frozenset({204, 304})


class Headers(Protocol):
    """Request headers: names in any case, a name may occur more than once."""

    def get(self, name: str, default: str, /) -> str:
        """Return the first value of `name`."""

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Return every value of `name`."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return all headers in the order in which they arrived."""

    def __contains__(self, name: object, /) -> bool: ...


class BodyError(Exception):
    """The framing of a request's body is not valid."""


class Request(Protocol):
    """One request. `path` and `query` are raw (still percent-encoded, the query without "?").

    `target` is the request target as it was sent, `version` the HTTP version. `decoded`: the server
    in front has undone Content-Encoding. Reading the body raises BodyError, and ConnectionError
    once the client is gone.
    """

    method: str
    target: str
    path: str
    query: str
    headers: Headers
    version: tuple[int, int]
    decoded: bool

    def head_size(self) -> int:
        """Return the bytes of all headers, or 0 when the server knows they are within limits."""

    def client_gone(self) -> bool:
        """Whether the connection is lost."""

    def at_end(self) -> bool:
        """Whether the whole body has been read."""

    def read_nowait(self) -> bytes:
        """Return what has arrived of the body and was not read, b"" if nothing has."""

    async def read(self) -> bytes:
        """Wait for the next part of the body; b"" at its end."""

    async def send_continue(self) -> None:
        """Send `100 Continue` if the body has not arrived yet."""

    def reusable(self) -> bool:
        """Whether the connection can be used for another request, as everything of this one has
        arrived.
        """


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a request. A `stream` takes the place of `body`.

    `close`: the connection cannot be used for another request.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    close: bool = False
    stream: AsyncGenerator[bytes, None] | None = None


@lru_cache(maxsize=1)
def _date_header(second: int) -> str:
    """Return the Date header (RFC 9110 §6.6.1), formatted once a second."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n"


def encode(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    close: bool = False,
    head: bool = False,
) -> bytes:
    """Return the bytes of an HTTP/1.1 response. `close`: announce the end of the connection;
    `head`: the request's method is HEAD, so the body is left out.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    last = "Connection: close\r\n" if close else ""
    date = _date_header(int(time.time()))
    length = "" if status in _BODILESS else f"Content-Length: {len(body)}\r\n"
    text = f"{_FIRST_LINES[status]}{lines}{length}{date}{last}\r\n"
    return text.encode() if head or status in _BODILESS else text.encode() + body
