"""Keys and limits in `asyncendpoints run`, over HTTP."""

import json
from pathlib import Path

from support.cli import Command, ask, final, write_endpoint

CODE = """\
import asyncio
from collections import Counter
from asyncendpoints import handler, JobContext

running, most, started = Counter(), Counter(), []

@handler("work")
async def work(body: dict, job: JobContext) -> dict:
    key = body["key"]
    started.append(key)
    running[key] += 1
    most[key] = max(most[key], running[key])
    await asyncio.sleep(0.02)
    running[key] -= 1
    return {"most": dict(most), "started": started}
"""
LIMITS = """\
  limits:
    perKey: {concurrency: 1}
    keys: [{key: large, concurrency: 2}]
"""


def submit(url: str, key: str) -> str:
    body = json.dumps({"key": key})
    job_id: str = ask(f"{url}/work", "POST", body, Content_Type="application/json").json["id"]
    return job_id


def test_a_flood_of_one_key_starves_no_other(tmp_path: Path) -> None:
    file = write_endpoint(tmp_path, CODE, more=LIMITS, concurrency=8)
    file.write_text(file.read_text().replace("job: work", 'job: work, key: "pointer:/key"', 1))
    with Command("run", file, "--port", "0", "--admin-port", "0", "--console-port", "0") as command:
        [url] = command.ready()
        keys = ["large"] * 30 + ["small"] * 5
        jobs = [submit(url, key) for key in keys]
        ended = [final(f"{url}/jobs/{job}") for job in jobs]
        assert {job["state"] for job in ended} == {"Completed"}
        shown = ask(f"{url}/jobs/{jobs[29]}/result").json
    assert shown["most"] == {"large": 2, "small": 1}
    assert shown["started"].index("small") < 30
