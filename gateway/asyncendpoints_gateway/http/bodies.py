"""Request bodies: read up to the limit, gzip and deflate decoded, JSON checked against the schema.

The limit counts decoded bytes, and decoding stops at it, so a small body cannot become a large one;
encoded bytes have about the same limit. The rest of a body that is too large is not read.
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
BODY_SECONDS: Final = 60.0
BODY_BYTES_PER_SECOND: Final = 16_384
"""A body may take BODY_SECONDS, and the time for the largest one at this rate."""
MAX_MEMBERS: Final = 1_000
_STEP: Final = 65_536
_STEPS_AT_ONCE: Final = 8  # about a millisecond
_GZIP: Final = 31  # zlib's wbits select the container
_ZLIB: Final = 15
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


async def read_body(
    request: Request, given: Mapping[str, str], limit: int, time: TimeSource
) -> bytes:
    """Return the decoded body of at most `limit` bytes. `given`: see SubmissionHeaders."""
    coding = _coding(given["content-encoding"]) if "content-encoding" in given else None
    inflated = coding is not None and not request.decoded
    # Deflate adds up to 5 bytes to each 16 KiB that cannot be compressed, gzip also its header.
    most = limit + limit // 1_000 + 1_024 if inflated else limit
    if int(given.get("content-length", 0)) > most and (coding is None or inflated):
        raise _too_large(limit)
    if "expect" in given and given["expect"].lower() == "100-continue":
        await request.send_continue()  # RFC 9110 §10.1.1: the client waits for it
    reader = _Reader(request, time, BODY_SECONDS + limit / BODY_BYTES_PER_SECOND)
    if coding is not None and inflated:
        return await _inflate(reader, coding, limit, most)
    parts: list[bytes] = []
    size = 0
    while not request.at_end():
        part = await reader.next()
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


class _Reader:
    """Reads a body within `seconds`."""

    def __init__(self, request: Request, time: TimeSource, seconds: float) -> None:
        self.request = request
        self._time = time
        self._until = time.monotonic() + seconds

    async def next(self) -> bytes:
        """Return what has arrived of the body, or wait for the next part."""
        try:
            left = self._until - self._time.monotonic()
            if left <= 0:
                raise TimeoutError
            ready = self.request.read_nowait()
            if ready or self.request.at_end():
                return ready
            async with self._time.timeout(min(STALL_SECONDS, left)):
                return await self.request.read()
        except TimeoutError:
            raise Problem("malformed-body", "the body is incomplete", close=True) from None
        except BodyError:
            raise Problem(
                "malformed-body", "the framing of the body is not valid", close=True
            ) from None

    async def pause(self) -> None:
        """Let other requests have the event loop."""
        await self._time.sleep(0)


class _Inflater:
    """Decodes step by step, and stops once the output exceeds `limit` bytes."""

    def __init__(self, coding: str, limit: int) -> None:
        self._coding = coding
        self._limit = limit
        self._decoder: zlib._Decompress | None = None
        self._parts: list[bytes] = []
        self._room = limit + 1
        self._members = 0

    def step(self, data: bytes) -> bytes | None:
        """Decode at most _STEP bytes of `data`; return what is left to decode, None at the end."""
        decoder = self._decoder
        if decoder is None or decoder.eof:
            decoder = self._next_member(data)
        step = min(self._room, _STEP)
        part = decoder.decompress(data, step)
        self._parts.append(part)
        self._room -= len(part)
        if self._room <= 0:
            raise _too_large(self._limit)
        data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        # Without input there may still be output.
        return data if data or (len(part) == step and not decoder.eof) else None

    def _next_member(self, data: bytes) -> zlib._Decompress:
        """Begin with a member: gzip may have several (RFC 1952 §2.2)."""
        if self._decoder is not None and _CODINGS[self._coding] != _GZIP:
            raise zlib.error("data after the end")
        self._members += 1
        if self._members > MAX_MEMBERS:
            detail = f"the body has more than {MAX_MEMBERS} gzip members"
            raise Problem("body-too-large", detail, close=True)
        self._decoder = decoder = zlib.decompressobj(_container(self._coding, data))
        return decoder

    def finish(self) -> bytes:
        """Return the decoded body; raises zlib.error if it is incomplete."""
        if self._decoder is not None and not self._decoder.eof:
            raise zlib.error("incomplete")
        return b"".join(self._parts)


async def _inflate(reader: _Reader, coding: str, limit: int, most: int) -> bytes:
    inflater = _Inflater(coding, limit)
    size = steps = 0
    try:
        while not reader.request.at_end():
            data = await reader.next()
            size += len(data)
            if size > most:
                raise _too_large(limit)
            rest: bytes | None = data or None
            while rest is not None:
                rest = inflater.step(rest)
                steps += 1
                if steps % _STEPS_AT_ONCE == 0:
                    await reader.pause()
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
    if content_type == "application/json":  # most bodies
        return True
    media = content_type.partition(";")[0].strip().lower()
    kind, slash, rest = media.partition("/")
    return media == "application/json" or (bool(kind and slash) and rest.endswith("+json"))


def require_json(content_type: str) -> None:
    """Refuse a body for a route with a schema that is not declared as JSON."""
    if not is_json(content_type):
        detail = "this route requires Content-Type: application/json"
        raise Problem("unsupported-media-type", detail, headers={"Accept": "application/json"})


def check_body(body: bytes, schema: CompiledSchema | None) -> object:
    """Return the value of a body; refuse one that is not JSON, or does not match the schema."""
    value = parse(body)
    faults = [] if schema is None else validate(schema, value)
    if faults:
        raise Problem(
            "invalid-body",
            "the body does not match the route's schema",
            members={"errors": [{"pointer": pointer, "detail": text} for pointer, text in faults]},
        )
    return value


def parse(body: bytes) -> object:
    """Return the value of a JSON body, or raise the 400."""
    try:
        return parse_json(body)
    except MalformedBody as error:
        raise Problem("malformed-body", str(error)) from None
