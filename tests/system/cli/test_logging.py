"""What handlers log and print, also of a killed process; the examples of docs/logging.md."""

import json
import re
import signal
from pathlib import Path

import pytest

from support.cli import Command, ask, eventually, final, write_endpoint
from support.paths import ROOT

PAGE = ROOT / "docs" / "logging.md"
FREE = ("--port", "0", "--admin-port", "0")

CODE = """\
import asyncio, logging, os, threading
from asyncendpoints import handler

log = logging.getLogger(__name__)
log.info("imported")

@handler("work")
async def work(body: dict[str, str]) -> None:
    logging.info("root of %s", "work")
    await asyncio.to_thread(log.warning, "thread of work")
    log.debug("not shown")

@handler("plain")
def plain() -> None:
    log.info("plain work")
    raise ValueError("it broke")

@handler("die")
def die() -> None:
    print("about to die")
    os._exit(7)
"""

ROUTES = """\
  routes:
    - {path: "/work", job: work}
    - {path: "/plain", job: plain}
    - {path: "/die", job: die}
"""


def endpoint(folder: Path) -> Path:
    file = write_endpoint(folder, CODE)
    text = file.read_text().replace('  routes:\n    - {path: "/work", job: work}\n', ROUTES)
    file.write_text(text + "  retry: {maxRetries: 0, maxCrashes: 0}\n")
    return file


@pytest.mark.parametrize("redis", [False, True], ids=["memory", "redis"])
def test_a_handlers_records_carry_its_job(redis: bool, redis_url: str, tmp_path: Path) -> None:
    options = ("--redis", redis_url) if redis else ()
    with Command("run", endpoint(tmp_path), *FREE, *options) as run:
        (url,) = run.ready()
        first = ask(f"{url}/work", "POST", "{}", Content_Type="application/json")
        assert final(url + first.headers["Location"])["state"] == "Completed"
        second = ask(f"{url}/plain", "POST")
        assert final(url + second.headers["Location"])["state"] == "Failed"
        run.said("it broke")
        records = [json.loads(line) for line in run.err.splitlines()]
        assert any(each["message"] == "imported" for each in records)
        of_first = [each["message"] for each in records if each.get("job_id") == first.json["id"]]
        assert [each for each in of_first if " of " in each] == ["root of work", "thread of work"]
        assert "not shown" not in of_first
        of_second = [each for each in records if each.get("job_id") == second.json["id"]]
        assert {"plain work", "handler failed"} <= {each["message"] for each in of_second}

        # Its process ends without any cleanup: in memory that is `run` itself.
        ask(f"{url}/die", "POST")
        eventually(lambda: "about to die\n" in run.out)
        if redis:
            run.send(signal.SIGTERM)
        assert run.wait() == (0 if redis else 7)


def test_the_level_of_the_command_line_is_the_handlers_too(tmp_path: Path) -> None:
    with Command("run", endpoint(tmp_path), *FREE, "--log-level", "debug") as run:
        (url,) = run.ready()
        job = ask(f"{url}/work", "POST", "{}", Content_Type="application/json")
        assert final(url + job.headers["Location"])["state"] == "Completed"
        run.said("not shown")
        assert run.stop() == 0


def test_the_examples_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = []
    for module, code in blocks:
        name = re.findall(r'@handler\("(\w+)"', code)[0]
        file = write_endpoint(tmp_path / module, code, module=module)
        file.write_text(file.read_text().replace("job: work", f"job: {name}"))
        with Command("run", file, *FREE) as run:
            (url,) = run.ready()
            body = '{"account": "a-17"}'
            job = ask(f"{url}/work", "POST", body, Content_Type="application/json").json["id"]
            assert final(f"{url}/jobs/{job}")["state"] == "Completed"
            assert run.stop() == 0
            lines += [line.replace(job, "ID") for line in run.err.splitlines() if job in line]
    record = json.loads(lines[0])
    assert (record["logger"], record["message"]) == ("audit", "checking a-17")
    assert record["job_id"] == "ID"
    assert lines[1:] == ["INFO ID hello"]
