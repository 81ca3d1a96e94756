"""What handlers do to their process: forked processes, exits, and what they leave running; with
jobs in memory and on Redis.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_cli.run.kept_signals import keep_signals
from support.cli import Command, ask, eventually, final, write_endpoint
from support.redis.server import RedisServer

FREE = ("--port", "0", "--admin-port", "0")
END_SECONDS = 60.0
"""Leftovers would run for minutes."""
ONE_RUN = "  retry: {maxRetries: 0}\n"

CODE = """\
import asyncio, faulthandler, logging, multiprocessing, os, signal, subprocess, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from asyncendpoints import handler

fork = multiprocessing.get_context("fork")
kept = []

def square(number):
    return number * number

def describe(queue):
    links = {}
    for name in os.listdir("/dev/fd"):
        try:
            links[name] = os.readlink(f"/dev/fd/{name}")
        except OSError:
            pass
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    found = [str(signal.getsignal(number)) for number in numbers]
    queue.put({"signals": found, "wakeup": signal.set_wakeup_fd(-1), "links": links})

def child():
    queue = fork.Queue()
    process = fork.Process(target=describe, args=(queue,))
    process.start()
    found = queue.get(timeout=30)
    process.join()
    return found

def terminate():
    process = fork.Process(target=time.sleep, args=(300,))
    process.start()
    process.terminate()
    process.join(10)
    return process.exitcode

def pool():
    with fork.Pool(2) as workers:
        return list(workers.imap(square, range(5)))

def nested_pools():
    with ProcessPoolExecutor(1, mp_context=fork) as executor:
        return executor.submit(pool).result()

def spawn():
    return subprocess.run([sys.executable, "-c", "print(7)"], capture_output=True).stdout.decode()

async def replace_signals():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

async def replace_signals_of_the_loop():
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, print)

def remove_streams():
    sys.stdout = sys.stderr = None

def close_streams():
    sys.stdout.close()
    sys.stderr.close()

def leave_process():
    process = fork.Process(target=time.sleep, args=(300,))
    process.start()
    return process.pid

def leave_thread():
    threading.Thread(target=time.sleep, args=(300,)).start()

def leave_pool():
    executor = ThreadPoolExecutor()
    kept.append(executor)
    executor.submit(time.sleep, 300)

async def leave_executor():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 300)

async def never_ends():
    while True:
        try:
            await asyncio.sleep(300)
        except asyncio.CancelledError:
            pass

async def leave_task():
    kept.append(asyncio.create_task(never_ends()))

def exits():
    sys.exit(3)

async def task_exits(error):
    raise error

async def gather(error):
    await asyncio.gather(task_exits(error), asyncio.sleep(300))

async def group(error):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(task_exits(error))

async def in_executor():
    await asyncio.get_running_loop().run_in_executor(None, exits)

async def in_process():
    with ProcessPoolExecutor(1, mp_context=fork) as executor:
        await asyncio.get_running_loop().run_in_executor(executor, exits)

async def callback():
    asyncio.get_running_loop().call_soon(exits)
    await asyncio.sleep(0.05)

async def stops_the_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.05)

async def cancels_all():
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0.05)

async def own_tasks():
    started = asyncio.create_task(asyncio.sleep(300), name="mine")
    names = [task.get_name() for task in asyncio.all_tasks()]
    started.cancel()
    return "mine" in names

async def closes_the_loop():
    loop = asyncio.get_running_loop()
    loop.close()

async def ends_the_executor():
    await asyncio.get_running_loop().shutdown_default_executor()

def changes_the_process():
    os.chdir("/")
    os.environ.clear()
    logging.shutdown()
    logging.disable()
    faulthandler.enable()
    threading.excepthook = sys.excepthook = lambda *_: exits()
    asyncio.set_event_loop(None)

async def block():
    open(os.environ["BLOCKED"], "w").close()
    time.sleep(300)

ERRORS = {each.__name__: each for each in (SystemExit, KeyboardInterrupt, GeneratorExit)}

@handler("work")
async def work(body: dict):
    function = globals()[body["do"]]
    arguments = [ERRORS[body["raise"]]] if "raise" in body else []
    if body.get("in_thread"):
        return await asyncio.to_thread(function, *arguments)
    value = function(*arguments)
    return await value if asyncio.iscoroutine(value) else value

@handler("wait")
async def wait():
    while not os.path.exists(os.environ["GO"]):
        await asyncio.sleep(0.05)
