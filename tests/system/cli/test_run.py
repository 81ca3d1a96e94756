"""`asyncendpoints run` in memory: real processes, real HTTP, real signals."""

import json
import os
import signal
from pathlib import Path

import pytest

from support.cli import IGNORING_SIGINT, Command, ask, final, write_endpoint
from support.ports import free_port

ECHO = """\
from asyncendpoints import JobContext, handler

@handler("work")
async def work(body: dict[str, int], job: JobContext) -> dict[str, object]:
    return {"got": body, "attempt": job.attempt}
"""

# Waits for somebody to open the other end of a pipe: it runs for as long as the test wants.
BLOCKED = """\
import os
from asyncendpoints import handler

@handler("work")
def work() -> str:
    with open(os.environ["PIPE"]) as pipe:
        return pipe.read()
"""

BLOCKED_ASYNC = """\
import asyncio, os
from asyncendpoints import handler

@handler("work")
async def work() -> None:
    with await asyncio.to_thread(open, os.environ["PIPE"]):
        await asyncio.Event().wait()
"""

FREE = ("--port", "0", "--admin-port", "0")


def test_a_request_becomes_a_job_and_its_result(tmp_path: Path) -> None:
    with Command("run", write_endpoint(tmp_path, ECHO), *FREE) as run:
        (url,) = run.ready()
        answer = ask(f"{url}/work", "POST", '{"n": 1}', Content_Type="application/json")
        assert answer.status == 202
        job = final(url + answer.headers["Location"])
        assert job["state"] == "Completed"
        result = ask(url + job["links"]["result"])
        assert result.json == {"got": {"n": 1}, "attempt": 1}
        assert run.stop() == 0
        assert run.out == f"reports ready at {url}\n"
        for line in run.err.splitlines():
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


def test_sigterm_lets_a_running_job_finish(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    file = write_endpoint(tmp_path, BLOCKED)
    with Command("run", file, *FREE, env={"PIPE": str(pipe)}) as run:
        (url,) = run.ready()
        ask(f"{url}/work", "POST")
        with pipe.open("w") as other_end:  # opens once the handler has
            run.send(signal.SIGTERM)
            run.said("shutting down after 1 running job")
            other_end.write("done")
        assert run.wait() == 0
        assert "unfinished" not in run.err


@pytest.mark.parametrize("before", [(), IGNORING_SIGINT])
def test_unfinished_jobs_are_counted_at_the_end(tmp_path: Path, before: tuple[str, ...]) -> None:
    with Command("run", write_endpoint(tmp_path, ECHO), *FREE, before=before) as run:
        (url,) = run.ready()
        for _ in range(3):
            ask(f"{url}/work", "POST", "{}", Content_Type="application/json", Job_Delay="600")
        assert run.stop(signal.SIGINT) == 0
        assert "reports: lost 3 unfinished jobs" in run.err
        assert "left running" not in run.err


@pytest.mark.parametrize("code", [BLOCKED, BLOCKED_ASYNC], ids=["plain", "async"])
def test_a_second_interrupt_ends_now_with_130(tmp_path: Path, code: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    file = write_endpoint(tmp_path, code)
    with Command("run", file, *FREE, env={"PIPE": str(pipe)}) as run:
        (url,) = run.ready()
        ask(f"{url}/work", "POST")
        with pipe.open("w"):
            run.send(signal.SIGINT)
            run.said("shutting down after 1 running job")
            assert run.stop(signal.SIGINT) == 130
        assert "Traceback" not in run.err
        assert "reports: lost 1 unfinished job" in run.err


def test_two_endpoints_have_ports_that_follow_each_other(tmp_path: Path) -> None:
    first = write_endpoint(tmp_path / "a", ECHO, name="one", module="jobs_one")
    second = write_endpoint(tmp_path / "b", ECHO, name="two", module="jobs_two")
    port = free_port()
    with Command("run", first, second, "--port", str(port), "--admin-port", "0") as run:
        urls = run.ready(2)
        assert urls == [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]
        for url in urls:
            answer = ask(f"{url}/work", "POST", "{}", Content_Type="application/json")
            assert final(url + answer.headers["Location"])["state"] == "Completed"
        assert run.stop() == 0


def test_one_file_may_hold_several_endpoints(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, ECHO, name="one")
    file.write_text(file.read_text() + "---\n" + file.read_text().replace("one", "two"))
    with Command("run", file, *FREE) as run:
        assert len(run.ready(2)) == 2
        assert run.stop() == 0


def test_a_suspended_endpoint_accepts_runs_nothing_and_says_why(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, ECHO, more="  suspend: true\n")
    with Command("run", file, *FREE) as run:
        (url,) = run.ready()
        run.said("spec.suspend is true: jobs are accepted but not run")
        answer = ask(f"{url}/work", "POST", "{}", Content_Type="application/json")
        assert answer.status == 202
        later = ask(url + answer.headers["Location"] + "?wait=1")
        assert later.json["state"] == "Queued"
        assert run.stop() == 0


def test_no_replicas_says_why_and_others_are_kept(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, ECHO, more="  replicas: 0\n")
    with Command("run", file, *FREE) as run:
        run.ready()
        run.said("spec.replicas is 0: jobs are accepted but not run")
        assert run.stop() == 0


def test_the_admin_port_shows_probes_and_metrics_of_everything(tmp_path: Path) -> None:
    port = free_port()
    file = write_endpoint(tmp_path, ECHO)
    with Command("run", file, "--port", "0", "--admin-port", str(port)) as run:
        (url,) = run.ready()
        answer = ask(f"{url}/work", "POST", "{}", Content_Type="application/json")
        final(url + answer.headers["Location"])
        admin = f"http://127.0.0.1:{port}"
        assert ask(f"{admin}/livez").status == 200
        assert ask(f"{admin}/readyz").status == 200
        text = ask(f"{admin}/metrics").body.decode()
        assert 'asyncendpoints_submissions_total{endpoint="reports",job="work"' in text
        assert 'asyncendpoints_attempts_total{endpoint="reports",job="work"' in text
        assert 'asyncendpoints_scaling_replicas{endpoint="reports"} 1.0' in text
        assert (
            'asyncendpoints_scaling_decisions_total{endpoint="reports",reason="ScaledUp"}' in text
        )
        assert run.stop() == 0


def test_a_flag_wins_over_a_variable(tmp_path: Path) -> None:
    flag, variable = free_port(), free_port()
    file = write_endpoint(tmp_path, ECHO)
    env = {"ASYNCENDPOINTS_HTTP_PORT": str(variable), "ASYNCENDPOINTS_ADMIN_PORT": "0"}
    with Command("run", file, "--port", str(flag), env=env) as run:
        assert run.ready() == [f"http://127.0.0.1:{flag}"]
    with Command("run", file, env=env) as run:
        assert run.ready() == [f"http://127.0.0.1:{variable}"]


def test_logs_are_readable_text_on_request(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, ECHO)
    with Command("run", file, *FREE, env={"ASYNCENDPOINTS_LOG_FORMAT": "text"}) as run:
        run.ready()
        run.said("info    run: reports: workers 0 → 1: at least 1")
        assert run.stop() == 0
