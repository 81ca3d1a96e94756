"""`make bench`: every benchmark of this folder, and a table of its figures beside their targets.

Ratios are of what ran in one go on one machine; a line says so if the machine was busy meanwhile.
`python tests/bench/run.py [--quick] [--pictures FOLDER] [NAME …]`
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from redis.asyncio import Redis

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore
from bench import store_redis
from bench.machine import Others, bars
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit
from support.worker.process import WorkerProcess

HERE = Path(__file__).resolve().parent

# Sent by clients themselves; everything else in Redis's own count was sent by a script.
SENT = (
    *("evalsha", "evalsha_ro", "eval", "fcall", "script|load"),
    *("blpop", "brpop", "bzpopmin", "blmpop", "bzmpop", "blmove", "publish", "spublish"),
    *("ping", "info", "hello", "subscribe", "ssubscribe"),
)


@dataclass(frozen=True)
class Figure:
    """One line of the table; `at_least` says which side of the target is good."""

    name: str
    value: float
    unit: str = ""
    target: float | None = None
    at_least: bool = True

    def render(self) -> str:
        """Return the line."""
        shown = f"{self.value:,.2f}" if abs(self.value) < 100 else f"{self.value:,.0f}"
        line = f"{self.name:<58} {shown:>10} {self.unit:<8}"
        if self.target is None:
            return line.rstrip()
        good = self.value >= self.target if self.at_least else self.value <= self.target
        sign = "≥" if self.at_least else "≤"
        return f"{line} {sign} {self.target:<6g} {'reached' if good else 'MISSED'}"


def script(name: str, *arguments: str) -> dict[str, Any]:
    """Run a benchmark of this folder; return the figures that it prints as JSON."""
    done = subprocess.run(
        [sys.executable, str(HERE / name), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def typical(quick: bool) -> list[Figure]:
    """The headline: the typical job, submitted over HTTP, beside dramatiq and BullMQ."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "20000", "--rounds", "5")
    found = script("bench_typical.py", *size)
    figures = [Figure("typical job, one child process", found["ours"], "jobs/s")]
    sides = {"theirs": ("dramatiq with results", 25), "bullmq": ("BullMQ", 3)}
    for side, (name, target) in sides.items():
        if side not in found:
            sys.stderr.write(f"{name} is left out: it is not installed\n")
            continue
        low, high = found[f"{side} ratio min"], found[f"{side} ratio max"]
        figures += [
            Figure(f"typical job, {name}", found[side], "jobs/s"),
            Figure(f"typical job beside {name}", found[f"{side} ratio"], "×", target),
            Figure("  spread of the rounds, (highest - lowest) / lowest", high / low - 1),
            Figure(f"typical job beside {name}, processor time", found[f"{side} cpu ratio"], "×"),
        ]
    return figures


def drain(quick: bool) -> list[Figure]:
    """20,000 no-op jobs, beside dramatiq with results and BullMQ."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "20000", "--rounds", "3")
    found = script("bench_drain.py", *size, "--json")
    figures = [
        Figure("drain, one child process", found["ours"], "jobs/s"),
        Figure("drain, dramatiq with results", found["theirs"], "jobs/s"),
        Figure("drain beside dramatiq", found["ratio"], "×", 25),
        Figure("drain beside dramatiq, processor time", found["cpu ratio"], "×"),
    ]
    if "bullmq" not in found:
        sys.stderr.write("BullMQ is left out: node and npm, and what npm fetches, are not here\n")
        return figures
    return [
        *figures,
        Figure("drain, BullMQ", found["bullmq"], "jobs/s"),
        Figure("drain beside BullMQ", found["bullmq ratio"], "×", 5),
        Figure(
            "drain beside BullMQ, processor time of the busiest", found["bullmq cpu ratio"], "×"
        ),
    ]


def submissions(quick: bool) -> list[Figure]:
    """Accepted submissions at 64 connections, beside a bare aiohttp echo of the same body."""
    size = ("--rounds", "1", "--seconds", "2") if quick else ("--rounds", "5", "--seconds", "3")
    found = script("bench_submit.py", *size)
    return [
        Figure("submissions, Redis, 64 connections", found["gateway_per_s"], "req/s"),
        Figure("aiohttp echo of the same body", found["echo_per_s"], "req/s"),
        Figure("submissions beside the echo", found["ratio"], "×", 0.8),
        Figure("submissions beside the echo, processor time", found["cpu_ratio"], "×"),
    ]


def asgi(quick: bool) -> list[Figure]:
    """asgi() under uvicorn, alone and mounted, beside a bare Starlette echo of the same body."""
    size = ("--rounds", "1", "--seconds", "2") if quick else ("--rounds", "5", "--seconds", "3")
    found = script("bench_asgi.py", *size)
    return [
        Figure("submissions, ASGI, Redis, 64 connections", found["asgi_per_s"], "req/s"),
        Figure("Starlette echo of the same body", found["echo_per_s"], "req/s"),
        Figure("ASGI beside the echo", found["asgi_ratio"], "×", 0.7),
        Figure("ASGI beside the echo, processor time", found["asgi_cpu_ratio"], "×"),
        Figure("ASGI mounted in Starlette beside the echo", found["mounted_ratio"], "×"),
    ]


def packages(quick: bool) -> list[Figure]:
    """What `from asyncendpoints import handler` costs, and the sizes of what is installed."""
    found = script("bench_import.py", "--rounds", "5" if quick else "20")
    return [
        Figure("from asyncendpoints import handler", found["import_ms"], "ms", 30, at_least=False),
        Figure("the interpreter alone", found["python_ms"], "ms"),
        Figure("wheel, asyncendpoints", found["wheel_kib"], "KiB"),
        Figure("wheel, asyncendpoints-client", found["client_kib"], "KiB"),
        Figure("npm package, asyncendpoints-client", found["npm_kib"], "KiB"),
    ]


def latency(quick: bool) -> list[Figure]:
    """From a submission to its handler's start, on an idle system."""
    found = script("bench_latency.py", "--samples", "100" if quick else "300", "--json")
    return [
        Figure("submit → handler started, idle, p50", found["p50 ms"], "ms", 1, at_least=False),
        Figure("submit → handler started, idle, p99", found["p99 ms"], "ms", 3, at_least=False),
        Figure("bare RPUSH → BLPOP with redis-py, idle, p50", found["bare p50 ms"], "ms"),
    ]


