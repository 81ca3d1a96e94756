"""`make demo`: real HTTP requests become jobs that run, retry, fail, are canceled and complete.

Serves examples/reports with its gateway, a memory store and workers that scale, submits jobs over
HTTP, lets a schedule create one, and shows their states as they change. Two of its customers share
the workers: one submits many reports, then the other a few. It checks at the end that every job had
the expected outcome, that a receiver got a webhook of each, and that the small customer did not
wait for the large one. Exit status 0 if so, 1 if not.
"""

import asyncio
import base64
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web
from examples.demo.screen import Screen, Watched

from asyncendpoints_cli.run.endpoint_service import EndpointService
from asyncendpoints_core import manifest
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.manifest import Loaded
from asyncendpoints_core.process.logs import configure_logging
from asyncendpoints_core.process.settings import Settings

EXAMPLES = Path(__file__).resolve().parent.parent
ENDPOINT = EXAMPLES / "reports" / "endpoint.yaml"
RECEIVER = EXAMPLES / "reports" / "receiver.py"
SALES = (EXAMPLES / "reports" / "sales.csv").read_text()
LIMIT_SECONDS = 60.0
Show = Callable[[str, str, str], None]
"""Shows a webhook: its event, the name of its job, and the job's id."""
MINUTE_MS, SCHEDULE_MS = 60_000, 8_000
TENANTS = {"large": 40, "small": 5}
FINAL = {"Completed", "Failed", "Canceled"}


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
        Watched(f"report {n} of the {tenant} customer", f"/reports/{tenant}{query}&resamples=4000",
                sales, csv, "Completed", tenant=tenant)
        for tenant, reports in TENANTS.items()
        for n in range(1, reports + 1)
    ]  # fmt: skip


class DemoTime(SystemTime):
    """A clock whose next minute begins soon: that is how often a schedule can be due."""

    def __init__(self) -> None:
        """Set it."""
        super().__init__()
        self._ahead_ms = -(super().now_ms() + SCHEDULE_MS) % MINUTE_MS

    def now_ms(self) -> int:
        """Return the time in milliseconds."""
        return super().now_ms() + self._ahead_ms


class Receiver:
    """The webhooks that examples/reports/receiver.py has verified, by the ids of their jobs."""

    def __init__(self) -> None:
        """Expect none yet."""
        self.events: dict[str, str] = {}
        self.address = ""
        self._changed = asyncio.Event()

    async def read(self, lines: asyncio.StreamReader, show: Show) -> None:
        """Read what it prints, until it ends."""
        async for line in lines:
            kind, job, name = line.decode().split()
            self.events[job] = kind
            show(kind, name, job)
            self._changed.set()

    async def has_all(self, jobs: set[str]) -> None:
        """Wait until there is one of each job."""
        while not jobs <= self.events.keys():
            self._changed.clear()
            await self._changed.wait()


@contextlib.asynccontextmanager
async def receiver(secret: Path, show: Show) -> AsyncIterator[Receiver]:
    """Run the receiver as a process of its own."""
    command = (sys.executable, str(RECEIVER), "0", str(secret))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    lines = cast("asyncio.StreamReader", process.stdout)
    try:
        ready = await lines.readline()
        found, port = Receiver(), re.findall(rb"[0-9]+", ready)[0].decode()
        found.address = f"127.0.0.1:{port}"
        reading = asyncio.create_task(found.read(lines, show))
        yield found
        reading.cancel()
    finally:
        process.kill()
        await process.wait()


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

    async def sales(_: web.Request) -> web.Response:
        return web.Response(text=SALES, content_type="text/csv")

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    app = web.Application()
    app.router.add_get("/busy.csv", busy)
    app.router.add_get("/sales.csv", sales)
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


async def submit_all(http: aiohttp.ClientSession, watched: list[Watched], screen: Screen) -> None:
    """Submit all jobs, the small customer's when the large one's all wait, and follow them."""
    small = [one for one in watched if one.tenant == "small"]
    async with asyncio.TaskGroup() as tasks:
        for part in ([one for one in watched if one not in small], small):
            accepted = await asyncio.gather(*(submit(http, one) for one in part))
            for one, where in zip(part, accepted, strict=True):
                tasks.create_task(follow(http, one, where, screen))


async def submit(http: aiohttp.ClientSession, one: Watched) -> str:
    """Submit a job; return its location."""
    async with http.post(one.path, data=one.body, headers=one.headers) as answer:
        one.job = await answer.json()
        if answer.status != 202:
            raise RuntimeError(f"{one.label}: {answer.status} {one.job}")
        return answer.headers["Location"]


async def follow(http: aiohttp.ClientSession, one: Watched, where: str, screen: Screen) -> None:
    """Follow a job by long polls until it is final, and read its result."""
    tag = ""
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


