"""The fast path of plain submissions: it answers and stores as the ordinary path does."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Request
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_gateway.server.fast_path.connection import FastConnection, FastSubmissions
from support.http.fixtures import site, store
from support.http.gateway import Site, endpoint, serving

__all__ = ["site", "store"]

JSON = b"Content-Type: application/json\r\n"
TRACE = b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"


def post(path: bytes, headers: bytes = b"", body: bytes = b"", method: bytes = b"POST") -> bytes:
    """Return a complete request, its Content-Length last."""
    return (
        b"%b %b HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n"
        % (method, path, headers, len(body))
        + body
    )


# Both paths accept or refuse these alike.
PLAIN = {
    "literal": post(b"/reports/latest", JSON, b'{"a": 1}'),
    "parameter": post(b"/reports/7", JSON, b"[]"),
    "escaped parameter": post(b"/reports/a%2Fb", b"", b"text"),
    "other method": post(b"/things/1/parts/2", JSON, b"{}", b"PATCH"),
    "no body": post(b"/reports/latest"),
    "not JSON": post(b"/reports/latest", b"Content-Type: text/plain\r\n", b"{"),
    "kept headers": post(b"/reports/7", b"X-Tenant: a\r\nX-Tenant: b\r\nUser-Agent: u\r\n", b"x"),
    "trace": post(b"/reports/7", TRACE, b"x"),
    "broken trace": post(b"/reports/7", b"Traceparent: 00-1-2-3\r\nTracestate: a=b\r\n", b"x"),
    "delay": post(b"/reports/7", b"Job-Delay: 60\r\nJob-Priority: high\r\n", b"x"),
    "tags": post(b"/reports/7", b"Job-Tags: a,b\r\nJob-Tags: c\r\n", b"x"),
    "schema": post(b"/checked", JSON, b'{"a": 3}'),
    "refused: delay": post(b"/reports/7", b"Job-Delay: soon\r\n", b"x"),
    "refused: twice": post(b"/reports/7", b"Job-Delay: 1\r\nJob-Delay: 2\r\n", b"x"),
    "refused: tags": post(b"/reports/7", b"Job-Tags: a b\r\n", b"x"),
    "refused: key": post(b"/reports/7", b"Idempotency-Key: \xc3\xa4\r\n", b"x"),
    "refused: JSON": post(b"/reports/7", JSON, b'{"a":'),
    "refused: schema": post(b"/checked", JSON, b'{"a": -3}'),
    "refused: not JSON": post(b"/checked", b"Content-Type: text/plain\r\n", b"1"),
}
# These never take the fast path.
OTHERS = {
    "query": post(b"/reports/7?a=b", b"", b"x"),
    "malformed path": post(b"/reports/%ff", b"", b"x"),
    "unknown path": post(b"/report", b"", b"x"),
    "method": post(b"/reports/7", method=b"PUT"),
    "gzip": post(b"/reports/7", b"Content-Encoding: gzip\r\n", b"no gzip"),
    "too large": post(b"/reports/7", b"", b"x" * 3_000),
    "HTTP/1.0": post(b"/reports/7", b"", b"x").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "last": post(b"/reports/7", b"Connection: close\r\n", b"x"),
    "wait": post(b"/reports/7", b"Prefer: wait=0\r\n", b"x"),
    "chunked": b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\nx\r\n0\r\n\r\n",
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request so far took the fast path."""
    found: list[bool] = []
    take = FastSubmissions.take

    def watched(self: FastSubmissions, *args: Any) -> bool:
        found.append(take(self, *args))
        return found[-1]

    monkeypatch.setattr(FastSubmissions, "take", watched)
    return found


class Wire:
    """A connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers["Content-Length"]))
        return int(first.split()[1]), headers, body


@asynccontextmanager
async def wire(site: Site) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def exchange(site: Site, *pieces: bytes) -> tuple[Any, Request | None]:
    """Send a request in pieces; return its response without the varying parts, and the job's
    request as a worker gets it.
    """
    async with wire(site) as line:
        for piece in pieces:
            line.writer.write(piece)
            await line.writer.drain()
            await asyncio.sleep(0.05 if len(pieces) > 1 else 0)  # a TCP segment each
        status, headers, body = await line.answer()
    del headers["Date"]
    stored = None
    if status == 202:
        job_id = ids.parse(headers["Location"].rpartition("/")[2])
        assert job_id is not None
        job = await site.record(job_id)
        if job.state is State.QUEUED:
            claimed = await site.claim()
            assert claimed.job.id == job_id
            stored = claimed.request
            await site.complete(claimed)
    varying = rb"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z"
    fixed = re.sub(varying, b"*", json.dumps(headers).encode() + b"\n" + body)
    return (status, fixed), stored


@pytest.mark.parametrize("name", PLAIN)
async def test_both_paths_answer_and_store_alike(site: Site, taken: list[bool], name: str) -> None:
    request = PLAIN[name]
    fast = await exchange(site, request)
    assert taken == [True]
    cut = request.index(b"Content-Length")
    assert await exchange(site, request[:cut], request[cut:]) == fast
    ordinary = FastSubmissions.take
    FastSubmissions.take = lambda *_: False  # type: ignore[method-assign]
    try:
        assert await exchange(site, request) == fast
    finally:
        FastSubmissions.take = ordinary  # type: ignore[method-assign]


@pytest.mark.parametrize("name", OTHERS)
async def test_what_is_not_plain_takes_the_ordinary_path(
    store: Store, taken: list[bool], name: str
) -> None:
    async with serving(store, endpoint(gateway={"maxBodyBytes": 2_048})) as site:
        status, _ = (await exchange(site, OTHERS[name]))[0]
        assert status < 500
        assert not any(taken)


async def test_with_cors_nothing_is_plain(store: Store, taken: list[bool]) -> None:
    cors = {"cors": {"allowOrigins": ["https://a.example"]}}
    async with serving(store, endpoint(gateway=cors)) as site, wire(site) as line:
        line.writer.write(post(b"/reports/7", b"Origin: https://a.example\r\n", b"x"))
        _, headers, _ = await line.answer()
        assert headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert taken == [False]


class Slow(MemoryStore):
    """A store whose submissions wait for an event."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.size = 0

    async def enqueue(self, jobs: Sequence[Any]) -> Any:
        self.size += len(jobs)
        self.entered.set()
        await self.gate.wait()
        return await super().enqueue(jobs)


