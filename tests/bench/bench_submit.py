"""Accepted submissions per second beside a bare aiohttp echo of the same body, in one run.

Both servers are processes of their own on uvloop with 64 connections; the gateway stores each job
in a real Redis, whose queue is empty when a round begins. Rounds alternate, so that what else the
machine does hits both; medians count.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from redis import Redis

from bench.machine import cpu_seconds
from support.redis.server import RedisServer

BODY = json.dumps({"customer": "0123456789", "text": "x" * 60})[:100].ljust(100)
LOAD = Path(__file__).with_name("http_load.py")

ECHO = """
import uvloop
from aiohttp import web

async def echo(request):
    return web.Response(body=await request.read(), content_type="application/json")

async def main():
    app = web.Application()
    app.router.add_post("/jobs-in", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    import asyncio
    await asyncio.Event().wait()

uvloop.run(main())
"""

GATEWAY = """
import asyncio
import logging
import sys
import uvloop
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_gateway.server.serve import serve

described = AsyncEndpoint.parse({
    "apiVersion": "asyncendpoints.io/v1alpha1", "kind": "AsyncEndpoint",
    "metadata": {"name": "bench", "namespace": "bench"},
    "spec": {
        "routes": [{"path": "/jobs-in", "job": "bench"}],
        "worker": {"handlers": "none"},
        "queue": {"maxDepth": 10_000_000, "maxBytes": 1 << 33},
    },
})

async def main():
    store = MemoryStore() if sys.argv[1] == "memory" else RedisStore(sys.argv[1], described.key)
    await store.open()
    await store.configure(described.spec.policy())
    settings = Settings(http_port=0, admin_port=0)
    await serve(described, store, settings, stopping=asyncio.Event())

def print_port(record):
    if "is ready at" in record.msg:
        print(record.args[1].rpartition(":")[2], flush=True)
    return True

log = logging.getLogger("asyncendpoints.gateway")
log.setLevel("INFO")
log.addFilter(print_port)
uvloop.run(main())
"""


@contextmanager
def server(program: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """Run a program that prints its port first; gives the port and the process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()


def load(port: int, seconds: float, connections: int) -> dict[str, Any]:
    """Load a server for some seconds and return the figures of http_load.py."""
    command = [
        sys.executable,
        str(LOAD),
        *("--port", str(port), "--path", "/jobs-in", "--body", BODY.replace("'", " ")),
        *("--seconds", str(seconds), "--connections", str(connections)),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(rounds: int, seconds: float, connections: int, memory: bool) -> dict[str, float]:
    """Return medians and ratios of submissions to echoes.

    `cpu_ratio` compares the processor time a request costs each server: what the ratio of rates
    would be on a machine that does nothing else.
    """
    rates: dict[str, list[float]] = {"echo": [], "gateway": []}
    costs: dict[str, list[float]] = {"echo": [], "gateway": []}
    p99: list[float] = []
    with (
        RedisServer() as redis,
        server(ECHO) as echo,
        server(GATEWAY, "memory" if memory else redis.url) as gateway,
    ):
        targets = {"echo": echo, "gateway": gateway}
        for port, _ in targets.values():
            load(port, 0.5, connections)
        for _ in range(rounds):
            with Redis.from_url(redis.url) as client:
                client.flushall()
            for name, (port, pid) in targets.items():
                before = cpu_seconds(pid)
                figures = load(port, seconds, connections)
                count = sum(figures["statuses"].values())
                if set(figures["statuses"]) != {"200" if name == "echo" else "202"}:
                    raise RuntimeError(f"{name} answered {figures['statuses']}")
                rates[name].append(figures["rate"])
                costs[name].append((cpu_seconds(pid) - before) / count)
                if name == "gateway":
                    p99.append(figures["p99_ms"])
    pairs = zip(rates["gateway"], rates["echo"], strict=True)
    cost = {name: statistics.median(values) for name, values in costs.items()}
    return {
        "echo_per_s": statistics.median(rates["echo"]),
        "gateway_per_s": statistics.median(rates["gateway"]),
        "gateway_p99_ms": statistics.median(p99),
        "ratio": statistics.median(gateway / echo for gateway, echo in pairs),
        "echo_cpu_us": cost["echo"] * 1e6,
        "gateway_cpu_us": cost["gateway"] * 1e6,
        "cpu_ratio": cost["echo"] / cost["gateway"],
    }


def main() -> None:
    """Parse the command line, measure, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--memory", action="store_true", help="the memory store instead of Redis")
    options = parser.parse_args()
    figures = measure(options.rounds, options.seconds, options.connections, options.memory)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
