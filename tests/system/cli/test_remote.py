"""`asyncendpoints jobs …` and `queue …` against a running `asyncendpoints run`."""

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyncendpoints_cli.main import main
from asyncendpoints_cli.remote.client import ApiError, Client
from asyncendpoints_core import __version__
from support.cli import IGNORING_SIGINT, Command, ask, eventually, final, write_endpoint
from support.pages import commands
from support.paths import ROOT
from support.ports import free_port

CODE = """\
import logging

from asyncendpoints import PermanentError, Result, handler

log = logging.getLogger("jobs")

@handler("work")
async def work(text: str) -> object:
    log.info("at work [red] \\x1b[2J")
    if text == "fail":
        raise PermanentError("[red]no\\x1b[2J\\u202e money", code="broke")
    if text == "binary":
        return Result(b"\\xff\\x00", content_type="image/png")
    return text
"""


NO_LOGS = "no logs; they are kept where the endpoint has worker.logs\n"
LOGS = ", logs: {keep: All}"
PAGES = "cli.md", "command.md", "logging.md"
SHOWN = [line for page in PAGES for line in commands(ROOT / "docs" / page)]
EXAMPLES = [line for line in SHOWN if line.startswith(("asyncendpoints jobs ", "asyncendpoints q"))]

FOLLOWS = "asyncendpoints jobs watch --state InProgress"  # until Ctrl-C


@dataclass
class Served:
    """A running endpoint, and the folder where commands find it."""

    url: str
    console: str
    env: dict[str, str]

    def submit(self, body: str, **headers: str) -> str:
        answer = ask(f"{self.url}/work", "POST", body, Content_Type="text/plain", **headers)
        if "Job_Delay" not in headers:
            final(self.url + answer.headers["Location"])
        return answer.headers["Location"].rpartition("/")[2]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    env = {"ASYNCENDPOINTS_RUNTIME_DIR": str(folder / "runtime")}
    port = free_port()
    options = ("--port", "0", "--admin-port", "0", "--console-port", str(port))
    with Command("run", write_endpoint(folder, CODE, worker=LOGS), *options, env=env) as run:
        (url,) = run.ready()
        yield Served(url, f"http://127.0.0.1:{port}", env)
        assert run.stop() == 0


@pytest.fixture(autouse=True)
def _environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCENDPOINTS_RUNTIME_DIR", served.env["ASYNCENDPOINTS_RUNTIME_DIR"])
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, status: int = 0) -> tuple[str, str]:
        assert main(arguments) == status, capsys.readouterr()
        done = capsys.readouterr()
        return done.out, done.err

    return run


def test_a_list_in_every_format(served: Served, run: Any) -> None:
    job = served.submit("fine", Job_Tags="a,b")
    listed, _ = run("jobs", "list", "--tag", "a", "--tag", "b", "--state", "Completed")
    header, line = listed.splitlines()
    assert header.split()[:3] == ["ID", "JOB", "STATE"]
    assert line.split()[:3] == [job[-8:], "work", "Completed"]
    assert job not in listed
    wide, _ = run("jobs", "list", "--tag", "a", "-o", "wide")
    assert {job, "normal", "a,b"} <= set(wide.split())
    [found] = json.loads(run("jobs", "list", "--tag", "a", "-o", "json")[0])
    assert (found["id"], found["tags"]) == (job, ["a", "b"])
    assert yaml.safe_load(run("jobs", "list", "--tag", "a", "-o", "yaml")[0]) == [found]
    assert run("jobs", "list", "--tag", "a", "-o", "name")[0] == f"{job}\n"
    assert run("jobs", "list", "--tag", "none") == ("", "no jobs\n")
    assert json.loads(run("jobs", "list", "--tag", "none", "-o", "json")[0]) == []


def test_one_job_by_the_end_of_its_id(served: Served, run: Any) -> None:
    job = served.submit("fail")
    shown, _ = run("jobs", "get", job[-8:])
    assert job in shown
    assert "POST /work" in shown
    assert r"broke: [red]no\x1b[2J\u202e money" in shown, "markup and controls are only text"
    assert json.loads(run("jobs", "get", job, "-o", "json")[0])["id"] == job
    failures, _ = run("queue", "failures")
    assert "broke" in failures
    data = run("jobs", "get", job, "-o", "yaml")[0]
    assert not {"\x1b", "\u202e"} & set(shown + failures + data)
    assert yaml.safe_load(data)["error"]["message"] == "[red]no\x1b[2J\u202e money"


