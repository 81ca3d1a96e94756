"""The stored form of requests, results, errors, progress and histories.

records.py has the rest of a job, store/record_layout.py the bytes. A request is the size of its
MessagePack, MessagePack without the body, and the body. Lua never decodes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import error as StructError
from types import MappingProxyType
from typing import Final

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import (
    MAX_ERROR_CHARS,
    MAX_PROGRESS_CHARS,
    Attempt,
    Attributes,
    JobError,
    Lock,
    Progress,
    Request,
    Result,
)
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.pauses import Pause, stood_still
from asyncendpoints_core.store.redis.python_layout import (
    CorruptRecord,
    arranger,
    encode_optional,
    packer,
    reader,
)

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

_read_attempt = reader(tables.ATTEMPT, "number started_at ended_at outcome error end")
_read_error = reader(tables.ERROR, "retryable code message")
_read_context = reader(messages.CONTEXT, "now paused_ms ttl_ms completed_ms failed_ms")
_read_progress = reader(tables.PROGRESS, "fraction message")
_read_attributes = reader(
    tables.ATTRIBUTES,
    "tags key parent schedule scheduled_at webhooks lock lock_ms until_started subject",
)
# How attributes begin that are a key alone, and where its size is.
_KEY_AT: Final = tables.ATTRIBUTES.size
_KEY_ALONE: Final = encode_optional(tables.ATTRIBUTES, {"key": b"a"})[:_KEY_AT]
_pack_fraction = packer(tables.PROGRESS, "fraction")
_read_result = reader(tables.RESULT, "content_type filename body")
_pack_result = packer(tables.RESULT, "form content_type_size filename_size")
_arrange_result = arranger(tables.RESULT, "content_type filename body")
_SIZE_AT: Final = tables.REQUEST.offset("size")
_SHORT: Final = tables.REQUEST.size
_read_long_size = reader(tables.LONG_REQUEST, "size")
_pack_long_size = packer(tables.LONG_REQUEST, "mark size")
# The first byte of a result: its content type is a known word, or is spelled out.
_KNOWN_TYPE: Final = 0
_SPELLED_OUT: Final = 1
HEADS_KEPT: Final = 64
"""Requests without their bodies that are kept decoded: most of a client's are the same."""

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
_KNOWN_TYPES: Final = {word: bytes((_KNOWN_TYPE, code)) for word, code in _CODES.items()}
# What a list that ends early leaves out.
_DEFAULTS: Final[tuple[object, ...]] = ("", 0, [], [], "", 1)


NO_PAUSES: Final[Mapping[str, Sequence[Pause]]] = MappingProxyType({})
_CONTEXT: Final = messages.CONTEXT.size
_decode_pauses = msgspec.msgpack.Decoder(dict[str, list[Pause]]).decode


class Context(msgspec.Struct, frozen=True):
    """What the times of a job depend on besides its record."""

    now_ms: int
    paused_ms: int
    ttl_ms: int
    completed_ms: int
    failed_ms: int
    pauses: Mapping[str, Sequence[Pause]] = NO_PAUSES

    @classmethod
    def read(cls, data: bytes) -> Context:
        """Read what lua/lib/time.lua wrote."""
        pauses = _decode_pauses(data[_CONTEXT:]) if len(data) > _CONTEXT else NO_PAUSES
        now, paused, ttl, completed, failed = _read_context(data)
        return cls(now, paused, ttl, completed, failed, pauses)

    def still_ms(self, name: str, since_ms: int) -> int:
        """Return how long the time to live of a waiting job stood still for pauses of its name."""
        pauses = self.pauses.get(name, ())
        return stood_still(pauses, since_ms, self.now_ms - self.paused_ms)


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
    words: list[int | str] = []
    for name, value in pairs.items():
        words += (code(name, name), code(value, value))
    return words


def _mapping(flat: list[int | str]) -> dict[str, str]:
    words = iter(flat)
    return {
        _WORDS[name] if isinstance(name, int) else name: (
            _WORDS[value] if isinstance(value, int) else value
        )
        for name, value in zip(words, words, strict=True)
    }


def trace_of(request: Request) -> str:
    """Return the part of a request that is kept with the state, and not twice."""
    trace = request.headers.get("traceparent")
    return trace if trace is not None and len(trace.encode()) < 256 else ""


def encode_request(request: Request, *, inline: bool) -> bytes:
    """Return the stored form; without the body unless it is `inline`."""
    headers = request.headers
    if "traceparent" in headers and trace_of(request):
        headers = {name: value for name, value in headers.items() if name != "traceparent"}
    code = _CODES.get
    meta: list[object] = [
        request.path,
        code(request.content_type, request.content_type),
        _words(headers) if headers else [],
        _words(request.route_params) if request.route_params else [],
        request.query,
        code(request.method, request.method),
    ]
    while meta and meta[-1] == _DEFAULTS[len(meta) - 1]:
        meta.pop()
    data = _encode(meta)
    length, mark = len(data), tables.LONG_MARK
    size = bytes((length,)) if length < mark else _pack_long_size(mark, length)
    return size + data + (request.body if inline else b"")