async def scheduled(http: aiohttp.ClientSession, one: Watched, screen: Screen) -> None:
    """Wait for the job that the schedule creates, and follow it."""
    while True:
        async with http.get("/jobs?job=import-report&limit=100") as answer:
            made = [job for job in (await answer.json())["items"] if job["schedule"]]
        if made:
            break
        await asyncio.sleep(0.2)
    one.job = made[0]
    await follow(http, one, f"/jobs/{one.job['id']}", screen)


def load(source: str, hooks: str, secret: Path) -> Loaded:
    """Load the example with shorter times, so that it scales up and down within seconds, with a
    schedule that is due every minute, a webhook, and reports that share the starts by customer.
    """
    found = manifest.load([ENDPOINT]).loaded[0]
    document = found.endpoint.document()
    spec = document["spec"]
    spec["autoscaling"] |= {"targetWaitSeconds": 0.5, "idleSeconds": 3}
    body = {"url": f"http://{source}/sales.csv", "column": "amount"}
    every_minute = {"name": "minutely", "cron": "* * * * *", "job": "import-report", "body": body}
    spec["schedules"] = [every_minute]
    hook = {"name": "demo", "url": f"http://{hooks}/hooks", "secrets": {"file": str(secret)}}
    spec["webhooks"] = [hook]
    spec["routes"][0]["key"] = "param:customer"
    return Loaded(type(found.endpoint).parse(document), found.file, found.document)


async def play(watched: list[Watched], source: str, secret: Path) -> list[str]:
    """Serve, submit and follow the jobs; return every unexpected outcome."""
    created = Watched("one of a schedule", "", b"", {}, "Completed", attempts=1)
    screen = Screen([*watched, created])
    async with receiver(secret, screen.received) as hooks:
        settings = Settings(
            http_port=0, admin_port=0, log_level="error", webhook_allow=(hooks.address,)
        )
        loaded = load(source, hooks.address, secret)
        service = EndpointService(loaded, settings, 0, lambda: None, screen.scaled, time=DemoTime())
        await service.start()
        try:
            screen.note(f"{service.name} ready at {service.url}")
            async with aiohttp.ClientSession(service.url) as http:
                await asyncio.gather(
                    submit_all(http, watched, screen), scheduled(http, created, screen)
                )
            watched.append(created)
            await hooks.has_all({one.job["id"] for one in watched})
            await screen.calm.wait()  # no work is left: the workers are scaled down
        finally:
            await service.stop(asyncio.Event())
    return faults_of(watched, screen, hooks)


def faults_of(watched: list[Watched], screen: Screen, hooks: Receiver) -> list[str]:
    """Return every unexpected outcome."""
    faults = [fault for one in watched if (fault := one.fault())]
    faults += [
        f"{one.label}: its webhook is {kind}"
        for one in watched
        if (kind := hooks.events[one.job["id"]]) != f"job.{one.state.lower()}"
    ]
    if screen.most_workers < 2:
        faults.append("more work did not bring more workers")
    if not any(one.progress_seen for one in watched):
        faults.append("no progress was seen")
    if started_before_small(watched) > TENANTS["large"] // 2:
        faults.append("the small customer waited for the large one")
    return faults


def started_before_small(watched: list[Watched]) -> int:
    """Return how many reports of the large customer started before the small one's last."""
    starts = {
        tenant: [one.job["startedAt"] for one in watched if one.tenant == tenant]
        for tenant in TENANTS
    }
    return sum(start < max(starts["small"]) for start in starts["large"])


async def demo() -> int:
    """Run the demo within its time limit."""
    async with source_of_files() as source:
        os.environ["REPORTS_SOURCES"] = source
        watched = jobs(source)
        with tempfile.NamedTemporaryFile("w") as secret:
            secret.write("whsec_" + base64.b64encode(os.urandom(32)).decode())
            secret.flush()
            async with asyncio.timeout(LIMIT_SECONDS):
                faults = await play(watched, source, Path(secret.name))
    for fault in faults:
        sys.stdout.write(f"UNEXPECTED: {fault}\n")
    if not faults:
        states = [one.job["state"] for one in watched]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(FINAL))
        text = f"\n{len(watched)} jobs, each as it should end: {counts}.\n"
        sys.stdout.write(f"{text}A webhook of each was received, and its signature is valid.\n")
        sys.stdout.write(
            f"The small customer's {TENANTS['small']} reports had started when "
            f"{started_before_small(watched)} of the large one's {TENANTS['large']} had.\n"
        )
    return 1 if faults else 0


if __name__ == "__main__":
    configure_logging("error")
    sys.exit(asyncio.run(demo()))
