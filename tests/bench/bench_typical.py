"""The headline: how fast one child process drains the typical job, beside dramatiq and BullMQ.

Jobs are submitted over HTTP with what an HTTP client sends by itself, to an endpoint with default
settings; a JSON body of 97 bytes is handed to `(body: dict, job: JobContext)`, which returns a dict
that is stored. The others get the same body as an argument and store the same result. Rounds
alternate; each gives one ratio, and their spread stands beside the median.
BullMQ runs with its default concurrency, 1, and with the one that is fastest here, 100.
`python tests/bench/bench_typical.py [--jobs N] [--rounds N] [--concurrency N]
[--alone]` prints a JSON line.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from bench.bench_drain import Costs, bullmq, dramatiq, install_bullmq
from support.cli import Command
from support.redis.server import RedisServer
from support.worker.process import WorkerProcess

HERE = Path(__file__).parent
BODY = json.dumps({"customer": "0123456789", "text": "x" * 58})
SPEC: dict[str, Any] = {
    "routes": [{"path": "/work", "job": "typical"}],
    "worker": {"handlers": "drain_jobs"},
    "queue": {"maxDepth": 1_000_000},  # the only setting: one round waits at a time
}
DOCUMENT = {
    "apiVersion": "asyncendpoints.io/v1alpha1",
    "kind": "AsyncEndpoint",
    "metadata": {"name": "bench", "namespace": "bench"},
    "spec": SPEC,
}


def fill(port: int) -> None:
    """Submit over 64 connections for a second."""
    command = [sys.executable, str(HERE / "http_load.py"), "--port", str(port)]
    options = ["--path", "/work", "--body", BODY, "--seconds", "1"]
    found = json.loads(subprocess.run([*command, *options], check=True, capture_output=True).stdout)
    if set(found["statuses"]) != {"202"}:
        raise RuntimeError(f"the gateway answered {found['statuses']}")


async def drain(
    store: RedisStore, port: int, count: int, pids: dict[str, int]
) -> tuple[float, dict[str, float]]:
    """Fill the paused queue with at least `count` jobs, then let the idle worker drain it.

    Returns jobs a second by Redis's clock, and the microseconds of each process a job.
    """
    await store.pause()
    before = (await store.stats()).counts.get(State.COMPLETED, 0)
    queued = 0
    while queued < count:
        await asyncio.to_thread(fill, port)
        queued = (await store.stats()).counts[State.QUEUED]
    costs = Costs(pids, queued)
    await store.resume()
    while (await store.stats()).counts.get(State.COMPLETED, 0) < before + queued:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    spent = costs.read()
    jobs = await newest(store, queued)
    began = min(job.started_ms for job in jobs)
    return queued * 1000 / (max(job.completed_ms for job in jobs) - began), spent


async def newest(store: RedisStore, count: int) -> list[Job]:
    """Return the jobs that were submitted last."""
    jobs: list[Job] = []
    cursor = None
    while True:
        page = await store.list(State.COMPLETED, 500, cursor)
        jobs += page.jobs
        cursor = page.cursor
        if cursor is None:
            return sorted(jobs, key=lambda job: job.created_ms)[-count:]


async def measure(
    count: int, rounds: int, concurrency: int | None, folder: Path, *, alone: bool
) -> dict[str, list[float]]:
    """Return rates (`ours`, `theirs`, `bullmq`, `bullmq default`) and microseconds per job.

    `alone`: `ours` only.
    """
    found: dict[str, list[float]] = {}

    def note(side: str, rate: float, spent: dict[str, float]) -> None:
        found.setdefault(side, []).append(rate)
        found.setdefault(f"{side} us", []).append(max(spent.values()))

    file = folder / "endpoint.yaml"
    worker = (
        SPEC["worker"] if concurrency is None else {**SPEC["worker"], "concurrency": concurrency}
    )
    document = {**DOCUMENT, "spec": {**SPEC, "worker": worker}}
    file.write_text(yaml.safe_dump(document))
    resource = AsyncEndpoint.parse(document)
    peer = None if alone else install_bullmq()
    options = ("--port", "0", "--admin-port", "0")
    environment = {"ASYNCENDPOINTS_LOG_FORMAT": "json"}
    with (
        RedisServer() as server,
        RedisServer() as other,
        RedisServer() as third,
        Command("gateway", "--endpoint", file, "--redis", server.url, *options, env=environment)
        as gateway,
        WorkerProcess(resource, server.url, HERE, stderr=subprocess.DEVNULL) as worker,
    ):  # fmt: skip
        port = urlsplit(await asyncio.to_thread(gateway.ready_in_log)).port or 0
        store = RedisStore(server.url, resource.key)
        await store.open()
        await drain(store, port, 500, {})
        (child,) = worker.children()
        for _ in range(rounds):
            note("ours", *await drain(store, port, count, {"child": child, "redis": server.pid}))
            if alone:
                continue
            at = other.url, other.pid, count, BODY
            note("theirs", *await asyncio.to_thread(dramatiq, *at))
            if peer is not None:
                third_at = peer, third.port, third.pid, count, BODY
                note("bullmq", *await asyncio.to_thread(bullmq, *third_at))
                own = await asyncio.to_thread(bullmq, *third_at, concurrency=1)
                note("bullmq default", *own)
        await store.close()
        await asyncio.to_thread(worker.stop)
    return found


def summary(found: dict[str, list[float]]) -> dict[str, float]:
    """Return the medians; the median and the extremes of the rounds' ratios; ratios of costs."""
    figures = {name: statistics.median(values) for name, values in found.items()}
    for side in ("theirs", "bullmq", "bullmq default"):
        if side in found:
            ratios = [a / b for a, b in zip(found["ours"], found[side], strict=True)]
            figures[f"{side} ratio"] = statistics.median(ratios)
            figures[f"{side} ratio min"], figures[f"{side} ratio max"] = min(ratios), max(ratios)
            figures[f"{side} cpu ratio"] = figures[f"{side} us"] / figures["ours us"]
    return figures


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, help="instead of the default of the endpoint")
    parser.add_argument("--alone", action="store_true", help="without dramatiq and BullMQ")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        run = measure(
            options.jobs, options.rounds, options.concurrency, Path(scratch), alone=options.alone
        )
        found = asyncio.run(run)
    print(json.dumps(summary(found)))


if __name__ == "__main__":
    main()
