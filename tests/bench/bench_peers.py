"""The typical job beside dramatiq, taskiq, huey, SAQ and BullMQ: jobs a second, and bytes queued.

Each drains a full queue with one process, each job getting a JSON body of 97 bytes and returning a
small result that is stored. Those that run jobs in an event loop have 100 slots, those that run
them in threads have 8. Rounds alternate. Bytes are the growth of Redis's data by each queued job.
BullMQ needs node and npm, the others pip, which fetch them once; what cannot be had is left out.
`python tests/bench/bench_peers.py [--jobs N] [--rounds N]` prints one JSON line.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from redis.asyncio import Redis

from asyncendpoints_core.jobs.records import NewJob
from asyncendpoints_core.store.redis import RedisStore
from bench.bench_drain import bullmq_command, drain, dramatiq_command, install_bullmq
from bench.bench_typical import BODY
from support.kube.provider.layout import cache_root
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit
from support.worker.process import WorkerProcess

HERE = Path(__file__).parent
CONCURRENCY = 100
# The versions whose figures docs/performance.md gives.
PACKAGES = ("taskiq==0.13.0", "taskiq-redis==1.2.4", "huey==3.5.4", "saq==0.26.4")
PEERS = ("taskiq", "huey", "SAQ")

# The command that queues and drains jobs, for a server and a number of jobs.
Peer = Callable[[RedisServer, int], list[str]]


def install_peers() -> Path | None:
    """Return the Python that PACKAGES are installed for; None if they are not available."""
    folder = cache_root() / "-".join(each.replace("==", "-") for each in PACKAGES)
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        venv.create(folder, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        complete.touch()
    return python


def peers() -> dict[str, Peer]:
    """Return the peers that can run here."""

    def python_peer(python: Path, name: str) -> Peer:
        script = str(HERE / "peers_drain.py")
        return lambda server, count: [str(python), script, name, server.url, str(count), BODY]

    found: dict[str, Peer] = {
        "dramatiq": lambda server, count: dramatiq_command(server.url, count, BODY)
    }
    if (python := install_peers()) is not None:
        found |= {name: python_peer(python, name) for name in PEERS}
    if (folder := install_bullmq()) is not None:
        found["BullMQ"] = lambda server, count: bullmq_command(folder, server.port, count, BODY)
    return found


def typical() -> NewJob:
    """Return a job as the others get it."""
    return new_job("typical", BODY.encode(), content_type="application/json")


async def bytes_queued(fill: Callable[[RedisServer], Any], count: int) -> float:
    """Return the growth of Redis's data by each job that `fill` queues, on a server of its own."""
    with RedisServer() as server:
        client: Any = Redis.from_url(server.url)
        before = (await client.info("memory"))["used_memory_dataset"]
        await fill(server)
        after = (await client.info("memory"))["used_memory_dataset"]
        await client.aclose()
    return float(after - before) / count


async def measure(others: dict[str, Peer], count: int, rounds: int) -> dict[str, list[float]]:
    """Return the rates of each side, round by round."""
    resource = endpoint(
        worker={"handlers": "drain_jobs", "concurrency": CONCURRENCY},
        queue={"maxDepth": 1_000_000},
    )
    found: dict[str, list[float]] = {}
    with RedisServer() as server, RedisServer() as theirs:
        store = RedisStore(server.url, resource.key)
        client: Any = Redis.from_url(theirs.url)
        await store.open()
        await store.configure(resource.spec.policy())
        with WorkerProcess(resource, server.url, HERE, stderr=subprocess.DEVNULL) as worker:
            await drain(store, 1_000, {}, typical)
            for _ in range(rounds):
                rate, _ = await drain(store, count, {}, typical)
                found.setdefault("ours", []).append(rate)
                for name, command in others.items():
                    await client.flushall()
                    printed = await asyncio.to_thread(run, command(theirs, count))
                    found.setdefault(name, []).append(float(printed.split()[0]))
            await asyncio.to_thread(worker.stop)
        await client.aclose()
        await store.close()
    return found


async def measure_bytes(others: dict[str, Peer], count: int) -> dict[str, float]:
    """Return the bytes of each side's queued job."""

    async def ours(server: RedisServer) -> None:
        store = RedisStore(server.url, "bench/typical")
        await store.open()
        await store.configure(endpoint(queue={"maxDepth": 1_000_000}).spec.policy())
        await submit(store, *(typical() for _ in range(count)))
        await store.close()

    found = {"ours": await bytes_queued(ours, count)}
    for name, command in others.items():

        async def fill(server: RedisServer, command: Peer = command) -> None:
            await asyncio.to_thread(run, [*command(server, count), "fill"])

        found[name] = await bytes_queued(fill, count)
    return found


def run(command: list[str]) -> str:
    """Run a peer; return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    others = peers()
    found = asyncio.run(measure(others, options.jobs, options.rounds))
    sizes = asyncio.run(measure_bytes(others, options.jobs))
    figures = {name: statistics.median(rates) for name, rates in found.items()}
    for name, rates in found.items():
        pairs = zip(found["ours"], rates, strict=True)
        figures[f"{name} ratio"] = statistics.median(ours / theirs for ours, theirs in pairs)
    print(json.dumps({**figures, **{f"{name} bytes": size for name, size in sizes.items()}}))


if __name__ == "__main__":
    main()
