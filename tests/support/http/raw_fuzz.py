"""Hostile HTTP over raw sockets: generated streams of bytes, a corpus of hard ones, and what two
gateways must make of them: one with the fast path, one with aiohttp's public interface.
"""

import ast
import asyncio
import logging
import queue
import re
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from logging.handlers import QueueHandler
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings

from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.fast_path import probe
from support.http.gateway import Site, endpoint, serving
from support.http.raw_streams import Pieces, hostile_streams, valid_streams

CORPUS = Path(__file__).with_name("corpus")
PATIENCE = 0.1
"""Seconds without an answer after which the client ends a connection."""
LAST = b"GET /jobs?limit=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
"""Ends the connection if the server takes it for a request of its own."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")


def corpus() -> dict[str, Pieces]:
    """Return the kept streams by name: in the files each line is a piece, with Python's escapes."""
    return {
        path.stem: tuple(
            ast.literal_eval(f'b"{line}"') for line in path.read_text("ascii").splitlines()
        )
        for path in sorted(CORPUS.glob("*.txt"))
    }


@asynccontextmanager
async def both_gateways() -> AsyncIterator[tuple[Site, Site]]:
    """Run a gateway with the fast path, and one with aiohttp's public interface."""
    deep = {"queue": {"maxDepth": 1_000_000}}
    async with serving(MemoryStore(), endpoint(**deep)) as fast:
        assert fast.server.gateway.metrics.fast_path
        with patch.object(probe, "differences", lambda: ["a test"]):
            async with serving(MemoryStore(), endpoint(**deep)) as ordinary:
                assert not ordinary.server.gateway.metrics.fast_path
                yield fast, ordinary


async def exchange(site: Site, pieces: Pieces, patience: float = PATIENCE) -> tuple[bytes, str]:
    """Send pieces and LAST over one connection; return the answers, and how it ended: "closed" by
    the server, "reset" by it while the client was sending, when answers may be lost, or "open".

    Raises TimeoutError if it stays open when the client has ended its side.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    received = bytearray()
    try:
        for piece in (*pieces, LAST):
            writer.write(piece)
            for _ in range(3):  # both ends are in this loop: the server reads this piece alone
                await asyncio.sleep(0)
        while data := await asyncio.wait_for(reader.read(65_536), patience):
            received += data
    except ConnectionError:
        return bytes(received), "reset"
    except TimeoutError:
        with suppress(ConnectionError):
            writer.write_eof()
            received += await asyncio.wait_for(reader.read(), 20)
        return bytes(received), "open"
    finally:
        writer.close()
    return bytes(received), "closed"


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of the responses, without 100."""
    found = [int(status) for status in _STATUS.findall(answer)]
    return [status for status in found if status != 100]


def check(answer: bytes) -> None:
    """Assert that no response is an internal error or repeats what is inside the server."""
    assert not {500, 502, 504} & set(statuses(answer)), answer
    assert b"Traceback" not in answer, answer
    assert b"aiohttp." not in answer, answer


async def is_answered(site: Site) -> None:
    """Assert that a new connection submits a job."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(
        b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
    )
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 202 "), answer


async def withstand(fast: Site, ordinary: Site, pieces: Pieces) -> None:
    """Send a stream to both gateways; what the fast path accepts the other one accepts too."""
    (one, ended), (other, also_ended) = await asyncio.gather(
        exchange(fast, pieces), exchange(ordinary, pieces)
    )
    for answer in (one, other):
        check(answer)
    await asyncio.gather(is_answered(fast), is_answered(ordinary))
    if ended == also_ended == "closed":
        # aiohttp's public interface answers what its parser refuses as 400, and that is the last.
        compared = zip(statuses(one), statuses(other), strict=False)
        for number, (status, expected) in enumerate(compared):
            assert (status == 202) == (expected == 202), (number, one, other)


async def answers_alike(fast: Site, ordinary: Site, requests: list[bytes], pieces: Pieces) -> None:
    """Send valid requests to both gateways: all are answered, and alike."""
    expected: list[int] | None = None
    for site in (fast, ordinary):
        answer, ended = await exchange(site, pieces, 20)
        check(answer)
        found = statuses(answer)
        assert ended != "open", (pieces, answer)
        if ended == "reset":  # one was refused before all had arrived
            return
        # One that is refused before its body has arrived ends the connection, and says so.
        complete = len(found) == len(requests) + 1
        assert complete or b"\r\nConnection: close\r\n" in answer, (pieces, answer)
        if expected is not None and complete:
            assert found[: len(expected)] == expected, pieces
        expected = found if complete else None


@contextmanager
def nothing_logged() -> Iterator[None]:
    """Assert that nothing was logged as an error meanwhile."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = QueueHandler(records)
    handler.setLevel(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert records.empty(), records.get().getMessage()


def peak_memory() -> int:
    """Return the most resident bytes of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024


async def is_quiet(site: Site) -> None:
    """Wait until a gateway has closed every connection."""
    http = site.server._http
    assert http is not None
    async with asyncio.timeout(20):
        while http.connections:  # noqa: ASYNC110  # aiohttp has no signal for it
            await asyncio.sleep(0.01)


def fuzz(*, hostile: int, valid: int) -> None:
    """Send so many generated streams to both gateways: nothing is logged, memory is bounded."""
    before = peak_memory()
    few = settings(suppress_health_check=list(HealthCheck), deadline=None)
    with asyncio.Runner() as runner, nothing_logged():
        gateways = both_gateways()
        sites = runner.run(gateways.__aenter__())

        @settings(few, max_examples=hostile)
        @given(hostile_streams())
        def broken(pieces: Pieces) -> None:
            runner.run(withstand(*sites, pieces))

        @settings(few, max_examples=valid)
        @given(valid_streams())
        def sound(stream: tuple[list[bytes], Pieces]) -> None:
            runner.run(answers_alike(*sites, *stream))

        try:
            broken()
            sound()
            for site in sites:
                runner.run(is_quiet(site))
        finally:
            runner.run(gateways.__aexit__(None, None, None))
    assert peak_memory() - before < 300_000_000
