"""A gateway in a process of its own under clients that waste its connections, all on loopback."""

import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

GATEWAY = """
import asyncio
from contextlib import suppress
import uvloop
from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs.records import Result, complete
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.serve import Server
from support.http.gateway import endpoint
from support.store.stores import hand

async def main():
    store = MemoryStore()
    server = Server(endpoint(), store, Settings(http_port=0), owns_policy=True)
    await server.start()
    print(server.port, flush=True)
    worker = await hand(store, "w")
    with suppress(WorkerGone):  # after its lease; the large result exists by then
        while True:
            if grants := await worker.take():
                sizes = [1_000_000 * (one.job.name == "latest") for one in grants]
                await store.settle([
                    complete(one.claim, Result("x/y", bytes(size)))
                    for one, size in zip(grants, sizes)
                ])
            await asyncio.sleep(0.02)
    await asyncio.Event().wait()

uvloop.run(main())
"""


class Gateway:
    """A running gateway: its port, and its process."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def memory(self) -> int:
        """Return the resident bytes of the process (Linux)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1_024


@contextmanager
def gateway() -> Iterator[Gateway]:
    """Run a gateway whose jobs complete at once, those named `latest` with a result of 1 MB."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # inherited
    tests = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY], stdout=subprocess.PIPE, text=True, cwd=tests
    )
    try:
        assert process.stdout is not None
        yield Gateway(int(process.stdout.readline()), process.pid)
    finally:
        process.kill()
        process.communicate()


async def p99(ports: Sequence[int], requests: int, path: str = "/reports/7") -> list[float]:
    """Return for each gateway the 99th percentile of the seconds that a submission and a read of
    it take. They take turns, so that what else the machine does is the same for all.
    """
    taken: list[list[float]] = [[] for _ in ports]
    async with aiohttp.ClientSession() as session:
        for index in range(requests * len(ports)):
            base = f"http://127.0.0.1:{ports[index % len(ports)]}"
            begun = time.perf_counter()
            async with session.post(base + path, data=b"x") as answer:
                assert answer.status == 202
                location = answer.headers["Location"]
            async with session.get(base + location) as answer:
                assert answer.status == 200
            taken[index % len(ports)].append(time.perf_counter() - begun)
    return [statistics.quantiles(each, n=100)[98] for each in taken]


@asynccontextmanager
async def connections(port: int, count: int, data: bytes) -> AsyncIterator[list[asyncio.Transport]]:
    """Open connections that send `data` and read nothing."""
    loop = asyncio.get_running_loop()
    opened: list[asyncio.Transport] = []

    async def one() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        transport.pause_reading()
        transport.write(data)
        opened.append(transport)

    try:
        for start in range(0, count, 100):
            await asyncio.gather(*(one() for _ in range(min(100, count - start))))
        yield opened
    finally:
        for transport in opened:
            transport.abort()
        await asyncio.sleep(0)
