"""The README and the quick start: files are written, commands run, responses compared."""

import json
import re
from pathlib import Path

import pytest

from support.cli import Command, ask, eventually, final, once
from support.pages import blocks, commands, curl
from support.paths import ROOT
from support.redis.server import RedisServer

README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"
FREE = ("--port", "0", "--admin-port", "0")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """The quick start's files."""
    (code,) = blocks(QUICKSTART, "python")
    (resource,) = blocks(QUICKSTART, "yaml")
    (tmp_path / "jobs.py").write_text(code)
    file = tmp_path / "endpoint.yaml"
    file.write_text(resource)
    return file


def test_the_readmes_own_endpoint(tmp_path: Path) -> None:
    code = next(block for block in blocks(README, "python") if "build-report" in block)
    resource = next(block for block in blocks(README, "yaml") if "kind: AsyncEndpoint" in block)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "jobs.py").write_text(code)
    file = tmp_path / "endpoint.yaml"
    file.write_text(resource)
    submit, result = [line for line in commands(README) if line.startswith("curl")][:2]
    with Command("run", file, *FREE) as run:
        (url,) = run.ready()
        assert run.out.startswith("reports ready at http://127.0.0.1:")
        answer = curl(submit, url, tmp_path)
        assert answer.startswith("HTTP/1.1 202 Accepted")
        (where,) = re.findall(r"Location: (/jobs/\S+)", answer)
        final(url + where)
        got = curl(re.sub(r"/jobs/\S+/result", f"{where}/result", result), url, tmp_path)
        assert json.loads(got) == {"customer": "acme", "year": 2024}
        assert run.stop() == 0


def test_the_quick_start_in_memory(words: Path, tmp_path: Path) -> None:
    assert once("validate", words) == (0, f"{words}: default/words is valid\n", "")
    first, waited, empty, again, *rest = [c for c in commands(QUICKSTART) if c.startswith("curl")]
    with Command("run", words, *FREE) as run:
        (url,) = run.ready()
        assert curl(first, url, tmp_path).startswith("HTTP/1.1 202 Accepted")
        answer = json.loads(curl(waited, url, tmp_path))
        assert answer == {"language": "en", "most": [["to", 2], ["be", 2], ["or", 1]]}
        problem = json.loads(curl(empty, url, tmp_path))
        assert problem["status"] == 409
        assert problem["error"]["code"] == "empty"
        assert json.loads(curl(again, url, tmp_path))["most"] == [["once", 1], ["again", 1]]
        once_only, delayed, high, listed, scheduled = rest
        job = json.loads(curl(once_only, url, tmp_path))
        assert json.loads(curl(once_only, url, tmp_path))["id"] == job["id"]
        assert json.loads(curl(delayed, url, tmp_path))["state"] == "Scheduled"
        assert json.loads(curl(high, url, tmp_path))["priority"] == "high"
        assert len(json.loads(curl(listed, url, tmp_path))["items"]) == 7
        (only,) = json.loads(curl(scheduled, url, tmp_path))["items"]
        assert only["state"] == "Scheduled"
        assert ask(f"{url}/docs").status == 200
        assert run.stop() == 0
        assert "lost 1 unfinished job" in run.err


def test_the_quick_start_on_redis(words: Path, tmp_path: Path) -> None:
    lines = [c for c in commands(QUICKSTART) if "--redis" in c]
    run, gateway, worker = [line.split()[1:] for line in lines]
    waited = next(c for c in commands(QUICKSTART) if "Prefer" in c)
    with RedisServer() as server:

        def start(line: list[str], *more: str) -> Command:
            here = {"endpoint.yaml": str(words), "redis://127.0.0.1:6379/0": server.url}
            return Command(*(here.get(word, word) for word in line), *more)

        with start(run, *FREE) as running:
            (url,) = running.ready()
            # On a busy machine the first worker may start later than the request waits.
            eventually(lambda: json.loads(curl(waited, url, tmp_path)).get("language") == "en")
            running.said("AOF is off")
            assert running.stop() == 0
        with start(gateway, *FREE) as serving, start(worker) as working:
            url = serving.ready_in_log()
            eventually(lambda: "most" in curl(waited, url, tmp_path))
            assert working.stop() == 0
            assert serving.stop() == 0
