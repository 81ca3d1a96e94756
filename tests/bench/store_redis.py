"""Cost of the Redis store: Redis's time per job, the client's, bytes per queued job, flatness.

Redis's time is its own account of it (INFO commandstats), so that what else runs on the machine
disturbs it least. `python tests/bench/store_redis.py [--million]`
"""

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from redis.asyncio import Redis

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import NewJob, Request, Result, complete
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import WorkerInfo
from support.redis.server import RedisServer

BATCH = 100
WORKER = "f3a0c2de-7f51-4d5c-8a40-0c9a3b7f2e11/1767225600123/0/0"
NULL = Result("application/json", b"null")
BODY = b'{"customer":"acme","month":"2026-01","note":"' + b"x" * 53 + b'"}'  # 100 bytes


def new_job(*, parameter: bool = False) -> NewJob:
    """Return a job as a gateway creates it from a plain POST with a body of 100 bytes."""
    request = Request(
        "POST",
        "/reports/acme" if parameter else "/reports",
        "",
        {"customer": "acme"} if parameter else {},
        {"accept": "*/*", "user-agent": "curl/8.5.0"},
        "application/json",
        BODY,
    )
    return NewJob(ids.new(int(time.time() * 1000)), "build-report", request, 4)


class Bench:
    """A store, with a way to read how long Redis worked."""

    def __init__(self, url: str) -> None:
        self.store = RedisStore(url, "bench/reports")
        self.redis: Any = Redis.from_url(url)
        self.request = 0

    async def open(self) -> None:
        """Connect and register one worker."""
        await self.store.open()
        await self.store.configure(Policy(max_depth=10_000_000, max_bytes=1 << 40))
        await self.register()

    async def register(self) -> None:
        """Start a lease, long enough for what follows."""
        await self.store.register(WorkerInfo(WORKER, "pod", "n", 8))

    async def close(self) -> None:
        """Close both connections."""
        await self.store.close()
        await self.redis.aclose()

    async def fill(self, count: int, *, parameter: bool = False) -> None:
        """Enqueue jobs, 500 at a time."""
        for first in range(0, count, 500):
            size = min(500, count - first)
            await self.store.enqueue([new_job(parameter=parameter) for _ in range(size)])

    async def spent(self) -> float:
        """Return Redis's microseconds in scripts since the last reset."""
        stats = await self.redis.info("commandstats")
        return float(stats.get("cmdstat_evalsha", {"usec": 0})["usec"])

    async def claim(self, limit: int = BATCH) -> list[Any]:
        """Claim once."""
        self.request += 1
        batch = await self.store.claim(WORKER, self.request, limit)
        return [complete(job.claim, NULL) for job in batch.jobs]


async def redis_time(bench: Bench, rounds: int) -> dict[str, float]:
    """Return microseconds per job of Redis and of the client, for batches of 100.

    Two batches are always held, as by a worker of concurrency 200. The lower decile: what else the
    machine does can only add.
    """
    names = ("enqueue", "claim", "settle", "client claim", "client settle")
    figures: dict[str, list[float]] = {name: [] for name in names}
    await bench.fill(3 * BATCH)
    held = [await bench.claim() for _ in range(2)]
    for _ in range(rounds):
        await bench.register()
        await bench.redis.config_resetstat()
        await bench.store.enqueue([new_job() for _ in range(BATCH)])
        first = await bench.spent()
        began = time.process_time()
        held.append(await bench.claim())
        claimed = time.process_time() - began
        second = await bench.spent()
        began = time.process_time()
        await bench.store.settle(held.pop(0))
        settled = time.process_time() - began
        third = await bench.spent()
        spent = (first, second - first, third - second, claimed * 1e6, settled * 1e6)
        for name, value in zip(names, spent, strict=True):
            figures[name].append(value)
    return {name: low(values) / BATCH for name, values in figures.items()}


def low(values: list[float]) -> float:
    """Return the lower decile."""
    return statistics.quantiles(values, n=10)[0]


async def bytes_per_job(bench: Bench, count: int = 10_000, *, parameter: bool = False) -> float:
    """Return the growth of Redis's data per queued job, every index included."""
    await bench.fill(10)
    before = (await bench.redis.info("memory"))["used_memory_dataset"]
    await bench.fill(count, parameter=parameter)
    after = (await bench.redis.info("memory"))["used_memory_dataset"]
    return float(after - before) / count


async def flatness(bench: Bench, waiting: int, known: list[JobId]) -> dict[str, float]:
    """Return Redis's microseconds for one call of each verb while `waiting` jobs are queued."""
    figures: dict[str, list[float]] = {"claim": [], "settle": [], "cancel": [], "stats": []}

    async def timed(name: str, awaitable: Any) -> Any:
        before = await bench.spent()
        value = await awaitable
        figures[name].append(await bench.spent() - before)
        return value

    await bench.register()
    for _ in range(20):
        outcomes = await timed("claim", bench.claim())
        await timed("settle", bench.store.settle(outcomes))
        await timed("cancel", bench.store.cancel([known.pop(len(known) // 2)]))
        await timed("stats", bench.store.stats())
    return {name: low(times) for name, times in figures.items()}


async def grow(bench: Bench, sizes: list[int]) -> list[tuple[int, dict[str, float]]]:
    """Return `flatness` at each size."""
    rows, waiting = [], 0
    for size in sizes:
        known: list[JobId] = []
        while waiting < size:
            new = [new_job() for _ in range(500)]
            await bench.store.enqueue(new)
            waiting += 500
            known.append(new[250].id)
        known = known[-max(40, len(known)) :]
        while len(known) < 41:
            extra = new_job()
            await bench.store.enqueue([extra])
            known.append(extra.id)
            waiting += 1
        rows.append((size, await flatness(bench, size, known)))
        waiting -= 20 * BATCH
        await bench.fill(max(0, size - waiting))
        waiting = size
    return rows


async def main(*, million: bool) -> None:
    """Print every figure."""
    with RedisServer() as server:
        bench = Bench(server.url)
        await bench.open()
        for name, value in (await redis_time(bench, 300)).items():
            sys.stdout.write(f"{name:14} {value:6.2f} us a job (batches of {BATCH})\n")
        for parameter, what in ((False, "a plain POST"), (True, "with a route parameter")):
            await bench.redis.flushall()
            await bench.open()
            size = await bytes_per_job(bench, parameter=parameter)
            sys.stdout.write(f"bytes a queued job, body of 100, {what}: {size:.0f}\n")
        await bench.redis.flushall()
        await bench.open()
        sizes = [2_500, 10_000, 100_000, *([1_000_000] if million else [])]
        for size, figures in await grow(bench, sizes):
            shown = "  ".join(f"{name} {value:7.0f} us" for name, value in figures.items())
            sys.stdout.write(f"{size:9,} waiting: {shown}\n")
        await bench.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="up to 10^6 waiting jobs")
    asyncio.run(main(million=parser.parse_args().million))
