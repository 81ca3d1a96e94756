"""What keys and limits cost: drains and Redis's time with 1, 100 and 10,000 keys, beside none.

Rounds are short, and every other one goes through the cases backwards, so that what else the
machine does hits all alike. Ratios are of rates in the same round: their median and quartiles. The
ratio by processor time is of what a job costs the busiest process, over all rounds: that of the
rates where Redis and the worker each have a processor. Limits are there but hold nothing back.
`python tests/bench/bench_keys.py [--jobs N] [--rounds N] [--cases NAME …] [--json]`
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec
from redis.asyncio import Redis

from asyncendpoints_core.jobs.records import Attributes, NewJob
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore
from bench.bench_drain import CONCURRENCY, HERE, Costs
from bench.bench_typical import BODY
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job
from support.worker.process import WorkerProcess

TARGET = 0.75
LIMITS = {
    "total": {"concurrency": 10_000},
    "perJob": [{"job": "noop", "concurrency": 10_000}],
    "perKey": {"concurrency": 5_000, "ratePerSecond": 1_000_000},
}
# By name: how many keys, and the endpoint's limits.
CASES: dict[str, tuple[int, dict[str, Any] | None]] = {
    "none": (0, None),
    "1": (1, {}),
    "100": (100, {}),
    "10000": (10_000, {}),
    "1 limited": (1, LIMITS),
    "10000 limited": (10_000, LIMITS),
}


# By name of the handler: the body of a job, and the worker's concurrency.
KINDS = {"typical": (BODY.encode(), 100), "noop": (b'{"n":1}', CONCURRENCY)}


def job(number: int, keys: int, kind: str) -> NewJob:
    """Return the job of a number; its key is one of `keys`."""
    made = new_job(kind, KINDS[kind][0], headers={"content-type": "application/json"})
    if not keys:
        return made
    return msgspec.structs.replace(made, attributes=Attributes(key=f"customer-{number % keys}"))


class Side:
    """One case: a store of its own, and a worker process that is idle in between."""

    def __init__(self, keys: int, limits: dict[str, Any] | None, kind: str) -> None:
        self._keys = keys
        self._kind = kind
        more: dict[str, Any] = {} if limits is None else {"limits": limits}
        self._endpoint = endpoint(
            worker={"handlers": "drain_jobs", "concurrency": KINDS[kind][1]},
            queue={"maxDepth": 1_000_000},
            **more,
        )

    async def open(self, stack: AsyncExitStack) -> None:
        """Start Redis and the worker."""
        self._server = stack.enter_context(RedisServer())
        self._redis = Redis.from_url(self._server.url)
        stack.push_async_callback(self._redis.aclose)
        self._store = RedisStore(self._server.url, self._endpoint.key)
        await self._store.open()
        stack.push_async_callback(self._store.close)
        await self._store.configure(self._endpoint.spec.policy())
        worker = WorkerProcess(self._endpoint, self._server.url, HERE, stderr=subprocess.DEVNULL)
        self._worker = stack.enter_context(worker)
        await self.drain(1_000)

    async def _scripts_us(self) -> float:
        stats = await self._redis.info("commandstats")
        return float(stats.get("cmdstat_evalsha", {"usec": 0})["usec"])

    async def drain(self, count: int) -> dict[str, float]:
        """Fill the paused queue, then drain it; return jobs a second and microseconds a job."""
        await self._store.pause()
        await self._redis.config_resetstat()
        first = None
        for begin in range(0, count, 100):
            jobs = [
                job(number, self._keys, self._kind)
                for number in range(begin, min(count, begin + 100))
            ]
            answers = await self._store.enqueue(jobs)
            assert all(answer.status == "created" for answer in answers)
            first = first or jobs[0].id
        enqueued = await self._scripts_us()
        done = (await self._store.stats()).counts.get(State.COMPLETED, 0) + count
        children = self._worker.children()  # none yet while it warms up
        costs = Costs(
            {"redis": self._server.pid, **dict(zip(["child"], children, strict=False))}, count
        )
        began = (await self._store.stats()).now_ms
        await self._store.resume()
        while (await self._store.stats()).counts.get(State.COMPLETED, 0) < done:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        ended = await self._last_end()
        spent = await self._scripts_us() - enqueued
        return {
            "rate": count * 1000 / (ended - began),
            "enqueue": enqueued / count,
            "claim and settle": spent / count,
            **costs.read(),
        }

    async def _last_end(self) -> int:
        page = await self._store.list(State.COMPLETED, 200, None)
        return max(job.completed_ms for job in page.jobs)


async def measure(
    count: int, rounds: int, cases: list[str], kind: str
) -> dict[str, list[dict[str, float]]]:
    """Return the figures of each case, round by round."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    async with AsyncExitStack() as stack:
        sides = {name: Side(*CASES[name], kind) for name in cases}
        for side in sides.values():
            await side.open(stack)
        for number in range(rounds):
            for name in cases if number % 2 == 0 else reversed(cases):
                found[name].append(await sides[name].drain(count))
    return found


def busiest(rounds: list[dict[str, float]]) -> float:
    """Return the microseconds a job costs the busiest process."""
    return max(statistics.fmean(each[process] for each in rounds) for process in ("redis", "child"))


def quartiles(values: list[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return statistics.quantiles(values, n=4, method="inclusive") if values[1:] else values * 3


def summary(found: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return the medians of each case, and the ratios of its rate to that without keys."""
    figures: dict[str, float] = {}
    for name, rounds in found.items():
        for figure in rounds[0]:
            figures[f"{name}: {figure}"] = statistics.median(each[figure] for each in rounds)
        ratios = [
            each["rate"] / beside["rate"]
            for each, beside in zip(rounds, found["none"], strict=True)
        ]
        low, middle, high = quartiles(ratios)
        figures[f"{name}: ratio"] = middle
        figures[f"{name}: lower quartile"], figures[f"{name}: upper quartile"] = low, high
        figures[f"{name}: by processor time"] = busiest(found["none"]) / busiest(rounds)
    return figures


def main() -> None:
    """Measure and print the table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES)
    parser.add_argument("--kind", default="typical", choices=KINDS, help="of the jobs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.jobs, options.rounds, options.cases, options.kind))
    figures = summary(found)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.jobs} {options.kind} jobs, one child process; target {TARGET} of no keys")
    columns = [name.removeprefix("none: ") for name in figures if name.startswith("none: ")]
    print(f"{'keys':<16}" + "".join(f"{name:>18}" for name in columns))
    for case in found:
        print(f"{case:<16}" + "".join(f"{figures[f'{case}: {name}']:>18.2f}" for name in columns))


if __name__ == "__main__":
    main()
