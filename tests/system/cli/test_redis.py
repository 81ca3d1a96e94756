"""`run --redis`, `gateway` and `worker`: several processes on one real Redis."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncendpoints_core.store.redis import RedisStore
from support.cli import Command, ask, eventually, final, write_endpoint
from support.ports import free_port
from support.redis.server import RedisServer

FREE = ("--port", "0", "--admin-port", "0")
KEY = "default/reports"

# Tells through one pipe who runs it, then waits at another for what it is to return.
CODE = """\
import os
from asyncendpoints import handler, JobContext

@handler("work")
def work(body: dict[str, str], job: JobContext) -> str:
    answer = f"{body['home']}/{os.getpid()}"
    os.mkfifo(answer)
    with open(f"{body['home']}/started", "w") as started:
        started.write(f"{os.getpid()} {os.getppid()}\\n")
    with open(answer) as pipe:
        return pipe.read()
"""


class Runs:
    """Talks with running handlers through named pipes in `home`."""

    def __init__(self, home: Path) -> None:
        os.mkfifo(home / "started")
        self.home = home
        # Also open for writing, so that reading waits for the next handler instead of ending.
        self._started = os.fdopen(os.open(home / "started", os.O_RDWR), "r", closefd=True)

    def submit(self, url: str) -> str:
        """Submit a job; return its URL."""
        body = f'{{"home": "{self.home}"}}'
        answer = ask(f"{url}/work", "POST", body, Content_Type="application/json")
        assert answer.status == 202, answer
        return url + answer.headers["Location"]

    def next(self) -> tuple[int, int]:
        """Wait for the next handler to run; return the ids of its process and supervisor."""
        child, supervisor = self._started.readline().split()
        return int(child), int(supervisor)

    def let_go(self, child: int, result: str = "done") -> None:
        """Let the handler in process `child` return."""
        (self.home / str(child)).write_text(result)

    def close(self) -> None:
        """Close the pipe."""
        self._started.close()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    home = tmp_path / "pipes"
    home.mkdir()
    made = Runs(home)
    yield made
    made.close()


def pods(url: str) -> set[str]:
    """Return the pods (supervisors) that the store knows."""

    async def ask_store() -> set[str]:
        store = RedisStore(url, KEY)
        await store.open()
        try:
            return {state.info.pod for state in await store.workers()}
        finally:
            await store.close()

    return asyncio.run(ask_store())


def test_run_starts_workers_and_a_drained_end_leaves_none(
    tmp_path: Path, redis_url: str, runs: Runs
) -> None:
    file = write_endpoint(tmp_path, CODE)
    with Command("run", file, *FREE, "--redis", redis_url) as run:
        (url,) = run.ready()
        job = runs.submit(url)
        child, supervisor = runs.next()
        assert supervisor != run.process.pid
        assert os.getsid(supervisor) != os.getsid(run.process.pid)
        run.send(signal.SIGTERM)
        run.said("shutting down after 1 running job")
        runs.let_go(child)
        assert run.wait() == 0
    for pid in (child, supervisor):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert pods(redis_url) == set()
    # The queue is in Redis: another process knows how the job ended.
    with Command("gateway", "--endpoint", file, *FREE, "--redis", redis_url) as gateway:
        other = gateway.ready_in_log()
        assert final(job.replace(url, other))["state"] == "Completed"
        assert gateway.stop() == 0


def test_workers_drain_when_run_is_killed(tmp_path: Path, redis_url: str, runs: Runs) -> None:
    file = write_endpoint(tmp_path, CODE)
    with Command("run", file, *FREE, "--redis", redis_url) as run:
        (url,) = run.ready()
        runs.submit(url)
        child, _ = runs.next()
        run.kill()
        runs.let_go(child)
    eventually(lambda: not pods(redis_url))


def test_a_worker_that_is_killed_is_started_again_and_its_job_runs_again(
    tmp_path: Path, redis_url: str, runs: Runs
) -> None:
    file = write_endpoint(tmp_path, CODE, more="  timeouts: {leaseSeconds: 1}\n")
    with Command("run", file, *FREE, "--redis", redis_url) as run:
        (url,) = run.ready()
        job = runs.submit(url)
        _, supervisor = runs.next()
        os.kill(supervisor, signal.SIGKILL)
        run.said("a worker exited with status -9")
        child, other = runs.next()
        assert other != supervisor
        runs.let_go(child)
        done = final(job)
        assert (done["state"], done["attempt"], done["crashes"]) == ("Completed", 1, 0)
        assert run.stop() == 0


def test_a_second_interrupt_hands_back_what_runs(
    tmp_path: Path, redis_url: str, runs: Runs
) -> None:
    file = write_endpoint(tmp_path, CODE)
    with Command("run", file, *FREE, "--redis", redis_url) as run:
        (url,) = run.ready()
        job = runs.submit(url)
        runs.next()
        run.send(signal.SIGINT)
        run.said("shutting down after 1 running job")
        assert run.stop(signal.SIGINT) == 130
        assert "Traceback" not in run.err
    with Command("gateway", "--endpoint", file, *FREE, "--redis", redis_url) as gateway:
        other = gateway.ready_in_log()
        again = ask(job.replace(url, other)).json
        assert (again["state"], again["attempt"], again["crashes"]) == ("Queued", 0, 0)


def test_gateway_and_worker_by_themselves(tmp_path: Path, redis_url: str, runs: Runs) -> None:
    file, secret = write_endpoint(tmp_path, CODE), tmp_path / "url"
    secret.write_text(redis_url + "\n")
    env = {"ASYNCENDPOINTS_REDIS_URL_FILE": str(secret), "ASYNCENDPOINTS_ENDPOINT_FILE": str(file)}
    with Command("gateway", *FREE, env=env) as gateway, Command("worker", env=env) as worker:
        url = gateway.ready_in_log()
        job = runs.submit(url)
        child, supervisor = runs.next()
        assert supervisor == worker.process.pid
        runs.let_go(child)
        assert final(job)["state"] == "Completed"
        assert worker.stop() == 0
        assert gateway.stop(signal.SIGINT) == 0
        assert worker.out == ""


def test_a_gateway_without_an_operator_writes_what_its_file_says(
    tmp_path: Path, redis_url: str, runs: Runs
) -> None:
    file = write_endpoint(tmp_path, CODE, more="  suspend: true\n")
    command = ("gateway", "--endpoint", file, *FREE, "--redis", redis_url)
    with Command(*command) as gateway, Command("worker", *command[1:3], *command[-2:]) as worker:
        url = gateway.ready_in_log()
        job = runs.submit(url)
        assert ask(f"{job}?wait=2").json["state"] == "Queued"
        assert gateway.stop() == 0
        file.write_text(file.read_text().replace("suspend: true", "queue: {maxDepth: 1}"))
        with Command(*command) as again:
            other = again.ready_in_log()
            child, _ = runs.next()
            for expected in (202, 429):
                answer = ask(f"{other}/work", "POST", "{}", Content_Type="application/json",
                             Job_Delay="60")  # fmt: skip
                assert answer.status == expected
            runs.let_go(child)
            assert final(job.replace(url, other))["state"] == "Completed"
            assert again.stop() == 0
        assert worker.stop() == 0


def test_more_jobs_bring_more_worker_processes(tmp_path: Path, redis_url: str, runs: Runs) -> None:
    more = "  autoscaling: {maxReplicas: 2, idleSeconds: 1}\n"
    file = write_endpoint(tmp_path, CODE, more=more, concurrency=1)
    with Command("run", file, *FREE, "--redis", redis_url) as run:
        (url,) = run.ready()
        jobs = [runs.submit(url) for _ in range(2)]
        first, second = runs.next(), runs.next()
        assert first[1] != second[1]
        run.said("1 → 2")
        for child, _ in (first, second):
            runs.let_go(child)
        assert {final(job)["state"] for job in jobs} == {"Completed"}
        run.said("2 → 1")
        eventually(lambda: len(pods(redis_url)) == 1)
        assert run.stop() == 0


def test_the_admin_port_adds_up_what_workers_count(
    tmp_path: Path, redis_url: str, runs: Runs
) -> None:
    """Also those that have ended: by themselves, or because the code changed."""
    port = free_port()
    file = write_endpoint(tmp_path, CODE, concurrency=1)
    options = ("--port", "0", "--admin-port", str(port), "--redis", redis_url, "--reload")
    completed = 'attempts_total{endpoint="reports",job="work",outcome="completed"}'

    def shows(name: str, value: int) -> bool:
        try:
            text = ask(f"http://127.0.0.1:{port}/metrics").body.decode()
        except ConnectionError:  # a reload opens the port anew
            return False
        return f"asyncendpoints_{name} {value}.0\n" in text

    with Command("run", file, *options) as run:
        (url,) = run.ready()
        job = runs.submit(url)
        child, supervisor = runs.next()
        runs.let_go(child)
        assert final(job)["state"] == "Completed"
        eventually(lambda: shows(completed, 1))
        os.kill(supervisor, signal.SIGKILL)
        run.said("a worker exited with status")
        assert shows(completed, 1)
        job = runs.submit(url)
        child, _ = runs.next()
        os.kill(child, signal.SIGKILL)  # its supervisor lives, and counts it
        child, _ = runs.next()
        runs.let_go(child)
        assert final(job)["crashes"] == 1
        eventually(lambda: shows(completed, 2))
        assert shows('worker_child_crashes_total{cause="signal",endpoint="reports"}', 1)
        (tmp_path / "jobs.py").write_text(CODE + "\n")
        run.said("reports: reloaded")
        eventually(lambda: shows(completed, 2))
        assert run.stop() == 0


@pytest.mark.parametrize("role", ["run", "gateway", "worker"])
def test_sigterm_before_redis_was_reached_ends_it(tmp_path: Path, role: str) -> None:
    file = write_endpoint(tmp_path, CODE)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        named = ("run", file) if role == "run" else (role, "--endpoint", file)
        ports = ("--admin-port", "0") if role == "worker" else FREE
        with Command(*named, *ports, "--redis", url) as command:
            connection, _ = silent.accept()
            with connection:
                assert command.stop() == 0


def test_a_gateway_is_ready_once_it_has_reached_its_store(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, CODE)
    with RedisServer() as server:
        url = server.url
        server.kill()
        more = ("--redis", url, "--host", "0.0.0.0")
        with Command("gateway", "--endpoint", file, *FREE, *more) as gateway:
            gateway.said("reports listens on http://0.0.0.0:")
            gateway.said("waiting for the store")
            assert "ready" not in gateway.err
            server.restart()
            gateway.said("reports is ready at http://0.0.0.0:")
            assert gateway.stop() == 0
        assert gateway.out == ""
        for line in gateway.err.splitlines():
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
