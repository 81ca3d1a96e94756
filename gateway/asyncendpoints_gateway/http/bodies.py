"""Request bodies: read up to the limit, gzip and deflate undone, JSON held against the schema.

The limit counts decoded bytes, and no more than that is ever decoded, so a small body cannot
become a large one. A body that is too large is not read to its end.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiohttp import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from asyncendpoints_core.errors import MalformedBody
from asyncendpoints_core.resource.schemas import CompiledSchema, parse_json, validate
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import StreamReader, web

STALL_SECONDS: Final = 30.0
"""How long a body may bring nothing new before its connection is given up."""
_STEP: Final = 65_536
_GZIP: Final = 31  # zlib's wbits name the container
_ZLIB: Final = 15
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


async def read_body(
    request: web.BaseRequest, given: Mapping[str, str], limit: int, *, decoded: bool = False
) -> bytes:
    """Return the body, at most `limit` bytes of it after decoding. `given`: see headers.Sifted.

    `decoded`: the server in front (a user's own application) has undone gzip and deflate already.
    """
    coding = _coding(given["content-encoding"]) if "content-encoding" in given else None
    if coding is None and int(given.get("content-length", 0)) > limit:
        raise _too_large(limit)
    if "expect" in given:
        await _continue(request, given["expect"])
    if coding is not None and not decoded:
        return await _inflate(_chunks(request), coding, limit)
    content = request.content
    if content.at_eof():
        return b""
    first = await _next(content)
    if content.at_eof():
        if len(first) > limit:
            raise _too_large(limit)
        return first
    parts, size = [first], len(first)
    async for chunk in _chunks(request):
        if size > limit:
            break
        parts.append(chunk)
        size += len(chunk)
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


async def _continue(request: web.BaseRequest, expect: str) -> None:
    """Answer `Expect: 100-continue` (RFC 9110 §10.1.1): the client waits for it with its body."""
    if expect.lower() == "100-continue" and request.version >= (1, 1):
        if request.content.is_eof():
            return
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def _coding(value: str) -> str | None:
    name = value.strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in _CODINGS:
        raise Problem(
            "unsupported-media-type",
            "the body's Content-Encoding is gzip, deflate or none, one of them alone",
            headers={"Accept-Encoding": "gzip, deflate"},
            close=True,
        )
    return name


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    content = request.content
    while not content.at_eof():
        chunk = await _next(content)
        if chunk:
            yield chunk


async def _next(content: StreamReader) -> bytes:
    """Return what has come of the body by now, or what comes next."""
    try:
        ready = content.read_nowait(-1)
        if ready or content.at_eof():
            return ready
        async with asyncio.timeout(STALL_SECONDS):
            return await content.readany()
    except TimeoutError:
        raise Problem("malformed-body", "the body stopped half-way", close=True) from None
    except (RequestPayloadError, HttpProcessingError, ClientPayloadError):
        raise Problem("malformed-body", "the body's framing is broken", close=True) from None


class _Inflater:
    """Decodes step by step, and stops as soon as more than `limit` bytes came out."""

    def __init__(self, coding: str, limit: int) -> None:
        self._coding = coding
        self._limit = limit
        self._decoder: zlib._Decompress | None = None
        self._parts: list[bytes] = []
        self._room = limit + 1

    def feed(self, data: bytes) -> None:
        """Decode `data`; of gzip, several members may follow each other (RFC 1952 §2.2)."""
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
        """Return everything, which must be whole."""
        if self._decoder is not None and not self._decoder.eof:
            raise zlib.error("cut short")
        return b"".join(self._parts)


async def _inflate(chunks: AsyncIterator[bytes], coding: str, limit: int) -> bytes:
    inflater = _Inflater(coding, limit)
    try:
        async for chunk in chunks:
            inflater.feed(chunk)
        return inflater.finish()
    except zlib.error:
        detail = f"the body is not {coding}, or is cut short"
        raise Problem("malformed-body", detail, close=True) from None


def _container(coding: str, first: bytes) -> int:
    """Return zlib's wbits; `deflate` comes in zlib's container, or bare from some clients."""
    wbits = _CODINGS[coding]
    if wbits == _ZLIB:
        header = int.from_bytes(first[:2].ljust(2, b"\0"), "big")
        if header >> 8 & 0x0F != 8 or (len(first) > 1 and header % 31):
            return -_ZLIB
    return wbits


def _too_large(limit: int) -> Problem:
    return Problem("body-too-large", f"a body has at most {limit} bytes", close=True)


@lru_cache(maxsize=256)
def is_json(content_type: str) -> bool:
    """Tell whether a Content-Type is application/json or ends in +json."""
    media = content_type.partition(";")[0].strip().lower()
    kind, slash, rest = media.partition("/")
    return media == "application/json" or (bool(kind and slash) and rest.endswith("+json"))


def check_body(body: bytes, content_type: str, schema: CompiledSchema | None) -> None:
    """Refuse a body that is no JSON where it must be, or that the schema does not allow."""
    json = is_json(content_type)
    if schema is None:
        if json and body:
            _parse(body)
        return
    if not json:
        detail = "this route takes application/json"
        if not content_type:
            detail += "; say so in Content-Type"
        raise Problem("unsupported-media-type", detail, headers={"Accept": "application/json"})
    faults = validate(schema, _parse(body))
    if faults:
        raise Problem(
            "invalid-body",
            "the body does not match the route's schema",
            members={"errors": [{"pointer": place, "detail": text} for place, text in faults]},
        )


def _parse(body: bytes) -> object:
    try:
        return parse_json(body)
    except MalformedBody as error:
        raise Problem("malformed-body", str(error)) from None
