"""Latency of an idle system from a submission to the start of its handler, in milliseconds: the
median, the 99th percentile, and the longest, which is how long a job waits beside idle workers.

From just before the call that enqueues to the first line of the handler in the worker's child, on
the monotonic clock that both processes share. In between each two, a bare message from process to
process, by RPUSH and BLPOP with redis-py: most of the time goes into waking what sleeps, and that
is the machine's.
`python tests/bench/bench_latency.py [--samples N] [--json]`
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from redis.asyncio import Redis

from asyncendpoints_core.store.redis import RedisStore
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit, until_final
from support.worker.process import WorkerProcess

HERE = Path(__file__).parent
TARGET_P50, TARGET_P99 = 1.0, 3.0


async def sample(store: RedisStore, delay_ms: int = 0) -> float:
    """Submit one job to the idle system; return milliseconds until its handler ran, the delay not
    counted.
    """
    job = new_job("stamp", b"x", delay_ms=delay_ms)
    sent = time.monotonic_ns()
    await submit(store, job)
    await until_final(store, job.id)
    result = (await store.result(job.id))[1]
    assert result is not None
    return (int(result.body) - sent) / 1e6 - delay_ms


async def bare(client: Redis) -> float:
    """Send one bare message; return milliseconds until it was received."""
    await client.rpush("bare", time.monotonic_ns())
    answer = await client.blpop(["bare:took"], 10)
    assert answer is not None
    return int(answer[1]) / 1e6


async def measure(samples: int) -> tuple[list[float], list[float], list[float]]:
    """Return the milliseconds of each submission, of each bare message, and of each submission
    with a delay, sorted.
    """
    resource = endpoint(worker={"handlers": "drain_jobs", "concurrency": 4})
    found: tuple[list[float], list[float], list[float]] = [], [], []
    with RedisServer() as server:
        store = RedisStore(server.url, resource.key)
        client = Redis.from_url(server.url, socket_timeout=None)
        peer = subprocess.Popen([sys.executable, str(HERE / "blpop_peer.py"), server.url])
        await store.open()
        await store.configure(resource.spec.policy())
        with WorkerProcess(resource, server.url, HERE, stderr=subprocess.DEVNULL) as worker:
            for _ in range(20):
                await sample(store)
                await bare(client)
            for _ in range(samples):
                await asyncio.sleep(random.uniform(0.01, 0.04))
                found[0].append(await sample(store))
                await asyncio.sleep(random.uniform(0.01, 0.04))
                found[1].append(await bare(client))
                found[2].append(await sample(store, random.randint(20, 200)))
            await asyncio.to_thread(worker.stop)
        peer.kill()
        peer.wait()
        await client.aclose()
        await store.close()
    return sorted(found[0]), sorted(found[1]), sorted(found[2])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found, messages, delayed = uvloop.run(measure(options.samples))
    p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
    floor = statistics.median(messages)
    if options.json:
        longest = {"max ms": found[-1], "delayed max ms": delayed[-1]}
        print(json.dumps({"p50 ms": p50, "p99 ms": p99, "bare p50 ms": floor, **longest}))
        return
    print(f"idle submit to start, {len(found)} samples, ms")
    for name, value, target in (("p50", p50, TARGET_P50), ("p99", p99, TARGET_P99)):
        verdict = "reached" if value <= target else "missed"
        print(f"{name:>8} {value:>8.2f}   target {target:.0f}: {verdict}")
    print(f"{'longest':>8} {found[-1]:>8.2f}   with a delay, after it: {delayed[-1]:.2f}")
    print(f"{'bare':>8} {floor:>8.2f}   p50 of RPUSH to BLPOP with redis-py: {p50 / floor:.1f} ×")


if __name__ == "__main__":
    main()
