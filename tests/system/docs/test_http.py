"""docs/http.md: every command on it is run, with the response on the page."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyncendpoints_core.common.problem_types import TABLE
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.serve import Server
from asyncendpoints_worker.local import LocalWorker
from support.http.fixtures import http_mode
from support.paths import ROOT

__all__ = ["http_mode"]

PAGE = (ROOT / "docs" / "http.md").read_text()
HANDLERS = """
from asyncendpoints import JobContext, handler


@handler("add-up")
async def add_up(body: dict, job: JobContext) -> dict:
    await job.progress(0.5, "adding up")
    return {"sum": sum(body["numbers"])}
"""
MARK = "=== example "


def _examples() -> list[tuple[str, str]]:
    """Return (command, the response on the page)."""
    found = re.findall(r"^```sh\n(.*?)^```\n```http\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == PAGE.count("```sh\n")
    return found


def _split(answer: str) -> tuple[str, dict[str, str], str]:
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    status, *lines = head.strip().split("\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return status, {name.lower(): value for name, value in headers.items()}, body.strip()


def _matches(told: Any, real: Any) -> None:
    """Compare the page with the response: "…" is anything, an empty list any list."""
    if told == "…" or told == []:
        return
    if isinstance(told, dict):
        for name, value in told.items():
            assert name in real, f"{name} is not in {real}"
            _matches(value, real[name])
    elif isinstance(told, list):
        for one, other in zip(told, real, strict=True):
            _matches(one, other)
    else:
        assert told == real


@pytest.fixture
def handlers(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "sums.py").write_text(HANDLERS)
    yield tmp_path
    sys.modules.pop("sums", None)


async def test_every_command_is_answered_as_the_page_says(handlers: Path) -> None:
    described = AsyncEndpoint.parse(
        yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
    )
    store = MemoryStore()
    server = Server(described, store, Settings(http_port=0), owns_policy=True)
    worker = LocalWorker(described, store, folders=[handlers])
    await server.start()
    await server.gateway.policy.connected.wait()
    await worker.start()
    examples = _examples()
    script = "set -euo pipefail\n" + "\n".join(
        f"printf '\\n{MARK}{n}\\n'\n{command}" for n, (command, _) in enumerate(examples)
    )
    try:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            env={"API": server.url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 100)
        assert process.returncode == 0
    finally:
        await worker.stop(1)
        await server.stop()
    answers = re.split(rf"\n{MARK}\d+\n", out.decode())[1:]
    assert len(answers) == len(examples)
    for (command, told), real in zip(examples, answers, strict=True):
        try:
            _compare(_split(told), _split(real))
        except AssertionError as error:
            raise AssertionError(f"{command}\n{real}\n{error}") from None


def _compare(told: tuple[str, dict[str, str], str], real: tuple[str, dict[str, str], str]) -> None:
    assert told[0] == real[0]
    for name, value in told[1].items():
        assert name in real[1], f"no {name}"
        if name not in {"location", "retry-after", "etag"}:
            assert value == real[1][name]
    if told[1].get("content-type") == "text/event-stream":
        last = real[2].split("\n\n")[-1]
        assert re.fullmatch(r"id: \d+\nevent: job\ndata: \{.*\}", last)
        assert '"state":"Completed"' in last
    elif told[2]:
        _matches(json.loads(told[2]), json.loads(real[2]))


def test_the_table_of_problems_is_the_codes() -> None:
    table = PAGE.partition("<!-- problems -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", table, re.MULTILINE)
    assert {name: int(status) for name, status in rows} == {
        name: kind.status for name, kind in TABLE.items()
    }
