"""What handlers start by exec ends with `run`, however that ends; with jobs in memory and on
Redis.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Command, ask, eventually, write_endpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

FREE = ("--port", "0", "--admin-port", "0")

CODE = """\
import asyncio, multiprocessing, os, signal, subprocess, sys, time
from asyncendpoints import handler

SLEEP = ["sleep", "300"]
DAEMON = ["sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo $!"]
kept = []

def ignore():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(300)

def spawned(method):
    process = multiprocessing.get_context(method).Process(target=ignore, daemon=False)
    process.start()
    kept.append(process)
    return process.pid

async def asynchronous():
    kept.append(await asyncio.create_subprocess_exec(*SLEEP, start_new_session=True))
    return kept[-1].pid

def popen(**options):
    kept.append(subprocess.Popen(SLEEP, **options))
    return kept[-1].pid

@handler("work")
async def work():
    return [
        popen(),
        popen(start_new_session=True),
        popen(env={"PATH": os.environ["PATH"]}),
        popen(env={}, executable="/bin/sleep", start_new_session=EVEN_THESE),
        await asynchronous(),
        int(subprocess.run(DAEMON, capture_output=True, check=True).stdout),
        await asyncio.to_thread(spawned, "spawn"),
        await asyncio.to_thread(spawned, "forkserver"),
    ]

@handler("block")
async def block():
    open(os.environ["BLOCKED"], "w").close()
    time.sleep(300)
"""
MORE_ROUTES = '    - {path: "/block", job: block}\n'


class Served:
    """A running `run` with the handlers above."""

    def __init__(self, folder: Path, mode: str, redis_url: str) -> None:
        # A new session without the worker's environment is found only by a `run` in memory.
        code = CODE.replace("EVEN_THESE", str(mode == "memory"))
        file = write_endpoint(folder, code)
        file.write_text(file.read_text().replace("  worker:", f"{MORE_ROUTES}  worker:"))
        self.blocked = folder / "blocked"
        redis = ("--redis", redis_url) if mode == "redis" else ()
        self.command = Command("run", file, *FREE, *redis, env={"BLOCKED": str(self.blocked)})
        (self.url,) = self.command.ready()

    def started(self) -> list[int]:
        answer = ask(f"{self.url}/work", "POST", Prefer="wait=30")
        assert answer.status == 200, answer
        pids: list[int] = json.loads(answer.body)
        assert all(map(runs, pids))
        return pids


@pytest.fixture(params=["memory", "redis"])
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def served(mode: str, tmp_path: Path, redis_url: str) -> Iterator[Served]:
    running = Served(tmp_path, mode, redis_url)
    with running.command:
        yield running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_a_signal(served: Served, number: signal.Signals) -> None:
    pids = served.started()
    assert served.command.stop(number) == 0
    eventually(lambda: not any(map(runs, pids)))


def test_nothing_is_left_after_a_second_interrupt(served: Served) -> None:
    pids = served.started()
    ask(f"{served.url}/block", "POST")
    eventually(served.blocked.exists)
    served.command.send(signal.SIGINT)
    if served.command.process.poll() is None:
        time.sleep(0.2)  # two signals at the same moment may be delivered as one
    assert served.command.stop(signal.SIGINT) == 130
    eventually(lambda: not any(map(runs, pids)))


def test_nothing_with_its_environment_is_left_after_a_kill(served: Served, mode: str) -> None:
    pids = served.started()
    if mode == "memory":  # nothing says of these where they come from
        for pid in (pids.pop(3), pids.pop(2)):
            os.kill(pid, signal.SIGKILL)
    served.command.kill()
    eventually(lambda: not any(map(runs, pids)))


def runs(process: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
