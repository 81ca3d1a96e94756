"""The ports in docs/coming-from: each page's files, written and run as its readers run them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.cli import Command, ask
from support.paths import ROOT
from support.ports import free_port

PAGES = ROOT / "docs" / "coming-from"
FREE = ("--port", "0", "--admin-port", "0")


def write_files(page: str, folder: Path) -> None:
    """Write the blocks of a page that begin with the name of a file."""
    for block in re.findall(r"^```\w+\n(.*?)^```$", (PAGES / page).read_text(), re.DOTALL | re.M):
        name = re.match(r"(?:#|//) ([\w.]+)\n", block)
        assert name, block
        (folder / name[1]).write_text(block)


def test_the_ports_from_other_task_queues_pass_their_tests(tmp_path: Path) -> None:
    for page in ("celery.md", "dramatiq.md", "arq.md", "dotnet.md"):
        write_files(page, tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", f"pythonpath={tmp_path}", "-o", "asyncio_mode=auto", "-c", "/dev/null"),
            tmp_path,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.parametrize(
    ("page", "server", "path", "body", "expected"),
    [
        ("bullmq.md", ("node", "server.mjs"), "/mails", {"to": "a"}, {"sent": "a"}),
        ("cloud-tasks.md", (sys.executable, "server.py"), "/images", {"width": 8}, {"width": 4}),
    ],
)
def test_a_server_of_one_s_own_runs_the_jobs(
    page: str, server: tuple[str, ...], path: str, body: Any, expected: Any, tmp_path: Path
) -> None:
    write_files(page, tmp_path)
    port = free_port()
    target = ("--http-target", f"http://127.0.0.1:{port}/jobs")
    env = {**os.environ, "PORT": str(port)}
    with subprocess.Popen(server, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            with Command("run", tmp_path / "endpoint.yaml", *FREE, *target) as run:
                headers = {"Content_Type": "application/json", "Prefer": "wait=30"}
                url = run.ready()[0] + path
                answer = ask(url, "POST", json.dumps(body).encode(), **headers)
                assert answer.status == 200, answer.body
                assert expected.items() <= json.loads(answer.body).items()
                assert run.stop() == 0
        finally:
            process.terminate()
