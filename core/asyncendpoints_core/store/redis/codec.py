"""The stored form of requests, results, errors and histories; records.py has the rest of a job.

docs/adr/0001-record-layout.md draws the bytes. Numbers are big-endian, times milliseconds. A
request is its length (1 byte, or 255 and 3), MessagePack without the body, and the body. Lua never
decodes it.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.records import Attempt, JobError, Request, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bodies over this are kept apart, so that scripts do not carry them to and fro.
INLINE_BODY: Final = 1024

OUTCOMES: Final = (
    "completed",
    "retry",
    "failed",
    "released",
    "recovered",
    "timed-out",
    "canceled",
)

# Six-byte numbers are read as 2 + 4.
_ATTEMPT = Struct(">HH HI HI BH")
_CONTEXT = Struct(">QQQQQ")
_SIZES = Struct(">HH")

# What requests are full of, as one byte each. Append only: the numbers are in the records.
_WORDS: Final = (
    "",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "application/json",
    "application/octet-stream",
    "text/plain; charset=utf-8",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/json; charset=utf-8",
    "accept",
    "accept-language",
    "user-agent",
    "x-request-id",
    "tracestate",
    "content-type",
    "*/*",
    "idempotency-key",
    "x-tenant",
)
_CODES: Final = {word: code for code, word in enumerate(_WORDS)}
# What a list that ends early leaves out.
_DEFAULTS: Final[tuple[object, ...]] = ("", 0, [], [], "", 1)


class CorruptRecord(Exception):
    """Bytes that are no record."""


class Context(msgspec.Struct, frozen=True):
    """What the times of a job depend on besides its record."""

    now_ms: int
    paused_ms: int
    ttl_ms: int
    completed_ms: int
    failed_ms: int

    @classmethod
    def read(cls, data: bytes) -> Context:
        """Read what lua/lib/time.lua wrote."""
        return cls(*_CONTEXT.unpack(data))


def _six(high: int, low: int) -> int:
    return (high << 32) | low


class _Meta(msgspec.Struct, array_like=True, gc=False):
    """A request without its body; words of _WORDS as their numbers. The commonest comes first."""

    path: str = ""
    content_type: int | str = 0
    headers: list[int | str] = []
    params: list[int | str] = []
    query: str = ""
    method: int | str = 1


_encode = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(_Meta).decode


def _words(pairs: Mapping[str, str]) -> list[int | str]:
    code = _CODES.get
    return [
        word for name, value in pairs.items() for word in (code(name, name), code(value, value))
    ]


def _mapping(flat: list[int | str]) -> dict[str, str]:
    words = iter(flat)
    # One of the hottest lines of a worker: no helper, no second pass.
    return {
        _WORDS[name] if isinstance(name, int) else name: (
            _WORDS[value] if isinstance(value, int) else value
        )
        for name, value in zip(words, words, strict=True)
    }


def trace_of(request: Request) -> str:
    """Return the part of a request that is kept with the state, and not twice."""
    trace = request.headers.get("traceparent", "")
    return trace if len(trace.encode()) < 256 else ""


def encode_request(request: Request, *, inline: bool) -> bytes:
    """Return the stored form; without the body unless it is `inline`."""
    headers = request.headers
    if "traceparent" in headers and trace_of(request):
        headers = {name: value for name, value in headers.items() if name != "traceparent"}
    code = _CODES.get
    meta: list[object] = [
        request.path,
        code(request.content_type, request.content_type),
        _words(headers),
        _words(request.route_params),
        request.query,
        code(request.method, request.method),
    ]
    while meta and meta[-1] == _DEFAULTS[len(meta) - 1]:
        meta.pop()
    data = _encode(meta)
    size = bytes((len(data),)) if len(data) < 255 else b"\xff" + len(data).to_bytes(3, "big")
    return size + data + (request.body if inline else b"")


def decode_request(data: bytes, trace: str, blob: bytes | None) -> Request:
    """Read a stored request; `blob` is its body where that is kept apart."""
    try:
        start, size = 1, data[0]
        if size == 255:
            start, size = 4, int.from_bytes(data[1:4], "big")
        end = start + size
        meta = _decode_meta(data[start:end])
        content_type, method = meta.content_type, meta.method
        headers = _mapping(meta.headers) if meta.headers else {}
        if trace:
            headers["traceparent"] = trace
        return Request(
            _WORDS[method] if isinstance(method, int) else method,
            meta.path,
            meta.query,
            _mapping(meta.params) if meta.params else {},
            headers,
            _WORDS[content_type] if isinstance(content_type, int) else content_type,
            data[end:] if blob is None else blob,
        )
    except (msgspec.DecodeError, LookupError, ValueError) as error:
        raise CorruptRecord from error


def encode_result(result: Result) -> bytes:
    """Return the stored form of a result."""
    if not result.filename and result.content_type in _CODES:
        return b"\0%c" % _CODES[result.content_type] + result.body
    kind, filename = result.content_type.encode(), result.filename.encode()
    return b"\1" + _SIZES.pack(len(kind), len(filename)) + kind + filename + result.body


def decode_result(data: bytes) -> Result:
    """Read a stored result. Raises CorruptRecord."""
    try:
        if data[0] == 0:
            return Result(_WORDS[data[1]], data[2:])
        kind, name = _SIZES.unpack_from(data, 1)
        end = 5 + kind
        return Result(data[5:end].decode(), data[end + name :], data[end : end + name].decode())
    except (LookupError, ValueError, StructError) as error:
        raise CorruptRecord from error


def encode_error(error: JobError) -> tuple[bytes, bytes]:
    """Return code and message, short enough for a record."""
    return error.code.encode()[:255], error.message[:1000].encode("utf-8", "replace")


def read_error(data: bytes) -> JobError | None:
    """Read a stored error; no bytes are none."""
    if not data:
        return None
    end = 2 + data[1]
    return JobError(str(data[2:end], "utf-8"), str(data[end:], "utf-8"), bool(data[0]))


def read_attempts(data: bytes) -> tuple[Attempt, ...]:
    """Read a job's history, oldest first."""
    attempts, at = [], 0
    while at < len(data):
        _, number, s1, s2, e1, e2, outcome, size = _ATTEMPT.unpack_from(data, at)
        at += _ATTEMPT.size
        error = read_error(data[at : at + size])
        at += size
        attempts.append(Attempt(number, _six(s1, s2), _six(e1, e2), OUTCOMES[outcome - 1], error))
    return tuple(attempts)