def webhooks(quick: bool) -> list[Figure]:
    """Drain and latency while 1,000 receivers fail, beside the same without deliveries."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "20000", "--rounds", "3")
    found = script("bench_webhooks.py", *size, "--json")
    return [
        Figure("drain, 1,000 receivers fail", found["drain with"], "jobs/s"),
        Figure("drain beside no deliveries", found["drain ratio"], "×", 0.9),
        Figure("latency, 1,000 receivers fail, p50", found["ms with"], "ms"),
        Figure("latency beside no deliveries, p50", found["latency ratio"], "×", 1.2,
               at_least=False),
    ]  # fmt: skip


def actions(quick: bool) -> list[Figure]:
    """Actions on 100,000 jobs while 5,000 a second are submitted and drained."""
    found = script("bench_actions.py", "--jobs", "5000" if quick else "100000", "--json")
    if found["wrong"]:
        raise RuntimeError(f"jobs were missed or taken twice: {found['wrong']}")
    kinds = ("retry", "cancel", "purge")
    return [
        *(Figure(f"{kind} of many jobs, all of it", found[f"{kind} s"], "s") for kind in kinds),
        Figure("jobs drained during the retry", found["drained per s"], "jobs/s"),
        *(
            Figure(f"{kind}, the longest step of {found[f'{kind} steps']:,}, processor time",
                   found[f"{kind} step ms, most"], "ms", 5, at_least=False)
            for kind in kinds
        ),
    ]  # fmt: skip


def keys(quick: bool) -> list[Figure]:
    """Drain with 1, 100 and 10,000 keys, beside the same without keys."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "10000", "--rounds", "9")
    found = script("bench_keys.py", *size, "--json")
    cases = ("1", "100", "10000", "1 limited", "10000 limited")
    return [
        figure
        for case in cases
        for figure in (
            Figure(f"drain beside no keys, keys: {case}", found[f"{case}: ratio"], "×", 0.75),
            Figure("… lower quartile", found[f"{case}: lower quartile"], "×"),
            Figure("… upper quartile", found[f"{case}: upper quartile"], "×"),
            Figure("… by processor time", found[f"{case}: by processor time"], "×"),
        )
    ]


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


BENCHES: dict[str, Callable[[bool], list[Figure]]] = {
    "typical": typical,
    "drain": drain,
    "submissions": submissions,
    "asgi": asgi,
    "packages": packages,
    "latency": latency,
    "webhooks": webhooks,
    "actions": actions,
    "keys": keys,
    "memory": memory,
    "commands": commands,
    "growth": growth,
}


def picture(folder: Path, name: str, figures: list[Figure]) -> None:
    """Write a picture of a benchmark's rates, if it has some to compare."""
    rates = [(each.name, each.value, each.unit) for each in figures if each.unit.endswith("/s")]
    if len(rates) > 1:
        folder.mkdir(parents=True, exist_ok=True)
        title = (BENCHES[name].__doc__ or name).strip()
        (folder / f"{name}.svg").write_text(bars(title, rates))


def main() -> int:
    """Run the selected benchmarks; the status is 1 if one could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="smaller and less exact")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write an SVG of the rates")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    lines, failed = [], False
    for name in options.names or BENCHES:
        sys.stderr.write(f"{name}: {(BENCHES[name].__doc__ or '').strip()}\n")
        try:
            with Others() as others:
                figures = BENCHES[name](options.quick)
        except Exception as error:
            failed = True
            lines.append(f"{name}: could not be measured: {error}")
            continue
        lines += [figure.render() for figure in figures]
        if others.warning:
            lines.append(f"{name}: {others.warning}")
        if options.pictures:
            picture(options.pictures, name, figures)
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
