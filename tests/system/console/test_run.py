"""The console of `asyncendpoints run`: its port, its file, and what it shows of a real queue."""

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_console import runtime_file
from support.cli import Command, ask, eventually, final, write_endpoint
from support.doc_pages import fences
from support.paths import ROOT

CODE = """\
from asyncendpoints import handler, PermanentError

@handler("work")
def work(body):
    if body.get("fail"):
        raise PermanentError("as requested", code="requested")
    return body
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "runtime"
    found.mkdir(mode=0o700)
    return found


def started(file: Path, folder: Path, *options: str) -> Command:
    environment = {"ASYNCENDPOINTS_RUNTIME_DIR": str(folder)}
    return Command("run", file, "--port", "0", "--admin-port", "0", *options, env=environment)


def read(running: runtime_file.Running, path: str, token: str = "") -> Any:
    authorization = f"Bearer {token or running.view_token}"
    return ask(f"{running.url}/api/v1{path}", Authorization=authorization).json


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def commands_of_the_page(folder: Path, url: str) -> str:
    """Run the commands of docs/console.md with this console's file and port; return the output."""
    page = fences((ROOT / "docs/console.md").read_text())
    blocks = "".join(text for language, text in page if language == "bash")
    port = url.rpartition(":")[2]
    text = blocks.replace("~/.local/state/asyncendpoints", str(folder)).replace("9091", port)
    done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_it_shows_and_steers_what_runs(
    store: str, tmp_path: Path, folder: Path, request: pytest.FixtureRequest
) -> None:
    file = write_endpoint(tmp_path, CODE)
    more = ["--redis", request.getfixturevalue("redis_url")] if store == "redis" else []
    with started(file, folder, *more) as run:
        [url] = run.ready()
        [running] = runtime_file.consoles(folder)
        assert running.pid == run.process.pid
        run.said(f"the console is at {running.url}")
        assert running.operate_token not in run.err + run.out
        done = ask(f"{url}/work", "POST", '{"n": 1}', Content_Type="application/json")
        failed = ask(f"{url}/work", "POST", '{"fail": true}', Content_Type="application/json")
        for answer in (done, failed):
            final(url + answer.headers["Location"])
        [shown] = read(running, "/endpoints")["items"]
        assert (shown["jobs"]["Completed"], shown["jobs"]["Failed"]) == (1, 1)
        assert shown["workers"] == 1
        eventually(lambda: read(running, "/endpoints")["items"][0]["scaling"] is not None)
        here = f"/endpoints/{shown['namespace']}/{shown['name']}"
        eventually(lambda: any(read(running, f"{here}/figures")["finishes"]))
        [group] = read(running, f"{here}/failures")["items"]
        assert (group["job"], group["error"], group["count"]) == ("work", "requested", 1)
        assert f'"id":"{failed.json["id"]}"' in commands_of_the_page(folder, running.url)
        retried = ask(
            f"{running.url}/api/v1{here}/jobs/{failed.json['id']}/retry",
            "POST",
            Authorization=f"Bearer {running.operate_token}",
            Content_Type="application/json",
        )
        assert retried.status == 202
        [worker] = read(running, f"{here}/workers")["items"]
        assert worker["live"]
        assert run.stop() == 0
    assert runtime_file.consoles(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("setting", ["enabled: false", "readOnly: true", "bodies: false"])
def test_it_obeys_the_resource(setting: str, tmp_path: Path, folder: Path) -> None:
    file = write_endpoint(tmp_path, CODE, more=f"  gateway: {{console: {{{setting}}}}}\n")
    with started(file, folder) as run:
        [url] = run.ready()
        eventually(lambda: bool(runtime_file.consoles(folder)))
        [running] = runtime_file.consoles(folder)
        job = ask(f"{url}/work", "POST", "{}", Content_Type="application/json").json["id"]
        here = f"{running.url}/api/v1/endpoints/default/reports"
        headers = {
            "Authorization": f"Bearer {running.operate_token}",
            "Content_Type": "application/json",
        }
        found = [
            ask(f"{here}/{path}", method, **headers).status
            for method, path in (("POST", "pause"), ("GET", f"jobs/{job}/body"), ("GET", "workers"))
        ]
        assert (
            found
            == {
                "enabled: false": [404, 404, 404],
                "readOnly: true": [403, 200, 200],
                "bodies: false": [200, 403, 200],
            }[setting]
        )
        assert len(read(running, "/endpoints")["items"]) == (setting != "enabled: false")


def test_a_taken_port_is_passed_over_unless_it_was_given(tmp_path: Path, folder: Path) -> None:
    file = write_endpoint(tmp_path, CODE)
    with started(file, folder) as first, started(file, folder) as second:
        first.ready()
        second.ready()
        one, two = runtime_file.consoles(folder)
        ports = sorted(int(each.url.rpartition(":")[2]) for each in (one, two))
        assert ports[0] >= 9091
        assert ports[0] != ports[1]
        with started(file, folder, "--console-port", str(ports[0])) as third:
            assert third.wait() == 1
            assert "--console-port" in third.err
        first.kill()  # its file stays, and is ignored
        assert [each.pid for each in runtime_file.consoles(folder)] == [second.process.pid]
        assert len(list(folder.iterdir())) == 2
    with socket.socket(socket.AF_INET6) as taken:  # the other loopback address
        port = free_port()
        taken.bind(("::1", port))
        taken.listen()
        with started(file, folder, "--console-port", str(port)) as run:
            assert run.wait() == 1


def test_a_folder_that_others_can_use_only_costs_the_file(tmp_path: Path, folder: Path) -> None:
    folder.chmod(0o755)
    with started(write_endpoint(tmp_path, CODE), folder) as run:
        run.ready()
        run.said("commands will not find this console")
        assert "chmod 700" in run.err
        assert run.stop(signal.SIGINT) == 0
    assert os.listdir(folder) == []
