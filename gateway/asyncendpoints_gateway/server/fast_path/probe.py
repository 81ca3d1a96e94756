"""Checks whether the installed aiohttp has the internals that the fast path relies on.

Names, kinds and parameters are compared first; then the parser is run on sample requests, without
a socket. Any difference disables the fast path: every request is then handled by aiohttp's public
interface, and errors of the parser are answered in aiohttp's own words.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import aiohttp.web_protocol
from aiohttp import HttpVersion11, web

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_gateway.http.messages import Response
from asyncendpoints_gateway.server.aiohttp_adapter import MAX_HEADERS, MAX_URI, connection_options
from asyncendpoints_gateway.server.fast_path.response import PlainResponse
from asyncendpoints_gateway.server.unsent import UnsentBytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "aiohttp.web_protocol": ("RequestHandler", "RequestPayloadError", "_ErrInfo"),
    "aiohttp.http_exceptions": (
        "BadHttpMessage",
        "BadHttpMethod",
        "BadStatusLine",
        "InvalidURLError",
        "LineTooLong",
    ),
    "aiohttp.streams": ("EMPTY_PAYLOAD",),
}
METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "data_received": ("data",),
    "connection_lost": ("exc",),
    "resume_reading": ("resume_parser",),
    "handle_error": ("request", "status", "exc", "message"),
    "finish_response": ("request", "resp", "start_time"),
    "log_exception": ("args", "kw"),
    "_process_keepalive": (),
    "_make_error_handler": ("err_info",),
}
"""Methods of RequestHandler that are called or overridden, with their parameters."""
ATTRIBUTES: Final[Mapping[str, type]] = {
    "_messages": deque,
    "_waiter": type(None),
    "_handler_waiter": type(None),
    "_current_request": type(None),
    "_manager": web.Server,
    "_parser": object,
    "_loop": asyncio.AbstractEventLoop,
    "_close": bool,
    "_force_close": bool,
    "_request_in_progress": bool,
    "_next_keepalive_close_time": float,
    "_reading_paused": bool,
    "_buffer_paused": bool,
    "_upgraded": bool,
    "writing_paused": bool,
    "max_line_size": int,
    "max_field_size": int,
    "transport": type(None),
}
"""Attributes of a new RequestHandler, with the type of their first value."""

_HEAD: Final = b"POST /a HTTP/1.1\r\nHost: a\r\n"
_MANY: Final = b"".join(b"x%d: y\r\n" % n for n in range(MAX_HEADERS + 1))
FAULTS: Final[Mapping[str, bytes]] = {
    "uri-too-long": b"GET /" + b"a" * (MAX_URI + 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "headers-too-large": _HEAD + _MANY + b"\r\n",
    "invalid-query": b"POST a HTTP/1.1\r\nHost: a\r\n\r\n",
    "invalid-header": b"GARBAGE\r\n\r\n",
    "not-implemented": b"BREW /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "version-not-supported": b"GET /a HTTP/3.0\r\nHost: a\r\n\r\n",
}
"""Requests that must be refused with this problem."""


def differences() -> list[str]:
    """Return what is not as expected, in words; must be called inside the event loop."""
    try:
        return list(_missing_names()) or list(_missing_members()) or list(_wrong_behavior())
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def _missing_names() -> Iterator[str]:
    for module, names in MODULES.items():
        for name in names:
            if not hasattr(import_module(module), name):
                yield f"{module} has no {name}"


def _missing_members() -> Iterator[str]:
    handler = aiohttp.web_protocol.RequestHandler
    for name, expected in METHODS.items():
        method = getattr(handler, name, None)
        if method is None:
            yield f"RequestHandler has no {name}"
        elif tuple(inspect.signature(method).parameters)[1:] != expected:
            yield f"RequestHandler.{name} has other parameters"
    connection = _connection()
    for name, kind in ATTRIBUTES.items():
        if not hasattr(connection, name):
            yield f"RequestHandler has no {name}"
        elif not isinstance(getattr(connection, name), kind):
            yield f"RequestHandler.{name} is not of type {kind.__name__}"
    if not callable(getattr(connection._parser, "message_consumed", None)):
        yield "the parser has no message_consumed"


def _wrong_behavior() -> Iterator[str]:
    connection = _connection()
    connection.data_received(_HEAD + b"X: y\r\nContent-Length: 2\r\n\r\nok")
    [(message, payload)] = connection._messages
    found = (message.method, message.path, message.version, message.headers.getall("X"))
    if found != ("POST", "/a", HttpVersion11, ["y"]):
        yield "a request is parsed differently"
    if message.should_close or message.upgrade or message.chunked:
        yield "a plain request has other flags"
    if not payload.is_eof() or payload.exception() is not None or payload.read_nowait(-1) != b"ok":
        yield "the body of a complete request is not available at once"
    # Imported here, since the names that parser_errors.py imports may be missing.
    from asyncendpoints_gateway.server.fast_path.parser_errors import parser_problem

    for name, data in FAULTS.items():
        connection = _connection()
        connection.data_received(data)
        [(error, _)] = connection._messages
        if parser_problem(error.exc, MAX_URI).name != name:
            yield f"the parser reports {name} differently"
    if _written_by_aiohttp(_connection(), b"ok") != b"ok":
        yield "a response is prepared differently"


def _written_by_aiohttp(connection: Any, body: bytes) -> bytes:
    """Return the body that aiohttp writes when it finishes a PlainResponse."""
    written = bytearray()
    request: Any = SimpleNamespace(
        method="POST",
        transport=_Transport(written),
        writer=SimpleNamespace(output_size=0),
        protocol=SimpleNamespace(writing_paused=False),
        _finish=lambda: None,
    )
    finishing = connection.finish_response(
        request, PlainResponse(Response(body=body), UnsentBytes(SystemTime())), None
    )
    try:
        finishing.send(None)  # no await in it blocks
    except StopIteration:
        return bytes(written).partition(b"\r\n\r\n")[2]
    finishing.close()
    return b""


class _Transport:
    def __init__(self, written: bytearray) -> None:
        self.write = written.extend

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        pass


def _connection() -> Any:
    """Return a connection without a socket."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    options = connection_options(max_head=MAX_URI)
    return web.Server(answer, **options)()