@pytest.fixture
async def slow() -> AsyncIterator[tuple[Slow, Site]]:
    store = Slow()
    async with serving(store) as site:
        yield store, site
        store.gate.set()


async def test_requests_behind_a_submission_are_answered_in_order(
    slow: tuple[Slow, Site], taken: list[bool]
) -> None:
    store, site = slow
    async with wire(site) as line:
        line.writer.write(post(b"/reports/latest", b"", b"1"))
        await asyncio.wait_for(store.entered.wait(), 20)
        line.writer.write(b"GET /jobs/x HTTP/1.1\r\nHost: h\r\n\r\n")
        line.writer.write(post(b"/reports/latest", b"", b"2"))
        await asyncio.sleep(0.05)
        store.gate.set()
        assert [(await line.answer())[0] for _ in range(3)] == [202, 404, 202]
        # And on the connection that has seen both paths, the fast path once more.
        line.writer.write(post(b"/reports/latest", b"", b"3"))
        assert (await line.answer())[0] == 202
        assert taken == [True, True]


async def test_a_fault_behind_a_submission_comes_after_its_answer(slow: tuple[Slow, Site]) -> None:
    store, site = slow
    async with wire(site) as line:
        line.writer.write(post(b"/reports/latest", b"", b"1"))
        await asyncio.wait_for(store.entered.wait(), 20)
        line.writer.write(b"GARBAGE\r\n\r\n")
        await asyncio.sleep(0.05)
        store.gate.set()
        assert [(await line.answer())[0] for _ in range(2)] == [202, 400]
        assert await asyncio.wait_for(line.reader.read(), 20) == b""


async def test_a_disconnected_client_does_not_affect_others(
    slow: tuple[Slow, Site], caplog: pytest.LogCaptureFixture
) -> None:
    store, site = slow
    async with wire(site) as line, wire(site) as other:
        line.writer.write(post(b"/reports/latest", b"", b"1"))
        await asyncio.wait_for(store.entered.wait(), 20)
        other.writer.write(post(b"/reports/latest", b"", b"2"))
        line.writer.transport.abort()
        await asyncio.sleep(0.05)
        with caplog.at_level(logging.WARNING):
            store.gate.set()
            assert (await other.answer())[0] == 202
        assert not caplog.records
    assert (await store.stats()).counts[State.QUEUED] == 2


async def test_disconnecting_before_the_call_withdraws_the_submission(
    slow: tuple[Slow, Site],
) -> None:
    store, site = slow
    async with wire(site) as first, wire(site) as second, wire(site) as third:
        for line in (first, second):  # two calls are in progress; later items wait
            store.entered.clear()
            line.writer.write(post(b"/reports/latest", b"", b"1"))
            await asyncio.wait_for(store.entered.wait(), 20)
        third.writer.write(post(b"/reports/latest", b"", b"3"))
        while not site.server.gateway.enqueue.waiting:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        third.writer.transport.abort()
        await asyncio.sleep(0.05)
        store.gate.set()
        assert [(await line.answer())[0] for line in (first, second)] == [202, 202]
    assert store.size == 2


async def test_shutdown_answers_the_pending_submission_and_closes(slow: tuple[Slow, Site]) -> None:
    store, site = slow
    async with wire(site) as line:
        line.writer.write(post(b"/reports/latest", b"", b"1"))
        await asyncio.wait_for(store.entered.wait(), 20)
        stopping = asyncio.create_task(site.server.stop())
        await asyncio.sleep(0.05)
        store.gate.set()
        status, headers, _ = await line.answer()
        assert (status, headers.get("Connection")) == (202, "close")
        assert await asyncio.wait_for(line.reader.read(), 20) == b""
        await stopping


async def test_shutdown_does_not_wait_for_a_disconnected_client(
    slow: tuple[Slow, Site],
) -> None:
    store, site = slow
    async with wire(site) as line:
        line.writer.write(post(b"/reports/latest", b"", b"1"))
        await asyncio.wait_for(store.entered.wait(), 20)
        assert site.server._http is not None
        ending = asyncio.create_task(site.server._http.shutdown(60))
        await asyncio.sleep(0.05)
        line.writer.transport.abort()
        await asyncio.wait_for(ending, 20)


async def test_the_idle_timeout_spares_pending_submissions(
    slow: tuple[Slow, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, site = slow
    async with wire(site) as line, wire(site) as idle:
        line.writer.write(post(b"/reports/latest", b"", b"1"))
        await asyncio.wait_for(store.entered.wait(), 20)
        assert site.server._http is not None
        connections = site.server._http.connections
        assert len(connections) == 2
        for connection in connections:  # as if the timeout had expired
            assert isinstance(connection, FastConnection)
            connection._next_keepalive_close_time = 0
            connection._process_keepalive()
        assert await asyncio.wait_for(idle.reader.read(), 20) == b""
        store.gate.set()
        assert (await line.answer())[0] == 202
