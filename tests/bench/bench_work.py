"""What the size of bodies, several processes and slow handlers do to a drain.

Each case drains a full queue with `concurrency: 100`, beside the typical job (a JSON body of 97
bytes, one process) in the same round; the ratio is of rates, the median of the rounds.
`python tests/bench/bench_work.py [--jobs N] [--rounds N]` prints one JSON line.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from asyncendpoints_core.jobs.records import NewJob
from asyncendpoints_core.store.redis import RedisStore
from bench.bench_drain import drain
from bench.bench_typical import BODY
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job
from support.worker.process import WorkerProcess

HERE = Path(__file__).parent
CONCURRENCY = 100


@dataclass(frozen=True)
class Case:
    """A kind of job and the worker's processes; `share` of the jobs are drained."""

    name: str
    job: str = "typical"
    body: str = BODY
    processes: int = 1
    share: float = 1.0

    def new_job(self) -> NewJob:
        """Return one of its jobs."""
        return new_job(self.job, self.body.encode(), content_type="application/json")


def sized(size: int) -> str:
    """Return a JSON body of so many bytes."""
    return json.dumps({"customer": "0123456789", "text": ""})[:-2] + "x" * (size - 40) + '"}'


TYPICAL = Case("typical")
CASES = (
    Case("body of 1 kB", body=sized(1_000)),
    Case("body of 10 kB", body=sized(10_000), share=0.5),
    Case("body of 100 kB", body=sized(100_000), share=0.1),
    Case("2 processes", processes=2),
    Case("4 processes", processes=4),
    Case("handler of 1 ms", job="sleep-1-ms"),
    Case("handler of 100 ms", job="sleep-100-ms", share=0.2),
)


async def rate(server: RedisServer, case: Case, count: int) -> float:
    """Return the jobs a second of one drain, by a worker of its own that has run some jobs."""
    worker = {"handlers": "drain_jobs", "concurrency": CONCURRENCY, "processes": case.processes}
    resource = endpoint(worker=worker, queue={"maxDepth": 1_000_000})
    store = RedisStore(server.url, resource.key)
    await store.open()
    await store.configure(resource.spec.policy())
    with WorkerProcess(resource, server.url, HERE, stderr=subprocess.DEVNULL) as process:
        await drain(store, CONCURRENCY, {}, case.new_job)
        found, _ = await drain(store, int(count * case.share), {}, case.new_job)
        await asyncio.to_thread(process.stop)
    await store.close()
    return found


async def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Return the rates of each case, round by round, each on an empty Redis."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for case in (TYPICAL, *CASES):
            with RedisServer() as server:
                found.setdefault(case.name, []).append(await rate(server, case, count))
    return found


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = asyncio.run(measure(options.jobs, options.rounds))
    figures = {}
    for name, rates in found.items():
        pairs = zip(rates, found[TYPICAL.name], strict=True)
        figures[name] = statistics.median(rates)
        figures[f"{name}: ratio"] = statistics.median(mine / typical for mine, typical in pairs)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
