"""Accepted submissions per second of asgi(), alone and mounted, beside a bare Starlette echo.

All of them run under uvicorn with httptools and uvloop, 64 connections, one process each; jobs are
stored in a real Redis, whose queue is empty when a round begins. Rounds alternate; medians count.
"""

import argparse
import json
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from redis import Redis

from bench.bench_submit import load, server
from bench.machine import cpu_seconds
from support.redis.server import RedisServer

RUN = """
import socket
import uvicorn

def run(app):
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", access_log=False, log_level="warning", lifespan="on"
    )
    uvicorn.Server(config).run([listener])
"""

ECHO = """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def echo(request):
    return Response(await request.body(), media_type="application/json")

run(Starlette(routes=[Route("/jobs-in", echo, methods=["POST"])]))
"""

JOBS = """
import sys
from asyncendpoints import RedisStore, asgi
from asyncendpoints_core.resource import AsyncEndpoint

described = AsyncEndpoint.parse({
    "apiVersion": "asyncendpoints.io/v1alpha1", "kind": "AsyncEndpoint",
    "metadata": {"name": "bench", "namespace": "bench"},
    "spec": {
        "routes": [{"path": "/jobs-in", "job": "bench"}],
        "worker": {"handlers": "none"},
        "queue": {"maxDepth": 10_000_000, "maxBytes": 1 << 33},
    },
})
jobs = asgi(described, RedisStore(sys.argv[1], described.key))
"""

ALONE = "run(jobs)\n"

MOUNTED = """
from starlette.applications import Starlette
from starlette.routing import Mount

run(Starlette(routes=[Mount("/", app=jobs)], lifespan=jobs.lifespan))
"""

PROGRAMS = {"echo": RUN + ECHO, "asgi": RUN + JOBS + ALONE, "mounted": RUN + JOBS + MOUNTED}


def measure(rounds: int, seconds: float, connections: int) -> dict[str, float]:
    """Return medians, and ratios to the echo. `…cpu_ratio`: see bench_submit."""
    rates: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    costs: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with RedisServer() as redis, ExitStack() as stack, Redis.from_url(redis.url) as client:
        targets = {
            name: stack.enter_context(server(program, redis.url))
            for name, program in PROGRAMS.items()
        }
        for port, _ in targets.values():
            load(port, 0.5, connections)
        for _ in range(rounds):
            client.flushall()
            for name, (port, pid) in targets.items():
                before = cpu_seconds(pid)
                figures = load(port, seconds, connections)
                if set(figures["statuses"]) != {"200" if name == "echo" else "202"}:
                    raise RuntimeError(f"{name} answered {figures['statuses']}")
                rates[name].append(figures["rate"])
                count = sum(figures["statuses"].values())
                costs[name].append((cpu_seconds(pid) - before) / count)
    found = {f"{name}_per_s": statistics.median(values) for name, values in rates.items()}
    cost = {name: statistics.median(values) for name, values in costs.items()}
    for name in ("asgi", "mounted"):
        pairs = zip(rates[name], rates["echo"], strict=True)
        found[f"{name}_ratio"] = statistics.median(ours / echo for ours, echo in pairs)
        found[f"{name}_cpu_ratio"] = cost["echo"] / cost[name]
    return found | {f"{name}_cpu_us": value * 1e6 for name, value in cost.items()}


def main() -> None:
    """Parse the command line, measure, print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    print(json.dumps(measure(options.rounds, options.seconds, options.connections)))


if __name__ == "__main__":
    main()