def test_filters_narrow_a_list_and_an_action(served: Served, run: Any) -> None:
    job, later = served.submit("fail"), served.submit("x", Job_Delay="600", Job_Tags="narrow")
    for given, found in (
        (("--error", "broke", "--since", "1h"), True),
        (("--error", "other"), False),
        (("--key", "k"), False),
        (("--schedule", "nightly"), False),
        (("--until", "1h"), False),
        (("--until", "2020-01-01T00:00Z"), False),
    ):
        assert (job in run("jobs", "list", *given, "-o", "name")[0]) is found, given
    narrowed = ("--tag", "narrow", "--yes", "-e", "reports")
    assert "no job matches" in run("jobs", "cancel", *narrowed, "--until", "1h", status=2)[1]
    assert run("jobs", "cancel", *narrowed, "--since", "1h")[0] == f"{later}\n"


def test_a_route_that_the_server_lacks_is_one_line_with_the_version(served: Served) -> None:
    [file] = Path(served.env["ASYNCENDPOINTS_RUNTIME_DIR"]).glob("console-*.json")
    token = json.loads(file.read_text())["viewToken"]
    with Client(served.console, token) as client, pytest.raises(ApiError) as refused:
        client.get("/endpoints/default/reports/later")
    assert str(refused.value).endswith(f"does not exist there; this command needs {__version__}")


