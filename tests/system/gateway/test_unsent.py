"""Clients that do not read what they requested."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Result
from asyncendpoints_core.store.memory import MemoryStore
from support.http.fixtures import http_mode
from support.http.gateway import Site, serving

__all__ = ["http_mode"]

UNSENT = "asyncendpoints_gateway.server.unsent."
SIZE = 8_000_000


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(MemoryStore()) as running:
        yield running


async def _large_result(site: Site) -> str:
    job_id = await site.accepted()
    await site.complete(await site.claim(), Result("application/x", bytes(SIZE)))
    return f"/jobs/{ids.text(job_id)}/result"


@pytest.fixture
def unread() -> Iterator[ExitStack]:
    with ExitStack() as sockets:
        yield sockets


async def _request(site: Site, path: str, sockets: ExitStack) -> socket.socket:
    """Request something over a connection with a small buffer, and read nothing of the answer."""
    client = sockets.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", site.port))
    await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    return client


async def _is_closed(client: socket.socket) -> bool:
    """Read to the end; return whether the end came before the whole response."""
    received = 0
    try:
        while data := await asyncio.wait_for(
            asyncio.get_running_loop().sock_recv(client, 1_000_000), 20
        ):
            received += len(data)
            if received > SIZE:
                return False
    except ConnectionError:
        pass
    return True


def _connections(site: Site) -> int:
    assert site.server._http is not None
    return len(site.server._http.connections)


def _unsent(site: Site) -> int:
    watched = site.server.gateway.unsent._watched
    return sum(transport.get_write_buffer_size() for transport in watched)


async def test_a_client_that_does_not_read_is_disconnected(
    site: Site, unread: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UNSENT + "PERIOD_SECONDS", 0.2)
    monkeypatch.setattr(UNSENT + "SWEEP_SECONDS", 0.05)
    path = await _large_result(site)
    client = await _request(site, path, unread)
    for expected in (2, 1):  # with that of the session
        while _connections(site) != expected:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
    assert await _is_closed(client)
    assert len((await site.ask("GET", path)).body) == SIZE


async def test_unsent_bytes_of_all_connections_are_bounded(
    site: Site, unread: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(UNSENT + "MAX_UNSENT_BYTES", 3 * SIZE)
    monkeypatch.setattr(UNSENT + "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(UNSENT + "SWEEP_SECONDS", 0.05)
    path = await _large_result(site)
    clients = []
    for _ in range(10):
        clients.append(await _request(site, path, unread))
        assert len((await site.ask("GET", path)).body) == SIZE  # others read theirs
    while _unsent(site) > 3 * SIZE:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    assert "that did not read their responses" in caplog.text
    assert sum([await _is_closed(client) for client in clients]) >= 6
