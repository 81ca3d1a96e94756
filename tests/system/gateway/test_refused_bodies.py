"""Requests that are refused while their client is still sending: it reads the response."""

import asyncio
import logging
from pathlib import Path

import pytest

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from support.http.fixtures import http_mode, store
from support.http.gateway import JSON, Site, endpoint, serving

__all__ = ["http_mode", "store"]

POST = b"POST /reports/7 HTTP/1.1\r\nHost: localhost\r\n"
LONG = b"Content-Length: 8000000\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSALS = {
    "origin": (POST + b"Sec-Fetch-Site: cross-site\r\n" + LONG, 403),
    "path": (b"POST /nope HTTP/1.1\r\nHost: localhost\r\n" + LONG, 404),
    "method": (b"PUT /reports/7 HTTP/1.1\r\nHost: localhost\r\n" + LONG, 405),
    "size": (POST + LONG, 413),
    "size of chunks": (POST + CHUNKED, 413),
    "encoding": (POST + b"Content-Encoding: br\r\n" + LONG, 415),
    "content type": (
        b"POST /checked HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n" + LONG,
        415,
    ),
    "header": (POST + b"Job-Delay: soon\r\n" + LONG, 400),
    "framing": (POST + LONG + CHUNKED, 400),
}
OF_AIOHTTP = {"framing"}
"""Refused by aiohttp's own parser, which closes the connection, without the fast path."""
PIECE = b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n"


async def _send(site: Site, head: bytes, pause: float = 0.0) -> bytes:
    """Send 4 MB, and only then read the response; `pause`: seconds between pieces of 100 kB."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head + b"\r\n")
    for _ in range(40):
        writer.write(PIECE)
        await asyncio.wait_for(writer.drain(), 20)
        await asyncio.sleep(pause)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_client_that_sends_first_reads_the_refusal(
    why: str, http_mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    if http_mode != "fast path" and why in OF_AIOHTTP:
        return
    head, status = REFUSALS[why]
    async with serving(MemoryStore()) as site:
        answer = await _send(site, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("why", ["size", "path", "framing"])
async def test_a_slow_one_too(why: str, http_mode: str) -> None:
    if http_mode != "fast path" and why in OF_AIOHTTP:
        return
    head, status = REFUSALS[why]
    async with serving(MemoryStore()) as site:
        answer = await _send(site, head, 0.07)  # longer than it may be silent
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer


async def test_without_a_token(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    async with serving(MemoryStore(), auth_tokens_file=tokens) as site:
        answer = await _send(site, POST + LONG)
    assert answer.startswith(b"HTTP/1.1 401 "), answer


async def test_a_silent_client_is_disconnected_and_nothing_logged(
    http_mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    left_out = {"size of chunks", *(() if http_mode == "fast path" else OF_AIOHTTP)}
    async with serving(MemoryStore()) as site:
        for head, _ in (REFUSALS[why] for why in REFUSALS if why not in left_out):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(head + b"\r\n")
            answer = await asyncio.wait_for(reader.read(), 20)
            assert answer.count(b"HTTP/1.1 ") == 1, answer
            writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


BODY = b'{"a": "' + b"x" * 400_000 + b'"}'
SIZED = b"Content-Length: %d\r\nContent-Type: application/json\r\n" % len(BODY)
KEYED = POST + SIZED + b"Idempotency-Key: k\r\n"
READ = {
    "breaks its schema": (POST.replace(b"reports/7", b"checked") + SIZED, 422),
    "another body": (KEYED, 422),
    "job gone": (KEYED, 410),
    "queue full": (POST + SIZED, 429),
    "store away": (POST + SIZED, 503),
}
"""Heads of requests that are refused for their body, or once it has been read."""


async def _unavailable(_: object) -> None:
    raise StoreUnavailable("it is away")


async def _refusing(site: Site, why: str) -> None:
    """Make a request of READ be refused."""
    if why in {"another body", "job gone"}:
        first = BODY if why == "job gone" else b"{}"
        keyed = {"Idempotency-Key": "k", **JSON}
        answer = await site.ask("POST", "/reports/7", data=first, headers=keyed)
        assert answer.status == 202
        if why == "job gone":
            await site.complete(await site.claim())
            gone = await site.ask("DELETE", f"{answer.headers['Location']}?purge=true")
            assert gone.status == 204
    elif why == "queue full":
        await site.accepted()


@pytest.mark.parametrize("why", READ)
async def test_a_refusal_after_the_body_leaves_the_connection_usable(
    why: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, status = READ[why]
    limits = {"queue": {"maxDepth": 1}} if why == "queue full" else {}
    if why == "store away":
        monkeypatch.setattr(store, "enqueue", _unavailable)
    async with serving(store, endpoint(**limits)) as site:
        await _refusing(site, why)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head + b"\r\n")
        for at in range(0, len(BODY), 100_000):
            await asyncio.sleep(0.01)
            writer.write(BODY[at : at + 100_000])
        writer.write(b"GET /docs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert b"HTTP/1.1 200 OK" in answer
