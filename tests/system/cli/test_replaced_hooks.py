"""What handlers replace in their process: signal handlers, the task factory, the exception hook;
with jobs in memory and on Redis.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import Command, ask, final, write_endpoint

CODE = """\
import asyncio, signal, sys
from asyncendpoints import handler

async def ignores_signals():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

def no_tasks(loop, coro, **options):
    coro.close()
    raise RuntimeError("no tasks")

async def sets_a_task_factory_that_raises():
    asyncio.get_running_loop().set_task_factory(no_tasks)
    asyncio.create_task(asyncio.sleep(0))

async def sets_a_task_factory():
    loop, made = asyncio.get_running_loop(), []

    def factory(loop, coro, **options):
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
    await asyncio.sleep(1)  # other tasks of the process begin
    loop.set_task_factory(None)
    return made

async def removes_the_exception_hook():
    sys.excepthook = None

async def works():
    return await asyncio.create_task(asyncio.sleep(0, "async"))

def works_in_a_thread():
    return "thread"

@handler("work")
async def work(body: dict):
    return await globals()[body["do"]]()

@handler("thread")
def thread():
    return works_in_a_thread()
"""
JSON = "application/json"
MORE = "  retry: {maxRetries: 0}\n"


class Served:
    """A running `run` with the handlers above."""

    def __init__(self, folder: Path, redis: tuple[str, ...]) -> None:
        file = write_endpoint(folder, CODE, more=MORE)
        route = '    - {path: "/thread", job: thread}\n'
        file.write_text(file.read_text().replace("  worker:", f"{route}  worker:"))
        self.command = Command("run", file, "--port", "0", "--admin-port", "0", *redis)
        (self.url,) = self.command.ready()

    def job(self, do: str, path: str = "/work") -> dict[str, Any]:
        """Run a function of the module to its end; return the job."""
        answer = ask(f"{self.url}{path}", "POST", json.dumps({"do": do}), Content_Type=JSON)
        assert answer.status == 202
        job: dict[str, Any] = final(self.url + answer.headers["Location"])
        return job

    def result(self, do: str, path: str = "/work") -> Any:
        """Return what a function of the module returns."""
        job = self.job(do, path)
        assert job["state"] == "Completed", job
        return ask(f"{self.url}{job['links']['result']}").body.decode()


@pytest.fixture(params=["memory", "redis"])
def served(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Iterator[Served]:
    running = Served(tmp_path, () if request.param == "memory" else ("--redis", redis_url))
    with running.command:
        yield running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_right_after_a_handler_ignored_it_is_not_lost(
    served: Served, number: signal.Signals
) -> None:
    served.result("ignores_signals")
    assert served.command.stop(number) == 0


def test_a_task_factory_of_a_handler_makes_the_tasks_of_handlers_alone(served: Served) -> None:
    assert json.loads(served.result("sets_a_task_factory")) == ["sleep", "sleep"]
    assert served.result("works") == "async"
    job = served.job("sets_a_task_factory_that_raises")
    assert (job["state"], job["error"]["message"]) == ("Failed", "no tasks")
    assert served.job("works")["error"]["message"] == "no tasks"
    assert served.result("", "/thread") == "thread"
    assert served.command.stop(signal.SIGTERM) == 0


def test_a_removed_exception_hook_keeps_no_thread_from_starting(served: Served) -> None:
    served.result("removes_the_exception_hook")
    assert served.result("", "/thread") == "thread"
    assert served.command.stop(signal.SIGTERM) == 0
