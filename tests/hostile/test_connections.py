"""Many connections that do nothing useful, and what other clients notice of them. Loopback only."""

import asyncio
import time

import aiohttp
import pytest

from support.http.load import connections, gateway, p99

REQUESTS = 500
NOISE = 0.02
"""Seconds that a machine with other work may add to one gateway alone."""
HEAD = b"POST /reports/7 HTTP/1.1\r\nHost: localhost\r\n"


async def _result(port: int) -> bytes:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        headers = {"Prefer": "wait=20"}
        async with session.post("/reports/latest", data=b"x", headers=headers) as answer:
            assert answer.status == 200
            return f"GET {answer.headers['Location']}/result HTTP/1.1\r\n".encode()


@pytest.mark.parametrize("kind", ["idle", "slow loris", "slow body", "unread results"])
async def test_others_are_served_as_before(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with gateway() as served, gateway() as quiet:
        port = served.port
        if kind == "idle":
            count, data = 10_000, b""
        elif kind == "slow loris":
            count, data = 1_000, HEAD + b"X-A: b"
        elif kind == "slow body":
            count, data = 1_000, HEAD + b"Content-Length: 100000\r\n\r\nabc"
        else:
            count, data = 1_000, await _result(port) + b"Host: localhost\r\n\r\n"
        await p99((port, quiet.port), 100)
        memory = served.memory()
        async with connections(port, count, data) as opened:
            dripping = asyncio.create_task(_drip(opened)) if kind.startswith("slow") else None
            found, own = await p99((port, quiet.port), REQUESTS)
            more = served.memory() - memory
            with capsys.disabled():
                figures = f"{found * 1_000:.1f} ms, its own {own * 1_000:.1f} ms"
                print(f"\n{count} x {kind}: p99 of others {figures}; {more >> 20} MiB")
            assert found < 2 * own + NOISE
            assert more < 400_000_000
            if dripping is not None:
                dripping.cancel()


async def _drip(opened: list[asyncio.Transport]) -> None:
    """Send one byte over each connection every two seconds."""
    while True:
        for transport in opened:
            if not transport.is_closing():
                transport.write(b"y")
        await asyncio.sleep(2)


async def test_they_end() -> None:
    with gateway() as served:
        results = await _result(served.port) + b"Host: localhost\r\n\r\n"
        async with (
            connections(served.port, 20, b"") as idle,
            connections(served.port, 20, HEAD + b"X-A: b") as heads,
            connections(served.port, 20, HEAD + b"Content-Length: 9\r\n\r\n") as bodies,
            connections(served.port, 20, results) as unread,
        ):
            for transport in (*idle, *heads, *bodies):
                transport.resume_reading()
            begun = time.monotonic()
            everything = (*idle, *heads, *bodies, *unread)
            while not all(transport.is_closing() for transport in everything):
                assert time.monotonic() - begun < 110
                for transport in unread:  # notices a reset
                    transport.write(b"\r\n")
                await asyncio.sleep(1)
