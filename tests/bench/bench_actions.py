"""Actions on many jobs while others are submitted and drained, their process killed and replaced.

First retry, then cancel, then purge: each of `--jobs` jobs. The process that carries a retry out
is killed by SIGKILL when a third is done; another one finds the action and goes on. Meanwhile a
third process submits and drains, and fails one job in ten: what it makes after the start of an
action must not be taken. At the end every job is read: none was missed, none was taken twice.
SLOWLOG counts the time that other processes took from redis-server too; so these run at a lower
priority, and the processor time of each step is measured besides, on a server that does nothing
else.
`python tests/bench/bench_actions.py [--jobs N] [--rate N] [--json]`
"""

import argparse
import asyncio
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from redis.asyncio import Redis

from asyncendpoints_console.actions import ActionRunner
from asyncendpoints_console.target import Target
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Job, JobError, Result, complete, fail
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.actions import Action, ActionKind, NewAction
from asyncendpoints_core.store.redis import RedisStore, scripts
from asyncendpoints_core.store.replies import Stats, WorkerInfo
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit

ENDPOINT: Final = endpoint(queue={"maxDepth": 10_000_000})
NULL: Final = Result("application/json", b"null")
ERROR: Final = JobError("handler-error", "for the benchmark")
SLOW_US: Final = 5_000
BATCH: Final = 100
STEP: Final = [scripts.load("step_action", full=full).sha.encode() for full in (False, True)]


@dataclass
class Found:
    """What was seen: `wrong` counts jobs by what is wrong with them; `slow` has the times (ms) of
    what took Redis above 5 ms by SLOWLOG, and whether it was a step of an action; `rates` the jobs
    a second that were submitted and drained meanwhile, `steps` the processor times of steps (ms).
    """

    seconds: dict[str, float] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    rates: dict[str, float] = field(default_factory=dict)
    slow: list[tuple[float, bool]] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)


def opened(url: str) -> RedisStore:
    """Return a store of the benchmark's endpoint."""
    return RedisStore(url, ENDPOINT.key)


async def carry_out(url: str) -> None:
    """Carry out actions as a gateway does, until the process is ended."""
    store = opened(url)
    await store.open()
    runner = ActionRunner(lambda: [Target(ENDPOINT, store)], SystemTime())
    runner.start()
    _, action = await store.action(None)
    if action is not None and action.stepped_ms <= action.begun_ms:
        runner.carry_out(Target(ENDPOINT, store), action.id)
    await asyncio.Event().wait()


async def load(url: str, rate: int) -> None:
    """Submit `rate` jobs a second and drain them, one in ten failing, until the process is ended.

    Prints nothing; the store's counters say how much it did.
    """
    store = opened(url)
    await store.open()
    await asyncio.gather(_submit(store, rate), _drain(store))


