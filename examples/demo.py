"""`make demo`: real HTTP requests become jobs that run, retry, fail, are canceled and complete.

Serves examples/reports with its gateway, a memory store and workers that scale, submits jobs over
HTTP, shows their states as they change, and checks at the end that every job had the expected
outcome. Exit status 0 if so, 1 if not.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web

from asyncendpoints_cli.run.endpoint_service import EndpointService
from asyncendpoints_core import manifest
from asyncendpoints_core.manifest import Loaded
from asyncendpoints_core.process.logs import configure_logging
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.scaling.decide import Decision

HERE = Path(__file__).resolve().parent
ENDPOINT = HERE / "reports" / "endpoint.yaml"
SALES = (HERE / "reports" / "sales.csv").read_text()
LIMIT_SECONDS = 60.0
REPORTS = 20
FINAL = {"Completed", "Failed", "Canceled"}
MARKS = {"Completed": "\x1b[32m", "Failed": "\x1b[31m", "Canceled": "\x1b[33m"}


@dataclass
class Watched:
    """One submitted job: its label, its expected outcome and its current state."""

    label: str
    path: str
    body: bytes
    headers: dict[str, str]
    state: str
    code: str | None = None
    attempts: int | None = None
    cancel: bool = False
    job: dict[str, Any] = field(default_factory=dict)
    progress_seen: bool = False
    has_result: bool = False

    @property
    def now(self) -> str:
        """The current state with its reason."""
        job = self.job
        if not job:
            return "submitting"
        text = str(job["state"])
        if job["state"] == "InProgress" and job["progress"]:
            text += f" {job['progress']['fraction']:.0%} {job['progress']['message']}"
        if job["error"] and job["state"] != "Completed":
            text += f" ({job['error']['code']})"
        if job["attempt"] > 1 or (job["state"] == "Scheduled" and job["attempt"]):
            text += f", attempt {job['attempt']} of {job['maxAttempts']}"
        return text

    def fault(self) -> str:
        """Return the difference from the expected outcome, or ""."""
        job = self.job
        got = (job["state"], job["error"] and job["error"]["code"], job["attempt"])
        code = self.code if self.state == "Failed" else got[1]
        wanted = (self.state, code, got[2] if self.attempts is None else self.attempts)
        if got != wanted:
            return f"{self.label}: got {got}, wanted {wanted}"
        if self.state == "Completed" and not self.has_result:
            return f"{self.label}: its result is not a report"
        return ""


def jobs(source: str) -> list[Watched]:
    """Return the jobs to submit. `source` is the address of the server to import from."""
    csv, json_ = {"Content-Type": "text/csv"}, {"Content-Type": "application/json"}
    query = "?column=amount&by=region"

    def imported(label: str, name: str, state: str, **more: Any) -> Watched:
        body = f'{{"url": "http://{source}/{name}", "column": "amount"}}'.encode()
        return Watched(label, "/imports/acme", body, json_, state, **more)

    sales = SALES.encode()
    listed = [
        Watched("a report", f"/reports/acme{query}", sales, csv, "Completed", attempts=1),
        Watched("a file that is not a table", f"/reports/acme{query}", b"nothing\n1\n", csv,
                "Failed", code="bad-table", attempts=1),
        imported("a source that is busy at first", "busy.csv", "Completed", attempts=2),
        imported("a source that stays broken", "broken.csv", "Failed", code="handler-error",
                 attempts=3),
        Watched("a long one, canceled while it runs", f"/reports/big{query}&resamples=100000",
                sales, {**csv, "Job-Priority": "high"}, "Canceled", cancel=True),
        Watched("one that waits too long", f"/reports/late{query}", sales,
                {**csv, "Job-Delay": "60", "Job-Expires": "1"}, "Failed", code="expired",
                attempts=0),
        Watched("a delayed one, canceled while it waits", f"/reports/never{query}", sales,
                {**csv, "Job-Delay": "60"}, "Canceled", cancel=True, attempts=0),
    ]  # fmt: skip
    return listed + [
        Watched(f"report {n} of the crowd", f"/reports/customer-{n}{query}&resamples=4000",
                sales, csv, "Completed")
        for n in range(1, REPORTS + 1)
    ]  # fmt: skip


class Screen:
    """Shows the jobs: a table that is redrawn on a terminal, otherwise a line per change."""

    def __init__(self, watched: list[Watched]) -> None:
        """Show these jobs, once `draw` is called."""
        self._watched = watched
        self._terminal = sys.stdout.isatty()
        self._lines = 0
        self._shown: dict[str, str] = {}
        self._begun = time.monotonic()
        self._why = ""
        self.workers = 0
        self.most_workers = 0
        self.calm = asyncio.Event()

    def scaled(self, decision: Decision) -> None:
        """Show a decision of the autoscaler."""
        if decision.replicas != self.workers:
            self.note(f"workers {decision.text}")
            self._why = decision.text
        self.workers = decision.replicas
        self.most_workers = max(self.most_workers, self.workers)
        (self.calm.set if self.workers <= 1 else self.calm.clear)()
        self.draw()

    def note(self, text: str) -> None:
        """Print a line, unless there is a table."""
        if not self._terminal:
            self._print(f"{time.monotonic() - self._begun:5.1f} s  {text}")

    def draw(self) -> None:
        """Show the changes."""
        if not self._terminal:
            for one in self._watched:
                if one.job and self._shown.get(one.label) != one.now.partition(" ")[0]:
                    self._shown[one.label] = one.now.partition(" ")[0]
                    self.note(f"{one.label}: {one.now}")
            return
        crowd = [one for one in self._watched if "crowd" in one.label]
        single = [one for one in self._watched if "crowd" not in one.label]
        lines = [f"  workers {'#' * self.workers:<4}  {self._why}", ""]
        lines += [f"  {one.label:<40} {_coloured(one.now)}" for one in single]
        counts = {state: 0 for state in ("Queued", "InProgress", "Completed")}
        for one in crowd:
            state = one.job.get("state", "Queued")
            counts[state] = counts.get(state, 0) + 1
        listed = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        lines.append(f"  {f'a crowd of {len(crowd)} reports':<40} {listed}")
        up = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
        self._print(up + "\n".join(lines))
        self._lines = len(lines)

    def _print(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _coloured(text: str) -> str:
    mark = "" if os.environ.get("NO_COLOR") else MARKS.get(text.partition(" ")[0].rstrip(","), "")
    return f"{mark}{text}\x1b[0m" if mark else text


@contextlib.asynccontextmanager
async def source_of_files() -> AsyncIterator[str]:
    """Serve files to import: one is busy at first, one always fails. Yields host:port."""
    requests = 0

    async def busy(_: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        if requests == 1:
            return web.Response(status=503, headers={"Retry-After": "1"})
        return web.Response(text=SALES, content_type="text/csv")

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    app = web.Application()
    app.router.add_get("/busy.csv", busy)
    app.router.add_get("/broken.csv", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = cast("tuple[str, int]", runner.addresses[0][:2])
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


async def follow(http: aiohttp.ClientSession, one: Watched, screen: Screen) -> None:
    """Submit a job and follow it by long polls until it is final."""
    async with http.post(one.path, data=one.body, headers=one.headers) as answer:
        one.job = await answer.json()
        if answer.status != 202:
            raise RuntimeError(f"{one.label}: {answer.status} {one.job}")
        where, tag = answer.headers["Location"], ""
    screen.draw()
    while one.job["state"] not in FINAL:
        if one.cancel and one.job["state"] in ("InProgress", "Scheduled"):
            one.cancel = False
            async with http.delete(where) as answer:
                answer.raise_for_status()
        async with http.get(f"{where}?wait=10", headers={"If-None-Match": tag}) as answer:
            if answer.status == 200:
                one.job, tag = await answer.json(), answer.headers["ETag"]
                one.progress_seen |= one.job["progress"] is not None
        screen.draw()
    if one.job["state"] == "Completed":
        async with http.get(one.job["links"]["result"]) as answer:
            one.has_result = "<svg" in await answer.text()


def load() -> Loaded:
    """Load the example with shorter times, so that it scales up and down within seconds."""
    found = manifest.load([ENDPOINT]).loaded[0]
    document = found.endpoint.document()
    document["spec"]["autoscaling"] |= {"targetWaitSeconds": 0.5, "idleSeconds": 3}
    return Loaded(type(found.endpoint).parse(document), found.file, found.document)


async def play(watched: list[Watched], loaded: Loaded) -> list[str]:
    """Serve, submit and follow the jobs; return every unexpected outcome."""
    screen = Screen(watched)
    settings = Settings(http_port=0, admin_port=0, log_level="error")
    service = EndpointService(loaded, settings, 0, lambda: None, screen.scaled)
    await service.start()
    try:
        screen.note(f"{service.name} ready at {service.url}")
        async with aiohttp.ClientSession(service.url) as http:
            await asyncio.gather(*(follow(http, one, screen) for one in watched))
        await screen.calm.wait()  # no work is left: the workers are scaled down
    finally:
        await service.stop(asyncio.Event())
    faults = [fault for one in watched if (fault := one.fault())]
    if screen.most_workers < 2:
        faults.append("more work did not bring more workers")
    if not any(one.progress_seen for one in watched):
        faults.append("no progress was seen")
    return faults


async def demo() -> int:
    """Run the demo within its time limit."""
    async with source_of_files() as source:
        os.environ["REPORTS_SOURCES"] = source
        watched = jobs(source)
        async with asyncio.timeout(LIMIT_SECONDS):
            faults = await play(watched, load())
    for fault in faults:
        sys.stdout.write(f"UNEXPECTED: {fault}\n")
    if not faults:
        states = [one.job["state"] for one in watched]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(FINAL))
        sys.stdout.write(f"\n{len(watched)} jobs, each as it should end: {counts}.\n")
    return 1 if faults else 0


if __name__ == "__main__":
    configure_logging("error")
    sys.exit(asyncio.run(demo()))
