"""How fast one child process drains no-op jobs, beside dramatiq with results, in the same run.

Rounds alternate, so that what else the machine does hits both; the ratio is of the medians.
`python tests/bench/bench_drain.py [--jobs N] [--rounds N]`
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from asyncendpoints_core.states import State
from asyncendpoints_core.store.redis import RedisStore
from support.redis_server import RedisServer
from support.work import endpoint, new_job, submit
from support.worker_process import WorkerProcess

HERE = Path(__file__).parent
CONCURRENCY = 200
TARGET = 25.0


async def drain(store: RedisStore, count: int) -> float:
    """Fill the paused queue, let the idle worker at it, return jobs a second (Redis's clock)."""
    await store.pause()
    ids = await submit(store, *(new_job("noop", b'{"n":1}') for _ in range(count)))
    done = (await store.stats()).counts.get(State.COMPLETED, 0) + count
    await store.resume()
    while (await store.stats()).counts.get(State.COMPLETED, 0) < done:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    jobs = []
    for first in range(0, count, 500):
        jobs += [found.job for found in await store.get(ids[first : first + 500]) if found.job]
    began = min(job.started_ms for job in jobs)
    return count * 1000 / (max(job.completed_ms for job in jobs) - began)


def dramatiq(url: str, count: int) -> float:
    """Return dramatiq's jobs a second."""
    command = [sys.executable, str(HERE / "dramatiq_drain.py"), url, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


async def measure(count: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return both sides' jobs a second, round by round."""
    ours, theirs = [], []
    resource = endpoint(
        worker={"handlers": "drain_jobs", "concurrency": CONCURRENCY},
        queue={"maxDepth": 1_000_000},
    )
    with RedisServer() as server, RedisServer() as other:
        store = RedisStore(server.url, resource.key)
        await store.open()
        await store.configure(resource.spec.policy())
        with WorkerProcess(resource, server.url, HERE, stderr=subprocess.DEVNULL) as worker:
            await drain(store, 1_000)
            for _ in range(rounds):
                ours.append(await drain(store, count))
                theirs.append(await asyncio.to_thread(dramatiq, other.url, count))
            worker.stop()
        await store.close()
    return ours, theirs


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ours, theirs = asyncio.run(measure(options.jobs, options.rounds))
    print(f"drain of {options.jobs} no-op jobs, results stored, one child process")
    print(f"{'round':>8} {'asyncendpoints/s':>18} {'dramatiq/s':>12} {'ratio':>8}")
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        print(f"{number:>8} {one:>18.0f} {other:>12.0f} {one / other:>8.1f}")
    one, other = statistics.median(ours), statistics.median(theirs)
    verdict = "reached" if one / other >= TARGET else "missed"
    print(f"{'median':>8} {one:>18.0f} {other:>12.0f} {one / other:>8.1f}", end="")
    print(f"   target {TARGET:.0f}: {verdict}")


if __name__ == "__main__":
    main()