def test_results_as_they_are(served: Served, run: Any, tmp_path: Path) -> None:
    job = served.submit("binary")
    file = tmp_path / "result"
    run("jobs", "result", job, "--file", str(file))
    assert file.read_bytes() == b"\xff\x00"
    piped = subprocess.run(
        [sys.executable, "-m", "asyncendpoints_cli", "jobs", "result", job],
        env={**os.environ, **served.env},
        capture_output=True,
        check=True,
    )
    assert piped.stdout == b"\xff\x00"
    ours, theirs = pty.openpty()
    refused = subprocess.run(
        [sys.executable, "-m", "asyncendpoints_cli", "jobs", "result", job],
        env={**os.environ, **served.env},
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert refused.returncode == 2
    assert "2 bytes of image/png: write it to a file" in refused.stderr


def test_watch_ends_when_the_jobs_are_final(served: Served, run: Any) -> None:
    job = served.submit("fine")
    assert run("jobs", "watch", job)[0] == f"{job} work Completed\n"
    assert run("jobs", "watch", job, "-o", "name")[0] == f"{job}\n"
    [line] = run("jobs", "watch", job, "-o", "json")[0].splitlines()
    assert (json.loads(line)["id"], json.loads(line)["state"]) == (job, "Completed")
    [found] = yaml.safe_load_all(run("jobs", "watch", job, "-o", "yaml")[0])
    assert found == json.loads(line)


def test_actions_on_one_and_on_several(served: Served, run: Any) -> None:
    one, two, three = (served.submit("x", Job_Delay="600", Job_Tags="act") for _ in range(3))
    out, err = run("jobs", "cancel", one)
    assert (out, err) == (f"{one}\n", "cancel: 1 of 1 jobs of default/reports\n")
    _, err = run("jobs", "cancel", "--tag", "act", "--state", "Scheduled", status=2)
    assert f"cancel 2 jobs of default/reports at {served.console}" in err
    _, err = run("jobs", "cancel", "--tag", "act", "--state", "Scheduled", "--yes", status=2)
    assert "--yes needs -e ENDPOINT or --url URL" in err
    chosen = ("--tag", "act", "--state", "Scheduled", "--yes", "-e", "reports")
    out, _ = run("jobs", "cancel", *chosen)
    assert set(out.split()) == {two, three}
    out, err = run("jobs", "cancel", one, two, "--yes", "-e", "reports", status=1)
    assert out == ""
    assert err.count("the job is final") == 2
    run("jobs", "retry", three)
    assert ask(f"{served.url}/jobs/{three}").json["state"] != "Canceled"
    run("jobs", "purge", one)
    assert ask(f"{served.url}/jobs/{one}").status == 410


def test_a_question_counts_only_jobs_that_the_action_takes(served: Served, run: Any) -> None:
    for _ in range(2):
        served.submit("fine", Job_Tags="counted")
    later = [served.submit("x", Job_Delay="600", Job_Tags="counted") for _ in range(2)]
    _, err = run("jobs", "cancel", "--tag", "counted", status=2)
    assert f"cancel 2 jobs of default/reports at {served.console}" in err
    _, err = run("jobs", "retry", "--tag", "counted", status=2)
    assert "no job matches" in err
    _, err = run("jobs", "cancel", "--tag", "counted", "--state", "Completed", status=2)
    assert "cancel acts on jobs that are Scheduled, Queued, InProgress, not Completed" in err
    out, err = run("jobs", "cancel", "--tag", "counted", "--yes", "-e", "reports")
    assert (set(out.split()), err) == (set(later), "cancel: 2 of 2 jobs of default/reports\n")


def test_many_jobs_are_one_action(served: Served, run: Any) -> None:
    jobs = [served.submit("x", Job_Delay="600", Job_Tags="many") for _ in range(103)]
    _, err = run("jobs", "cancel", "--tag", "many", "--state", "Scheduled", status=2)
    assert f"cancel 103 jobs of default/reports at {served.console}" in err
    out, err = run("jobs", "cancel", "--tag", "many", "--yes", "-e", "reports")
    assert (out, err) == ("", "cancel: 103 of 103 jobs of default/reports\n")
    assert ask(f"{served.url}/jobs/{jobs[0]}").json["state"] == "Canceled"
    run("jobs", "purge", "--tag", "many", "--yes", "-e", "reports")
    assert ask(f"{served.url}/jobs/{jobs[0]}").status == 410


def test_actions_print_what_they_changed(served: Served, run: Any) -> None:
    def delayed(count: int, tag: str) -> list[str]:
        return [served.submit("x", Job_Delay="600", Job_Tags=tag) for _ in range(count)]

    one, two = delayed(2, "printed")
    out, _ = run("jobs", "cancel", one, "-o", "json")
    found = json.loads(out)
    assert [job["state"] for job in found.pop("jobs")] == ["Canceled"]
    assert found == {
        "action": "cancel",
        "endpoint": "default/reports",
        "state": "Done",
        "matched": 1,
        "done": 1,
        "skipped": 0,
        "errors": [],
    }
    out, err = run("jobs", "cancel", one, two, "--yes", "-e", "reports", "-o", "yaml", status=1)
    found = yaml.safe_load(out)
    assert [job["id"] for job in found["jobs"]] == [two]
    assert [(each["id"], each["code"]) for each in found["errors"]] == [(one, "job-final")]
    assert "the job is final" in err
    header, line = run("jobs", "retry", one, "-o", "table")[0].splitlines()
    assert (header.split()[0], line.split()[0]) == ("ID", one[-8:])
    out, _ = run("jobs", "purge", one, "-o", "json")
    assert json.loads(out)["jobs"] == [{"id": one, "deleted": True}]
    assert run("jobs", "purge", two, "-o", "name")[0] == f"{two}\n"
    delayed(101, "printed")
    chosen = ("--tag", "printed", "--yes", "-e", "reports", "-o", "json")
    for action in ("cancel", "purge"):
        found = json.loads(run("jobs", action, *chosen)[0])
        assert (found["action"], found["matched"], found["done"]) == (action, 101, 101)
        assert (found["skipped"], found["jobs"], found["errors"]) == (0, None, [])
        assert found["state"] == "Done"


@pytest.mark.parametrize(("interrupted", "status"), [(False, 1), (True, 130)])
def test_an_action_that_ends_early_prints_what_it_changed(
    served: Served, run: Any, monkeypatch: pytest.MonkeyPatch, interrupted: bool, status: int
) -> None:
    jobs = [served.submit("x", Job_Delay="600") for _ in range(4)]
    changes, change = count(1), Client.change

    def cut(self: Client, *given: Any) -> Any:
        if next(changes) == 3:
            if interrupted:
                raise KeyboardInterrupt
            self._connection.close()
            self._connection.port = free_port()
        return change(self, *given)

    monkeypatch.setattr(Client, "change", cut)
    chosen = (*jobs, "--yes", "-e", "reports", "-o", "json")
    out, err = run("jobs", "cancel", *chosen, status=status)
    found = json.loads(out)
    assert [job["id"] for job in found["jobs"]] == jobs[:2]
    assert (found["state"], found["matched"], found["done"]) == ("Aborted", 4, 2)
    refused = [] if interrupted else [(jobs[2], "unreachable")]
    assert [(each["id"], each["code"]) for each in found["errors"]] == refused
    assert "cancel: 2 of 4 jobs" in err


@pytest.mark.parametrize("interrupted", [False, True])
def test_an_action_on_many_jobs_that_is_aborted_prints_how_far_it_came(
    served: Served, run: Any, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    for _ in range(101):
        served.submit("x", Job_Delay="600", Job_Tags="aborted")
    change, sleep, begun = Client.change, time.sleep, list[str]()

    def changed(self: Client, method: str, path: str, value: object = None) -> Any:
        answer = change(self, method, path, value)
        if not answer["dryRun"]:
            begun.append(path)
        running = interrupted and method == "POST"
        aborted = {"state": "Running" if running else "Aborted", "skipped": 2}
        return answer if answer["dryRun"] else {**answer, **aborted}

    def interrupt(seconds: float) -> None:
        if begun:  # not while it is asked what would be changed
            raise KeyboardInterrupt
        sleep(seconds)

    monkeypatch.setattr(Client, "change", changed)
    monkeypatch.setattr("asyncendpoints_cli.remote.acting.time.sleep", interrupt)
    chosen = ("--tag", "aborted", "--yes", "-e", "reports", "-o", "json")
    out, _ = run("jobs", "cancel", *chosen, status=130 if interrupted else 1)
    found = json.loads(out)
    assert (found["state"], found["matched"], found["skipped"]) == ("Aborted", 101, 2)
    assert (found["jobs"], found["errors"]) == (None, None)


def test_a_pause_prints_the_endpoint(run: Any) -> None:
    [found] = json.loads(run("queue", "pause", "-o", "json")[0])
    assert (found["name"], found["paused"]) == ("reports", ["*"])
    assert "paused" in run("queue", "pause", "-o", "table")[0]
    assert run("queue", "resume", "-o", "name")[0] == "default/reports\n"


def test_a_url_of_the_environment_makes_no_target_certain(
    served: Served, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that was exported an hour ago is not what one sees before Enter."""
    for _ in range(2):
        served.submit("x", Job_Delay="600", Job_Tags="exported")
    monkeypatch.setenv("ASYNCENDPOINTS_CONSOLE_URL", served.console)
    chosen = ("jobs", "cancel", "--tag", "exported", "--yes")
    _, err = run(*chosen, status=2)
    assert "--yes needs -e ENDPOINT or --url URL" in err
    out, _ = run(*chosen, "--url", served.console)
    assert len(out.split()) == 2


def test_a_question_is_answered(served: Served, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    for _ in range(2):
        served.submit("x", Job_Delay="600", Job_Tags="ask")
    for answer, status in (("n\n", 2), ("\n", 2), ("y\n", 0)):
        monkeypatch.setattr(sys, "stdin", Keyboard(answer))
        _, err = run("jobs", "cancel", "--tag", "ask", "--state", "Scheduled", status=status)
        assert err.startswith("cancel 2 jobs of default/reports at http://127.0.0.1:")
        assert ("nothing was changed" in err) is (status == 2)


def test_the_queue_and_its_workers(served: Served, run: Any) -> None:
    shown, _ = run("queue", "show")
    assert "default/reports" in shown
    assert "RUNNING" in shown
    [found] = json.loads(run("queue", "show", "-o", "json")[0])
    assert found["name"] == "reports"
    assert run("queue", "show", "-o", "name")[0] == "default/reports\n"
    shown, _ = run("queue", "workers")
    assert "0/2" in shown
    assert "ready" in shown


def test_an_endpoint_is_paused_until_it_is_resumed(served: Served, run: Any) -> None:
    job = served.submit("fine", Job_Delay="600")
    assert run("queue", "pause")[0] == f"paused default/reports at {served.console}\n"
    shown, _ = run("queue", "show")
    assert "paused" in shown
    assert run("queue", "resume", "-e", "reports")[0].startswith("resumed default/reports at ")
    assert "paused" not in run("queue", "show")[0]
    assert run("queue", "pause", "--job", "work")[0].startswith(
        "paused work of default/reports at "
    )
    assert "paused: work" in run("queue", "show")[0]
    assert run("queue", "resume", "--job", "work")[0].startswith("resumed work of default/reports")
    assert "paused" not in run("queue", "show")[0]
    run("jobs", "cancel", job)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("jobs", "list", "-e", "other"), "there is no endpoint other at http://127.0.0.1:"),
        (("jobs", "get", "ffff0000"), "no job id ends in ffff0000"),
        (("jobs", "get", "../x"), "../x is neither a job id nor the end of one"),
        (("jobs", "cancel"), "which jobs? give ids, filters such as --state Failed, or --all"),
        (("jobs", "cancel", "ffff0000", "--all"), "by their ids, or by filters, not both"),
        (("jobs", "list", "--state", "failed"), "invalid choice: 'failed'"),
        (("jobs", "list", "--since", "soon"), "must be an age such as 30m, 2h or 7d, or a time"),
        (("jobs", "list", "--url", "127.0.0.1:9091"), "--url: must be a URL"),
        (("jobs",), "which one? asyncendpoints jobs list|get|watch|logs|result|cancel|retry|purge"),
    ],
)
def test_what_users_do_wrong(run: Any, arguments: tuple[str, ...], says: str) -> None:
    _, err = run(*arguments, status=2)
    assert says in err
    assert err.count("\n") == 1


def test_where_the_console_is(
    served: Served, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [file] = Path(served.env["ASYNCENDPOINTS_RUNTIME_DIR"]).glob("console-*.json")
    running = json.loads(file.read_text())
    monkeypatch.setenv("ASYNCENDPOINTS_RUNTIME_DIR", str(tmp_path / "none"))
    assert "looked in" in run("jobs", "list", status=2)[1]
    assert "CONSOLE_TOKEN" in run("jobs", "list", "--url", served.console, status=2)[1]
    monkeypatch.setenv("ASYNCENDPOINTS_CONSOLE_TOKEN", "wrong")
    assert "the token is not valid" in run("jobs", "list", "--url", served.console, status=1)[1]
    monkeypatch.setenv("ASYNCENDPOINTS_CONSOLE_TOKEN", running["viewToken"])
    job = served.submit("x", Job_Delay="600")
    run("jobs", "list", "--url", served.console)
    err = run("jobs", "cancel", job, "--url", served.console, status=1)[1]
    assert "operate" in err
    away = f"http://127.0.0.1:{free_port()}"
    assert f"{away} cannot be reached" in run("jobs", "list", "--url", away, status=1)[1]


def test_logs_are_shown_by_attempt(served: Served, run: Any) -> None:
    job = served.submit("fail")

    def shown(*options: str) -> list[str]:
        out: str = run("jobs", "logs", job[-8:], *options)[0]
        return out.splitlines()

    eventually(lambda: bool(shown()))
    head, line = shown()
    assert (head, line[23:]) == ("--- attempt 1 ---", "Z INFO jobs: at work [red] \x1b[2J")
    assert shown("--attempt", "1") == [line]
    assert shown("-f") == [head, line]
    assert run("jobs", "logs", job, "--attempt", "2") == ("", NO_LOGS)
    assert "from 1" in run("jobs", "logs", job, "--attempt", "0", status=1)[1]


def test_logs_are_followed_until_the_job_ends(served: Served, run: Any) -> None:
    job = served.submit("x", Job_Delay="600")
    with Command("jobs", "logs", job, "-f", env=served.env) as command:
        run("jobs", "cancel", job)
        assert command.process.wait(60) == 0
        assert command.out == ""


def test_a_link_to_the_console_logs_in_once(served: Served, run: Any) -> None:
    link = run("console", "--no-browser")[0].strip()
    assert link.startswith(f"{served.console}/login?code=")
    opened = ask(link)
    assert (opened.status, opened.headers["Location"]) == (303, "/")
    session = opened.headers["Set-Cookie"].partition(";")[0]
    assert ask(f"{served.console}/api/v1", Cookie=session).json["role"] == "operate"
    assert ask(link).status == 401


@pytest.mark.parametrize("line", sorted({*EXAMPLES} - {FOLLOWS}))
def test_every_example_of_the_pages_runs(
    served: Served, run: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = line.replace("build-report", "work").replace("handler-error", "broke")
    words = shlex.split(named)[1:]
    verb = words[1]
    for action, state in (("purge", "Failed"), ("cancel", "Scheduled")):  # of the tests before
        main(("jobs", action, "--state", state, "--yes", "-e", "reports"))
    if verb in ("retry", "purge"):
        job = served.submit("fail")
    else:
        job = served.submit("fine", **({"Job_Delay": "600"} if verb == "cancel" else {}))
    words = [job[-8:] if re.fullmatch("[0-9a-f]{8}", word) else word for word in words]
    run(*words)
    if verb == "pause":
        run("queue", "resume")
    if "--file" in words:
        assert Path(words[-1]).read_bytes() == b"fine"


@pytest.mark.parametrize("before", [(), IGNORING_SIGINT])
def test_a_list_is_followed_until_an_interrupt(served: Served, before: tuple[str, ...]) -> None:
    job = served.submit("x", Job_Delay="600")
    words = FOLLOWS.replace("InProgress", "Scheduled").split()[1:]
    assert FOLLOWS in EXAMPLES
    with Command(*words, env=served.env, before=before) as command:
        eventually(lambda: f"{job} work Scheduled\n" in command.out)
        assert command.stop(signal.SIGINT) == 130
