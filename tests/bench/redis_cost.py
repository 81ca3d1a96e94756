"""Figures of Redis: memory and commands for a job, and what calls cost as the queue grows."""

import asyncio
import subprocess

from redis.asyncio import Redis

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore
from bench import store_redis
from bench.figure import HERE, Figure
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit
from support.worker.process import WorkerProcess

# Sent by clients themselves; everything else in Redis's own count was sent by a script.
SENT = (
    *("evalsha", "evalsha_ro", "eval", "fcall", "script|load"),
    *("blpop", "brpop", "bzpopmin", "blmpop", "bzmpop", "blmove", "publish", "spublish"),
    *("ping", "info", "hello", "subscribe", "ssubscribe"),
)


def memory(_: bool) -> list[Figure]:
    """Redis's memory for one queued job."""

    async def measure() -> float:
        with RedisServer() as server:
            bench = store_redis.Bench(server.url)
            await bench.open()
            try:
                return await store_redis.bytes_per_job(bench)
            finally:
                await bench.close()

    value = asyncio.run(measure())
    return [Figure("Redis bytes per queued job, 100-byte body", value, "B", 400, at_least=False)]


def commands(quick: bool) -> list[Figure]:
    """What clients send to Redis while a full queue is drained, the submissions included."""
    value = asyncio.run(_commands(5_000 if quick else 20_000))
    return [Figure("Redis commands per job, loaded", value, "", 0.1, at_least=False)]


async def _commands(count: int) -> float:
    resource = endpoint(
        worker={"handlers": "drain_jobs", "concurrency": 200}, queue={"maxDepth": 1_000_000}
    )
    with RedisServer() as server:
        redis = Redis.from_url(server.url)
        store = RedisStore(server.url, resource.key)
        await store.open()
        await store.configure(resource.spec.policy())
        with WorkerProcess(resource, server.url, HERE, stderr=subprocess.DEVNULL) as worker:
            await submit(store, new_job("noop", b"{}"))
            await _completed(store, 1)  # the worker is up
            await redis.config_resetstat()
            await submit(store, *(new_job("noop", b'{"n":1}') for _ in range(count)))
            await _completed(store, count + 1)
            stats = await redis.info("commandstats")
            await asyncio.to_thread(worker.stop)
        await store.close()
        await redis.aclose()
    return float(sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in SENT)) / count


async def _completed(store: RedisStore, count: int) -> None:
    while (await store.stats()).counts.get(State.COMPLETED, 0) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def growth(quick: bool) -> list[Figure]:
    """What one call costs Redis as the queue grows: with 10³ jobs queued and with 10⁶."""
    sizes = [2_500, 100_000] if quick else [2_500, 1_000_000]

    async def measure() -> list[tuple[int, dict[str, float]]]:
        with RedisServer() as server:
            bench = store_redis.Bench(server.url)
            await bench.open()
            try:
                return await store_redis.grow(bench, sizes)
            finally:
                await bench.close()

    (_, few), (most, many) = asyncio.run(measure())
    return [
        Figure(f"{verb}: {most:,} waiting beside {sizes[0]:,}", many[verb] / few[verb], "×", 1.5,
               at_least=False)
        for verb in few
    ]  # fmt: skip
