"""Runs a scenario with the Python clients; returns its outcome as scenario_server checks it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from asyncendpoints_client import AsyncClient, Client, ClientError, Job, Timing
from support.clients.scenario_server import DEADLINE, JOB, NOW, Scenario


class Clock:
    """A clock that only sleeps move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.timing = Timing(
            monotonic=lambda: self.now,
            wall=lambda: NOW + self.now,
            random=lambda: 0.5,
            sleep=self.sleep,
            async_sleep=self.async_sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)


def run_sync(url: str, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """Run a scenario with the synchronous client."""
    clock = Clock()
    value: Any = None
    # Making a TLS context is slow.
    transport = httpx2.HTTPTransport(verify=False)
    with (
        httpx2.Client(verify=False) as reports,
        Client(
            url, token="secret", transport=transport, deadline=DEADLINE, timing=clock.timing
        ) as client,
    ):
        handle = client.job(JOB)
        try:
            for name, *rest in scenario["calls"]:
                options = dict(rest[0]) if rest else {}
                if name == "submit":
                    handle = client.submit(options.pop("path"), **options)
                    value = handle.id
                elif name == "events":
                    value = []
                    for job in handle.events():
                        value.append(shown(job))
                        reports.get(f"{url}/_seen")
                elif name == "jobs":
                    value = [job.id for job in client.jobs(**options)]
                elif name == "download":
                    value = handle.download(folder / "result").stat().st_size
                else:
                    value = plain(getattr(handle, name)(**options))
        except ClientError as error:
            return failure(error, clock)
    return {"value": value, "waits": clock.waits}


async def run_async(url: str, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """Run a scenario with the asynchronous client."""
    clock = Clock()
    value: Any = None
    transport = httpx2.AsyncHTTPTransport(verify=False)
    async with (
        httpx2.AsyncClient(verify=False) as reports,
        AsyncClient(
            url, token="secret", transport=transport, deadline=DEADLINE, timing=clock.timing
        ) as client,
    ):
        handle = client.job(JOB)
        try:
            for name, *rest in scenario["calls"]:
                options = dict(rest[0]) if rest else {}
                if name == "submit":
                    handle = await client.submit(options.pop("path"), **options)
                    value = handle.id
                elif name == "events":
                    value = []
                    async for job in handle.events():
                        value.append(shown(job))
                        await reports.get(f"{url}/_seen")
                elif name == "jobs":
                    value = [job.id async for job in client.jobs(**options)]
                elif name == "download":
                    value = (await handle.download(folder / "result")).stat().st_size
                else:
                    value = plain(await getattr(handle, name)(**options))
        except ClientError as error:
            return failure(error, clock)
    return {"value": value, "waits": clock.waits}


def plain(value: Any) -> Any:
    if isinstance(value, Job):
        return value.state
    return {"bytes": len(value)} if isinstance(value, bytes) else value


def shown(job: Job) -> str:
    return f"{job.state} {job.progress.fraction:g}" if job.progress else job.state


def failure(error: ClientError, clock: Clock) -> dict[str, Any]:
    facts: Mapping[str, Any] = {
        "name": type(error).__name__,
        "id": error.id,
        "key": error.idempotency_key,
        "status": getattr(error, "status", None),
        "retryAfter": getattr(error, "retry_after", None),
        "code": getattr(getattr(error, "error", None), "code", None),
        "pointer": next((e["pointer"] for e in getattr(error, "errors", [])), None),
    }
    return {"error": facts, "waits": clock.waits}