def _head(data: bytes) -> tuple[str, str, str, Mapping[str, str], Mapping[str, str], str]:
    """Return the fields of a request before its body, in their order, without its trace."""
    meta = _decode_meta(data)
    content_type, method = meta.content_type, meta.method
    return (
        _WORDS[method] if isinstance(method, int) else method,
        meta.path,
        meta.query,
        _mapping(meta.params),
        _mapping(meta.headers),
        _WORDS[content_type] if isinstance(content_type, int) else content_type,
    )


_known_head = lru_cache(maxsize=HEADS_KEPT)(_head)


def decode_request(data: bytes, trace: str, blob: bytes | None) -> Request:
    """Read a stored request; `blob` is its body where that is kept apart."""
    try:
        size = data[_SIZE_AT]
        if size == tables.LONG_MARK:
            start, (size,) = tables.LONG_REQUEST.size, _read_long_size(data)
            end = start + size
            head = _head(data[start:end])
        else:
            end = _SHORT + size
            head = _known_head(data[_SHORT:end])
        method, path, query, params, headers, content_type = head
        # Mappings of its own: a handler may change them, and other requests have the same head.
        headers = {**headers, "traceparent": trace} if trace else {**headers}
        body = data[end:] if blob is None else blob
        return Request(method, path, query, {**params}, headers, content_type, body)
    except (msgspec.DecodeError, LookupError, ValueError, RecursionError, StructError) as error:
        raise CorruptRecord from error


def encode_result(result: Result) -> bytes:
    """Return the stored form of a result."""
    known = _KNOWN_TYPES.get(result.content_type)
    if known is not None and not result.filename:
        return known + result.body
    kind, filename = result.content_type.encode(), result.filename.encode()
    head = _pack_result(_SPELLED_OUT, len(kind), len(filename))
    return head + b"".join(_arrange_result(kind, filename, result.body))


def decode_result(data: bytes) -> Result:
    """Read a stored result. Raises CorruptRecord."""
    try:
        if data[0] == _KNOWN_TYPE:
            return Result(_WORDS[data[1]], data[2:])
        kind, filename, body = _read_result(data)
        return Result(kind.decode(), body, filename.decode())
    except (LookupError, ValueError, StructError) as error:
        raise CorruptRecord from error


def encode_error(error: JobError) -> tuple[bytes, bytes]:
    """Return code and message, short enough for a record."""
    return error.code.encode()[:255], error.message[:MAX_ERROR_CHARS].encode("utf-8", "replace")


def read_error(data: bytes) -> JobError | None:
    """Read a stored error, None of no bytes. Raises CorruptRecord or struct.error."""
    if not data:
        return None
    retryable, code, message = _read_error(data)
    return JobError(str(code, "utf-8"), str(message, "utf-8"), bool(retryable))


def read_attempts(data: bytes) -> tuple[Attempt, ...]:
    """Read a job's history, oldest first. Raises CorruptRecord or struct.error."""
    attempts, at = [], 0
    while at < len(data):
        number, started, ended, outcome, error, at = _read_attempt(data, at)
        attempts.append(Attempt(number, started, ended, OUTCOMES[outcome - 1], read_error(error)))
    return tuple(attempts)


def encode_attributes(attributes: Attributes) -> bytes:
    """Return the stored form of what a job carries beyond its request."""
    values: dict[str, object] = {
        "tags": ",".join(attributes.tags).encode(),
        "key": attributes.key.encode(),
        "parent": attributes.parent,
        "webhooks": "\n".join(attributes.webhooks).encode(),
        "subject": attributes.subject.encode(),
    }
    if attributes.schedule:
        values["schedule"] = attributes.schedule.encode()
        values["scheduled_at"] = attributes.scheduled_ms
    if (lock := attributes.lock) is not None:
        values |= {"lock": lock.name, "lock_ms": lock.ms, "until_started": lock.until_started}
    return encode_optional(tables.ATTRIBUTES, values)


def read_attributes(data: bytes) -> Attributes:
    """Read what a job carries. Raises CorruptRecord, LookupError, ValueError or struct.error."""
    if data[:_KEY_AT] == _KEY_ALONE and len(data) == _KEY_AT + 1 + data[_KEY_AT]:
        return Attributes(key=data[_KEY_AT + 1 :].decode())  # hot: most that carry anything
    (
        tags, key, parent, schedule, scheduled_at, webhooks, lock, lock_ms, until_started, subject,
    ) = _read_attributes(data)  # fmt: skip
    return Attributes(
        tuple(tags.decode().split(",")) if tags else (),
        key.decode(),
        None if parent is None else JobId(parent),
        schedule.decode(),
        scheduled_at or 0,
        tuple(webhooks.decode().split("\n")) if webhooks else (),
        None if lock is None else Lock(lock, lock_ms, until_started),
        subject.decode(),
    )


def encode_progress(progress: Progress) -> bytes:
    """Return the stored form of a job's progress."""
    message = progress.message[:MAX_PROGRESS_CHARS].encode("utf-8", "replace")
    return _pack_fraction(progress.fraction) + message


def read_progress(data: bytes) -> Progress:
    """Read a job's progress. Raises struct.error."""
    fraction, message = _read_progress(data)
    return Progress(fraction, message.decode())
