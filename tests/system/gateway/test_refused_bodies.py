"""Requests that are refused while their client is still sending: it reads the response."""

import asyncio
import logging
from pathlib import Path

import pytest

from asyncendpoints_core.store.memory import MemoryStore
from support.http.gateway import Site, serving

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
    why: str, caplog: pytest.LogCaptureFixture
) -> None:
    head, status = REFUSALS[why]
    async with serving(MemoryStore()) as site:
        answer = await _send(site, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("why", ["size", "path", "framing"])
async def test_a_slow_one_too(why: str) -> None:
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
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(MemoryStore()) as site:
        for head, _ in (REFUSALS[why] for why in REFUSALS if why != "size of chunks"):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(head + b"\r\n")
            answer = await asyncio.wait_for(reader.read(), 20)
            assert answer.count(b"HTTP/1.1 ") == 1, answer
            writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