"""

MORE_ROUTES = '    - {path: "/wait", job: wait}\n'


class Served:
    """A running `run` with the handlers above."""

    def __init__(self, folder: Path, mode: str, redis_url: str) -> None:
        file = write_endpoint(folder, CODE, more=ONE_RUN, concurrency=8)
        file.write_text(file.read_text().replace("  worker:", f"{MORE_ROUTES}  worker:"))
        self.blocked, self.go = folder / "blocked", folder / "go"
        self.in_memory = mode == "memory"
        redis = () if self.in_memory else ("--redis", redis_url)
        env = {"BLOCKED": str(self.blocked), "GO": str(self.go)}
        self.command = Command("run", file, *FREE, *redis, env=env)
        (self.url,) = self.command.ready()

    def submit(self, path: str = "/work", **body: Any) -> str:
        answer = ask(f"{self.url}{path}", "POST", json.dumps(body), Content_Type="application/json")
        assert answer.status == 202
        return self.url + answer.headers["Location"]

    def result(self, job: str) -> Any:
        answer = ask(f"{job}/result?wait=30")
        while answer.status == 202:
            answer = ask(f"{job}/result?wait=30")
        assert answer.status == 200, answer
        return answer.json if "json" in answer.headers["Content-Type"] else answer.body.decode()


@pytest.fixture(scope="module", params=["memory", "redis"])
def shared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
) -> Iterator[Served]:
    """For tests after which it still runs."""
    # A database of its own: its workers would take the jobs of a test with an instance of its own.
    url = f"{redis_server.url.removesuffix('/0')}/1"
    running = Served(tmp_path_factory.mktemp("shared"), request.param, url)
    with running.command:
        yield running
        assert ends(running, signal.SIGTERM) == 0


@pytest.fixture(params=["memory", "redis"])
def served(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Iterator[Served]:
    """For tests that end it."""
    running = Served(tmp_path, request.param, redis_url)
    with running.command:
        yield running


def ends(served: Served, number: signal.Signals) -> int:
    """Send a signal; return the exit status, which must come soon."""
    began = time.monotonic()
    status = served.command.stop(number)
    assert time.monotonic() - began < END_SECONDS
    return status


def test_a_forked_process_shares_nothing_and_works_as_usual(shared: Served) -> None:
    for in_thread in (False, True):
        found = shared.result(shared.submit(do="child", in_thread=in_thread))
        assert found["signals"] == ["<built-in function default_int_handler>", "0", "0"]
        assert found["wakeup"] == -1
        ours = [each for each in found["links"].values() if "socket" in each or "event" in each]
        assert ours == []
        assert shared.result(shared.submit(do="terminate", in_thread=in_thread)) == -15
        assert shared.result(shared.submit(do="pool", in_thread=in_thread)) == [0, 1, 4, 9, 16]
        assert shared.result(shared.submit(do="spawn", in_thread=in_thread)) == "7\n"
    assert shared.result(shared.submit(do="nested_pools")) == [0, 1, 4, 9, 16]


def test_an_exit_fails_its_attempt_alone(shared: Served) -> None:
    neighbour = shared.submit("/wait")
    failing = [
        shared.submit(**{"do": where, "raise": error})
        for where in ("gather", "group", "task_exits")
        for error in ("SystemExit", "KeyboardInterrupt", "GeneratorExit")
    ]
    failing += [shared.submit(do=where) for where in ("exits", "in_executor", "in_process")]
    failing.append(shared.submit(do="exits", in_thread=True))
    failing += [shared.submit(do=where) for where in ("closes_the_loop", "ends_the_executor")]
    for job in map(final, failing):
        assert (job["state"], job["error"]["code"]) == ("Failed", "handler-error")
        assert (job["attempt"], job["crashes"]) == (1, 0)
    for where in ("callback", "stops_the_loop", "cancels_all"):
        assert shared.result(shared.submit(do=where)) is None
    shared.go.touch()
    job = final(neighbour)
    assert (job["state"], job["attempt"], job["crashes"]) == ("Completed", 1, 0)


def test_what_a_job_left_running_does_not_delay_the_end(served: Served) -> None:
    for what in ("leave_thread", "leave_pool", "leave_executor", "leave_task"):
        assert served.result(served.submit(do=what)) is None
    process = served.result(served.submit(do="leave_process"))
    assert ends(served, signal.SIGINT) == 0
    assert "left running" in served.command.err
    eventually(lambda: not alive(process))


def test_what_is_changed_in_the_process_does_not_end_it(served: Served) -> None:
    assert served.result(served.submit(do="own_tasks")) is True
    assert served.result(served.submit(do="changes_the_process")) is None
    for do in ("pool", "cancels_all", "own_tasks"):
        served.result(served.submit(do=do))
    assert ends(served, signal.SIGTERM) == 0


@pytest.mark.parametrize("how", ["remove_streams", "close_streams"])
def test_standard_streams_that_are_gone_change_no_exit_status(served: Served, how: str) -> None:
    assert served.result(served.submit(do=how)) is None
    assert ends(served, signal.SIGTERM) == 0


@pytest.mark.parametrize("how", ["replace_signals", "replace_signals_of_the_loop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_handlers_of_user_code_do_not_keep_it_from_ending(
    served: Served, how: str, number: signal.Signals
) -> None:
    assert served.result(served.submit(do=how)) is None
    if served.in_memory:
        served.command.said("that of `run` is kept", times=2)
    assert ends(served, number) == 0


async def test_that_a_signal_s_handler_is_kept_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def own(*_: object) -> None: ...

    def of_a_library(*_: object) -> None: ...

    with keep_signals({signal.SIGUSR1: own}):
        for _ in range(3):
            assert signal.signal(signal.SIGUSR1, of_a_library) is own
    assert [record.message for record in caplog.records] == [
        "user code set a handler of SIGUSR1, and that of `run` is kept"
    ]


def test_a_second_interrupt_ends_at_once_whatever_blocks(served: Served) -> None:
    served.submit(do="leave_task")
    served.submit(do="block")
    eventually(served.blocked.exists)
    served.command.send(signal.SIGINT)
    if served.command.process.poll() is None:
        time.sleep(0.2)  # two signals at the same moment may be delivered as one
    assert ends(served, signal.SIGINT) == 130


def test_a_forked_process_dies_with_a_process_that_is_killed(served: Served) -> None:
    process = served.result(served.submit(do="leave_process"))
    served.command.kill()
    eventually(lambda: not alive(process))


def alive(process: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return os.path.exists(f"/proc/{process}")
