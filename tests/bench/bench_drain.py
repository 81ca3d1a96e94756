"""How fast one child process drains no-op jobs, beside dramatiq and BullMQ, in the same run.

All store results. BullMQ needs node and npm, which fetches it once; without them it is left out.

Rounds alternate, so that what else the machine does hits both; the ratio is of the medians. Beside
the rates stands the processor time a job costs the busiest process of each side: the ratio of those
is what the ratio of rates would be on a machine that does nothing else.
`python tests/bench/bench_drain.py [--jobs N] [--rounds N] [--json]`
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from asyncendpoints_core.jobs.records import NewJob
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore
from bench.machine import cpu_seconds
from support.kube.provider.layout import cache_root
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit
from support.worker.process import WorkerProcess

HERE = Path(__file__).parent
CONCURRENCY = 200
TARGET, BULLMQ_TARGET = 25.0, 5.0
BULLMQ = "bullmq@5.81.5"


class Costs:
    """Processor time per job of some processes, from its creation to `read`."""

    def __init__(self, pids: dict[str, int], count: int) -> None:
        self._count = count
        self._pids = pids
        self._before = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def read(self) -> dict[str, float]:
        """Return microseconds per job, by name of the process."""
        return {
            name: (cpu_seconds(pid) - self._before[name]) * 1e6 / self._count
            for name, pid in self._pids.items()
        }


def noop() -> NewJob:
    """Return a job that does nothing."""
    return new_job("noop", b'{"n":1}')


async def drain(
    store: RedisStore, count: int, pids: dict[str, int], job: Callable[[], NewJob] = noop
) -> tuple[float, dict[str, float]]:
    """Fill the paused queue, then let the idle worker drain it.

    Returns jobs a second by Redis's clock, and the microseconds of each process a job.
    """
    await store.pause()
    ids = await submit(store, *(job() for _ in range(count)))
    done = (await store.stats()).counts.get(State.COMPLETED, 0) + count
    costs = Costs(pids, count)
    await store.resume()
    while (await store.stats()).counts.get(State.COMPLETED, 0) < done:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    spent = costs.read()
    jobs = []
    for first in range(0, count, 500):
        jobs += [found.job for found in await store.get(ids[first : first + 500]) if found.job]
    began = min(job.started_ms for job in jobs)
    return count * 1000 / (max(job.completed_ms for job in jobs) - began), spent


def dramatiq_command(url: str, count: int, *body: str) -> list[str]:
    """Return the command that queues and drains jobs with dramatiq."""
    return [sys.executable, str(HERE / "dramatiq_drain.py"), url, str(count), *body]


def dramatiq(url: str, pid: int, count: int, *body: str) -> tuple[float, dict[str, float]]:
    """Return dramatiq's jobs per second, and the microseconds of its processes per job.

    With a JSON body, jobs get it and return a small result. Redis's microseconds include the
    enqueueing: an upper bound that is far from the busiest all the same.
    """
    costs = Costs({"redis": pid}, count)
    command = dramatiq_command(url, count, *body)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, worker = map(float, done.stdout.split())
    return rate, {**costs.read(), "worker": worker * 1e6 / count}


def install_bullmq() -> Path | None:
    """Return the folder where BullMQ is installed; None if it is not available."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    folder = cache_root() / BULLMQ
    if not (folder / "node_modules" / "bullmq").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(folder), "--no-fund", "--no-audit", BULLMQ]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
    return folder


def bullmq_command(folder: Path, port: int, count: int, *body: str) -> list[str]:
    """Return the command that queues and drains jobs with BullMQ."""
    return ["node", str(HERE / "bullmq_drain.mjs"), str(folder), str(port), str(count), *body]


def bullmq(
    folder: Path, port: int, pid: int, count: int, *body: str, concurrency: int = 100
) -> tuple[float, dict[str, float]]:
    """Return the same of BullMQ."""
    costs = Costs({"redis": pid}, count)
    command = bullmq_command(folder, port, count, *body)
    environment = {**os.environ, "BULLMQ_CONCURRENCY": str(concurrency)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    rate, worker = map(float, done.stdout.split())
    return rate, {**costs.read(), "worker": worker * 1e6 / count}


async def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Return rates (`ours`, `theirs`, `bullmq`) and microseconds per job, round by round."""
    found: dict[str, list[float]] = {}

    def note(side: str, rate: float, spent: dict[str, float]) -> None:
        found.setdefault(side, []).append(rate)
        for name, cost in spent.items():
            found.setdefault(f"{side} {name}", []).append(cost)

    resource = endpoint(
        worker={"handlers": "drain_jobs", "concurrency": CONCURRENCY},
        queue={"maxDepth": 1_000_000},
    )
    folder = install_bullmq()
    with RedisServer() as server, RedisServer() as other, RedisServer() as third:
        store = RedisStore(server.url, resource.key)
        await store.open()
        await store.configure(resource.spec.policy())
        with WorkerProcess(resource, server.url, HERE, stderr=subprocess.DEVNULL) as worker:
            await drain(store, 1_000, {})
            (child,) = worker.children()
            pids = {"child": child, "supervisor": worker.pid, "redis": server.pid}
            for _ in range(rounds):
                note("ours", *await drain(store, count, pids))
                note("theirs", *await asyncio.to_thread(dramatiq, other.url, other.pid, count))
                if folder is not None:
                    at = folder, third.port, third.pid, count
                    note("bullmq", *await asyncio.to_thread(bullmq, *at))
            await asyncio.to_thread(worker.stop)
        await store.close()
    return found


def summary(found: dict[str, list[float]]) -> dict[str, float]:
    """Return the medians, and the ratios of rates and of costs."""
    middle = {name: statistics.median(values) for name, values in found.items()}
    ours = max(middle["ours child"], middle["ours redis"])
    ratios = {}
    for side, prefix in (("theirs", ""), ("bullmq", "bullmq ")):
        if side in middle:
            busiest = max(middle[f"{side} worker"], middle[f"{side} redis"])
            ratios[f"{prefix}ratio"] = middle["ours"] / middle[side]
            ratios[f"{prefix}cpu ratio"] = busiest / ours
    return {**middle, **ratios}


def main() -> None:
    """Measure and print the table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.jobs, options.rounds))
    middle = summary(found)
    if options.json:
        print(json.dumps(middle))
        return
    print(f"drain of {options.jobs} no-op jobs, results stored, one child process; jobs a second")
    sides = [side for side in ("ours", "theirs", "bullmq") if side in found]
    names = {"ours": "asyncendpoints", "theirs": "dramatiq", "bullmq": "BullMQ"}
    print(" ".join(f"{name:>15}" for name in ("round", *(names[side] for side in sides))))
    for number, rates in enumerate(zip(*(found[side] for side in sides), strict=True), 1):
        print(" ".join(f"{value:>15.0f}" for value in (number, *rates)))
    for name, key, target in (
        ("dramatiq", "ratio", TARGET),
        ("BullMQ", "bullmq ratio", BULLMQ_TARGET),
    ):
        if key in middle:
            verdict = "reached" if middle[key] >= target else "missed"
            print(
                f"beside {name}: {middle[key]:.1f} of the medians, target {target:.0f}: {verdict}"
            )
    print("processor time a job, µs: ", end="")
    print(", ".join(f"{name} {middle[name]:.1f}" for name in sorted(found) if " " in name))


if __name__ == "__main__":
    main()
