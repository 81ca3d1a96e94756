"""What 1,000 long polls and 1,000 event streams do to a gateway, and what one of them costs.

Two gateways, each with a Redis of its own, answer the same submissions and reads in turn; one of
them also holds the polls and streams. Their cost is the gateway's processor time from the opening
of their connections to the last response, beside plain reads over as many new connections.
`python tests/bench/bench_waiting.py [--count N] [--requests N]` prints one JSON line.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import yaml

from bench.bench_typical import DOCUMENT, SPEC
from bench.machine import cpu_seconds
from support.cli import Command
from support.http.load import connections, p99
from support.redis.server import RedisServer

PATH = "/work"
HEADERS = {"poll": "", "stream": "Accept: text/event-stream\r\n", "read": ""}
QUERIES = {"poll": "?wait=60", "stream": "", "read": ""}


@contextmanager
def gateway(file: Path) -> Iterator[tuple[int, int]]:
    """Run a gateway, and no worker; gives its port and process."""
    environment = {"ASYNCENDPOINTS_LOG_FORMAT": "json"}
    options = ("--port", "0", "--admin-port", "0")
    with (
        RedisServer() as redis,
        Command("gateway", "--endpoint", file, "--redis", redis.url, *options, env=environment)
        as found,
    ):  # fmt: skip
        yield urlsplit(found.ready_in_log()).port or 0, found.process.pid


async def submitted(port: int) -> str:
    """Submit a job; return the path of its status."""
    url = f"http://127.0.0.1:{port}{PATH}"
    async with aiohttp.ClientSession() as session, session.post(url, json={"a": 1}) as answer:
        answer.raise_for_status()
        return answer.headers["Location"]


async def cancel(port: int, job: str) -> None:
    """Cancel a job that waits."""
    url = f"http://127.0.0.1:{port}{job}"
    async with aiohttp.ClientSession() as session, session.delete(url) as answer:
        answer.raise_for_status()


def request(kind: str, job: str) -> bytes:
    """Return the request of a poll, a stream or a plain read."""
    head = f"GET {job}{QUERIES[kind]} HTTP/1.1\r\nHost: localhost\r\n"
    return f"{head}{HEADERS[kind]}Connection: close\r\n\r\n".encode()


async def cost(port: int, pid: int, kind: str, count: int) -> float:
    """Return the gateway's microseconds for one poll, stream or read of a job that is canceled."""
    job = await submitted(port)
    before = cpu_seconds(pid)
    opened = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port) for _ in range(count))
    )
    for _, writer in opened:
        writer.write(request(kind, job))
    if kind != "read":
        await asyncio.sleep(2)  # until all of them wait
        await cancel(port, job)
    answers = await asyncio.gather(*(reader.read() for reader, _ in opened))
    if not all(answer.startswith(b"HTTP/1.1 200") for answer in answers):
        raise RuntimeError(f"answered {answers[0][:100]!r}")
    for _, writer in opened:
        writer.close()
    return (cpu_seconds(pid) - before) * 1e6 / count


async def measure(file: Path, count: int, requests: int) -> dict[str, float]:
    """Return the 99th percentiles in milliseconds, and the microseconds of each kind."""
    with ExitStack() as stack:
        (port, pid), (quiet, _) = (stack.enter_context(gateway(file)) for _ in range(2))
        await p99((port, quiet), requests // 10, PATH)  # imports, connections
        job = await submitted(port)
        async with (
            connections(port, count, request("poll", job)),
            connections(port, count, request("stream", job)),
        ):
            await asyncio.sleep(1)
            held, alone = await p99((port, quiet), requests, PATH)
        costs = {f"{kind} us": await cost(port, pid, kind, count) for kind in QUERIES}
    return {"p99 ms": held * 1000, "p99 ms without": alone * 1000, **costs}


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--requests", type=int, default=1_000)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # inherited
    spec = {**SPEC, "gateway": {"maxWaiters": 10_000}}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "endpoint.yaml"
        file.write_text(yaml.safe_dump({**DOCUMENT, "spec": spec}))
        found = asyncio.run(measure(file, options.count, options.requests))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