async def _submit(store: RedisStore, rate: int) -> None:
    due = time.monotonic()
    while True:
        await submit(store, *(new_job("other", b'{"n":1}') for _ in range(BATCH)))
        due = max(due + BATCH / rate, time.monotonic() - 1.0)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _drain(store: RedisStore) -> None:
    worker, request, renewed = "drain", 0, 0.0
    while True:
        if time.monotonic() - renewed > 1.0:
            await store.register(WorkerInfo(worker, "pod", "n", 2 * BATCH))
            renewed = time.monotonic()
        request += 1
        batch = await store.claim(worker, request, BATCH)
        outcomes = [
            fail(each.claim, ERROR)
            if each.job.name == "other" and number % 10 == 0
            else complete(each.claim, NULL)
            for number, each in enumerate(batch.jobs)
        ]
        await store.settle(outcomes)
        if not outcomes:
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def process(*words: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run this file in a process of its own at a lower priority, killed at the end."""
    command = ["nice", "-n", "10", sys.executable, __file__, *words]
    with subprocess.Popen(command) as running:
        try:
            yield running
        finally:
            running.kill()


async def until(store: RedisStore, action_id: JobId, reached: Callable[[Action], bool]) -> Action:
    """Wait until the action is as wanted, or has ended."""
    while True:
        _, action = await store.action(action_id)
        assert action is not None
        if reached(action) or action.state != "Running":
            return action
        await asyncio.sleep(0.02)


async def act(
    url: str, store: RedisStore, kind: ActionKind, state: State, found: Found, *, killed: int = 0
) -> int:
    """Carry out an action in processes of their own, of which the first is killed when it has done
    `killed` jobs; return when the action began (ms).
    """
    wanted = NewAction(ids.new(int(time.time() * 1_000)), kind, state)
    await store.begin_action(wanted)
    began = time.monotonic()
    if killed:
        async with process("--carry-out", url):
            halfway = await until(store, wanted.id, lambda action: action.done >= killed)
            assert halfway.state == "Running", "the action had ended before the kill"
    async with process("--carry-out", url) as second:
        done = await until(store, wanted.id, lambda _: False)
        assert second.poll() is None
    found.seconds[kind.value] = time.monotonic() - began
    found.actions[kind.value] = done
    return done.begun_ms


async def make_failed(store: RedisStore, count: int) -> dict[JobId, int]:
    """Make jobs that have failed; return the revision of each."""
    await store.register(WorkerInfo("failing", "pod", "n", BATCH))
    made: list[JobId] = []
    for request in range(1, count // BATCH + 1):
        made += await submit(store, *(new_job("old", b"{}") for _ in range(BATCH)))
        batch = await store.claim("failing", request, BATCH)
        await store.settle([fail(each.claim, ERROR) for each in batch.jobs])
        if request % 10 == 0:
            await store.register(WorkerInfo("failing", "pod", "n", BATCH))
    return {job.id: job.revision async for job in read(store, made) if job is not None}


async def read(store: RedisStore, job_ids: list[JobId]) -> AsyncIterator[Job | None]:
    """Return each job, None for one that is gone."""
    for first in range(0, len(job_ids), 500):
        for answer in await store.get(job_ids[first : first + 500]):
            yield answer.job


def _ended(stats: Stats) -> int:
    return stats.counts[State.COMPLETED] + stats.counts[State.FAILED]


async def retried(url: str, store: RedisStore, count: int, found: Found) -> None:
    """Retry failed jobs, which are drained again."""
    made = await make_failed(store, count)
    async with process("--load", url, str(found.rates["wanted"])):
        began = time.monotonic()
        before = await store.stats()
        await act(url, store, ActionKind.RETRY, State.FAILED, found, killed=count // 3)
        after, seconds = await store.stats(), time.monotonic() - began
        found.rates["drained"] = (_ended(after) - _ended(before)) / seconds
    async for job in read(store, list(made)):
        assert job is not None
        # Queued again, claimed, completed: as far as the drain has come.
        changes = job.revision - made[job.id]
        if changes not in (1, 2, 3):
            found.wrong["missed by the retry" if changes < 1 else "retried twice"] += 1


async def canceled(url: str, store: RedisStore, count: int, found: Found) -> list[JobId]:
    """Cancel waiting jobs while some of them are drained; return the canceled ones."""
    made = await submit(store, *(new_job("old", b"{}") for _ in range(count)))
    async with process("--load", url, str(found.rates["wanted"])):
        begun = await act(url, store, ActionKind.CANCEL, State.QUEUED, found)
    states, taken = Counter[State](), []
    for job_id, job in zip(made, [each async for each in read(store, made)], strict=True):
        assert job is not None
        states[job.state] += 1
        if job.state == State.CANCELED:
            taken.append(job_id)
        elif job.state != State.COMPLETED and job.completed_ms == 0 and job.claim == 0:
            found.wrong["missed by the cancel"] += 1
    every = (await store.stats()).counts[State.CANCELED]
    if found.actions["cancel"].done != every:
        found.wrong["counted otherwise by the cancel"] += 1
    found.wrong["begun later and canceled"] += await _canceled_later(store, begun)
    return taken


async def _canceled_later(store: RedisStore, begun_ms: int) -> int:
    """Return how many jobs were canceled that were made after the action began."""
    later, cursor = 0, None
    while True:
        page = await store.list(State.CANCELED, 500, cursor)
        later += sum(job.created_ms > begun_ms for job in page.jobs)
        cursor = page.cursor
        if cursor is None:
            return later


async def purged(url: str, store: RedisStore, taken: list[JobId], found: Found) -> None:
    """Purge what was canceled: it must be gone, and nothing else."""
    before = await store.stats()
    await act(url, store, ActionKind.PURGE, State.CANCELED, found)
    after = await store.stats()
    found.wrong["missed by the purge"] += after.counts[State.CANCELED]
    left = [job async for job in read(store, taken) if job is not None]
    found.wrong["left by the purge"] += len(left)
    for state in (State.COMPLETED, State.FAILED):
        found.wrong["purged though not canceled"] += before.counts[state] - after.counts[state]


def processor_ms(pid: int) -> float:
    """Return the processor time of a process's first thread (Linux)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e6


async def measure_steps(server: RedisServer, count: int, found: Found) -> None:
    """Carry out the three actions with nothing beside them, and measure each step."""
    store = opened(server.url)
    await store.open()
    await store.configure(ENDPOINT.spec.policy())
    await make_failed(store, count)
    for kind in (ActionKind.RETRY, ActionKind.CANCEL, ActionKind.PURGE):
        wanted = NewAction(ids.new(int(time.time() * 1_000)), kind)
        await store.begin_action(wanted)
        times = found.steps[kind.value] = []
        action: Action | None = None
        while action is None or action.state == "Running":
            before = processor_ms(server.pid)
            action = await store.step_action(wanted.id)
            times.append(processor_ms(server.pid) - before)
            assert action is not None
        assert action.done == count
    await store.close()


async def measure(url: str, count: int, rate: int) -> Found:
    """Carry out the three actions, each on `count` jobs."""
    found, store, redis = Found(rates={"wanted": rate}), opened(url), Redis.from_url(url)
    await store.open()
    await store.configure(ENDPOINT.spec.policy())
    await redis.config_set("slowlog-max-len", 10_000)
    await redis.config_set("slowlog-log-slower-than", SLOW_US)
    try:
        await retried(url, store, count, found)
        await purged(url, store, await canceled(url, store, count, found), found)
        found.slow = [
            (entry["duration"] / 1_000, any(sha in entry["command"] for sha in STEP))
            for entry in await redis.slowlog_get(10_000)
        ]
        found.wrong = +found.wrong
    finally:
        await store.close()
        await redis.aclose()
    return found


def shown(found: Found) -> dict[str, Any]:
    """Return the figures by their names."""
    return {
        **{f"{kind} s": seconds for kind, seconds in found.seconds.items()},
        **{f"{kind} done": action.done for kind, action in found.actions.items()},
        "drained per s": found.rates["drained"],
        "wrong": dict(found.wrong),
        "steps above 5 ms": sum(step for _, step in found.slow),
        "other commands above 5 ms": sum(not step for _, step in found.slow),
        "slowest command ms": max((ms for ms, _ in found.slow), default=0.0),
        **{f"{kind} steps": len(each) for kind, each in found.steps.items()},
        **{f"{kind} step ms, p50": statistics.median(each) for kind, each in found.steps.items()},
        **{f"{kind} step ms, most": max(each) for kind, each in found.steps.items()},
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--carry-out", metavar="URL")
    parser.add_argument("--load", nargs=2, metavar=("URL", "RATE"))
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if options.carry_out:
        asyncio.run(carry_out(options.carry_out))
    elif options.load:
        asyncio.run(load(options.load[0], int(options.load[1])))
    else:
        with RedisServer() as server:
            found = asyncio.run(measure(server.url, options.jobs, options.rate))
        with RedisServer() as server:
            asyncio.run(measure_steps(server, options.jobs, found))
        figures = shown(found)
        print(json.dumps(figures, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
