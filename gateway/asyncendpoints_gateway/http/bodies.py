"""Request bodies: read up to the limit, gzip and deflate decoded, JSON checked against the schema.

The limit counts decoded bytes, and decoding stops at it, so a small body cannot become a large one.
The rest of a body that is too large is not read.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import MalformedBody
from asyncendpoints_core.resource.schemas import CompiledSchema, parse_json, validate
from asyncendpoints_gateway.http.messages import BodyError
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_gateway.http.messages import Request

STALL_SECONDS: Final = 30.0
"""The longest wait for the next part of a body."""
_STEP: Final = 65_536
_GZIP: Final = 31  # zlib's wbits select the container
_ZLIB: Final = 15
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


async def read_body(
    request: Request, given: Mapping[str, str], limit: int, time: TimeSource
) -> bytes:
    """Return the decoded body of at most `limit` bytes. `given`: see SubmissionHeaders."""
    coding = _coding(given["content-encoding"]) if "content-encoding" in given else None
    if coding is None and int(given.get("content-length", 0)) > limit:
        raise _too_large(limit)
    if "expect" in given and given["expect"].lower() == "100-continue":
        await request.send_continue()  # RFC 9110 §10.1.1: the client waits for it
    if coding is not None and not request.decoded:
        return await _inflate(request, coding, limit, time)
    parts: list[bytes] = []
    size = 0
    while not request.at_end():
        part = await _next(request, time)
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _coding(value: str) -> str | None:
    name = value.strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in _CODINGS:
        raise Problem(
            "unsupported-media-type",
            "Content-Encoding must be one of gzip, deflate and identity",
            headers={"Accept-Encoding": "gzip, deflate"},
            close=True,
        )
    return name


async def _next(request: Request, time: TimeSource) -> bytes:
    """Return what has arrived of the body, or wait for the next part."""
    try:
        ready = request.read_nowait()
        if ready or request.at_end():
            return ready
        async with time.timeout(STALL_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Problem("malformed-body", "the body is incomplete", close=True) from None
    except BodyError:
        raise Problem(
            "malformed-body", "the framing of the body is not valid", close=True
        ) from None


class _Inflater:
    """Decodes step by step, and stops once the output exceeds `limit` bytes."""

    def __init__(self, coding: str, limit: int) -> None:
        self._coding = coding
        self._limit = limit
        self._decoder: zlib._Decompress | None = None
        self._parts: list[bytes] = []
        self._room = limit + 1

    def feed(self, data: bytes) -> None:
        """Decode `data`; gzip may have several members (RFC 1952 §2.2)."""
        while True:
            if self._decoder is None or self._decoder.eof:
                if not data:
                    return
                if self._decoder is not None and _CODINGS[self._coding] != _GZIP:
                    raise zlib.error("data after the end")
                self._decoder = zlib.decompressobj(_container(self._coding, data))
            step = min(self._room, _STEP)
            part = self._decoder.decompress(data, step)
            self._parts.append(part)
            self._room -= len(part)
            if self._room <= 0:
                raise _too_large(self._limit)
            decoder = self._decoder
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if not data and len(part) < step:
                return

    def finish(self) -> bytes:
        """Return the decoded body; raises zlib.error if it is incomplete."""
        if self._decoder is not None and not self._decoder.eof:
            raise zlib.error("incomplete")
        return b"".join(self._parts)


async def _inflate(request: Request, coding: str, limit: int, time: TimeSource) -> bytes:
    inflater = _Inflater(coding, limit)
    try:
        while not request.at_end():
            inflater.feed(await _next(request, time))
        return inflater.finish()
    except zlib.error:
        detail = f"the body is not valid {coding}, or is incomplete"
        raise Problem("malformed-body", detail, close=True) from None


def _container(coding: str, first: bytes) -> int:
    """Return zlib's wbits; some clients send `deflate` without zlib's container."""
    wbits = _CODINGS[coding]
    if wbits == _ZLIB:
        header = int.from_bytes(first[:2].ljust(2, b"\0"), "big")
        if header >> 8 & 0x0F != 8 or (len(first) > 1 and header % 31):
            return -_ZLIB
    return wbits


def _too_large(limit: int) -> Problem:
    return Problem("body-too-large", f"the body exceeds {limit} bytes", close=True)


@lru_cache(maxsize=256)
def is_json(content_type: str) -> bool:
    """Return whether a Content-Type is application/json or ends in +json."""
    media = content_type.partition(";")[0].strip().lower()
    kind, slash, rest = media.partition("/")
    return media == "application/json" or (bool(kind and slash) and rest.endswith("+json"))


def require_json(content_type: str) -> None:
    """Refuse a body for a route with a schema that is not declared as JSON."""
    if not is_json(content_type):
        detail = "this route requires Content-Type: application/json"
        raise Problem("unsupported-media-type", detail, headers={"Accept": "application/json"})


def check_body(body: bytes, content_type: str, schema: CompiledSchema | None) -> None:
    """Refuse a body that must be JSON and is not, or that does not match the schema. Its
    Content-Type is JSON if there is one: see `require_json`.
    """
    if schema is None:
        if body and is_json(content_type):
            _parse(body)
        return
    faults = validate(schema, _parse(body))
    if faults:
        raise Problem(
            "invalid-body",
            "the body does not match the route's schema",
            members={"errors": [{"pointer": pointer, "detail": text} for pointer, text in faults]},
        )


def _parse(body: bytes) -> object:
    try:
        return parse_json(body)
    except MalformedBody as error:
        raise Problem("malformed-body", str(error)) from None
