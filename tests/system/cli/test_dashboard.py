"""A real Prometheus scrapes `asyncendpoints run`: every query of the dashboard finds data."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from support.cli import SECONDS, Command, ask, final, write_endpoint
from support.paths import ROOT
from support.ports import free_port

DASHBOARD = ROOT / "charts/asyncendpoints/files/dashboards/asyncendpoint.json"
CODE = """\
from asyncendpoints import JobContext, handler

@handler("work")
async def work(text: str, job: JobContext) -> str:
    if job.attempt == 1:
        raise ConnectionError("a dependency is away")
    return text
"""
VARIABLES = {"$namespace": "default", "$endpoint": "reports", "$__rate_interval": "20s"}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Scrape `target` each half second; yield the server's URL."""
    scrape = {
        "job_name": "run",
        "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "static_configs": [{"targets": [target], "labels": {"namespace": "default"}}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def values(url: str, query: str) -> list[str]:
    """Return the numbers that a query finds now; none while the server starts."""
    try:
        answer = ask(f"{url}/api/v1/query?{urlencode({'query': query})}")
    except ConnectionError:
        return []
    if answer.status == 503:
        return []
    assert answer.status == 200, answer.body
    found: Any = answer.json["data"]["result"]
    return [one["value"][1] for one in found if one["value"][1] != "NaN"]


def test_every_query_of_the_dashboard_finds_data(tmp_path: Path) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 12
    for name, value in VARIABLES.items():
        queries = [query.replace(name, value) for query in queries]
    file = write_endpoint(tmp_path, CODE, more="  retry: {maxRetries: 1, initialSeconds: 0.1}\n")
    admin = free_port()
    with (
        Command("run", file, "--port", "0", "--admin-port", str(admin)) as run,
        prometheus(tmp_path, f"127.0.0.1:{admin}") as server,
    ):
        (url,) = run.ready()
        missing, deadline = queries, time.monotonic() + SECONDS
        while missing:
            answer = ask(f"{url}/work", "POST", "x", Content_Type="text/plain")
            final(url + answer.headers["Location"])
            missing = [query for query in missing if not values(server, query)]
            assert time.monotonic() < deadline, missing
        names = {variable["name"] for variable in dashboard["templating"]["list"]}
        assert names == {"datasource", "namespace", "endpoint"}
        assert values(server, 'asyncendpoints_jobs{namespace="default",endpoint="reports"}')
        assert run.stop() == 0
