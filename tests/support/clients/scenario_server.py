"""A server that misbehaves as scenarios.yaml says, and the outcomes that its clients must have."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from multidict import CIMultiDict

JOB = "01890a5d-ac96-774b-bcce-b302099a8057"
NOW = 1_790_000_000
"""The clients' clock at the start, in seconds since the epoch."""
DEADLINE = 60
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Expose-Headers": "*",
    "Connection": "close",  # browsers send again over a connection that was kept open
}

Scenario = Mapping[str, Any]


def scenarios() -> list[Scenario]:
    """Return the scenarios; JOB is a job's id in all of them."""
    text = (Path(__file__).parent / "scenarios.yaml").read_text()
    found: list[Scenario] = json.loads(json.dumps(yaml.safe_load(text)).replace("JOB", JOB))
    return found


@dataclass
class Run:
    """One client in one scenario: what it has sent so far."""

    scenario: Scenario
    requests: list[str] = field(default_factory=list)
    sent: list[Mapping[str, str]] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    seen: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released for each event that the client has passed on."""

    def reply(self, line: str) -> Any:
        """Return the next reply to a method and path."""
        replies = self.scenario["replies"].get(line)
        assert replies, f"{self.scenario['name']}: unexpected {line}"
        index = self.used.get(line, 0)
        self.used[line] = index + 1
        return replies[min(index, len(replies) - 1)]

    def check(self, outcome: Mapping[str, Any]) -> None:
        """Assert that the client ended and sent as the scenario says."""
        wanted = self.scenario
        if "error" in wanted:
            got = outcome.get("error")
            assert got, outcome
            assert {name: got.get(name) for name in wanted["error"]} == wanted["error"], outcome
        else:
            assert outcome.get("value") == wanted["value"], outcome
        if "requests" in wanted:
            assert self.requests == wanted["requests"], outcome
        for headers, expected in zip(self.sent, wanted.get("sent", []), strict=False):
            assert {name: headers.get(name) for name in expected} == expected
        if wanted.get("same"):
            assert len({(h["Idempotency-Key"], h["Body"]) for h in self.sent}) == 1
        if "waits" in wanted:
            assert [round(wait, 6) for wait in outcome["waits"]] == wanted["waits"]


class ScenarioServer:
    """Serves each run below a path of its own: `url`/NAME."""

    def __init__(self, url: str, runs: dict[str, Run]) -> None:
        self.url = url
        self._runs = runs

    def run(self, name: str, scenario: Scenario) -> Run:
        """Add a run of a client; its base URL is `url`/`name`."""
        self._runs[name] = Run(scenario)
        return self._runs[name]


@asynccontextmanager
async def scenario_server() -> AsyncIterator[ScenarioServer]:
    """Run a scenario server on a free port."""
    runs: dict[str, Run] = {}

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(headers=CORS)
        name, _, path = request.path[1:].partition("/")
        run = runs[name]
        if path == "_seen":
            run.seen.release()
            return web.Response(headers=CORS)
        query = f"?{request.query_string}" if request.query_string else ""
        run.requests.append(f"{request.method} /{path}{query}")
        body = (await request.read()).decode()
        run.sent.append(CIMultiDict({**request.headers, "Body": body}))
        return await _answer(request, run, run.reply(f"{request.method} /{path}"))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield ScenarioServer(f"http://127.0.0.1:{port}", runs)
    finally:
        await runner.cleanup()


async def _answer(request: web.Request, run: Run, reply: Any) -> web.StreamResponse:
    assert request.transport is not None
    if reply == "drop":
        request.transport.abort()
        return web.Response()
    await asyncio.sleep(reply.get("delay", 0))
    headers = {**CORS, **_headers(reply)}
    status = reply.get("status", 200)
    if "events" in reply or "bytes" in reply:
        return await _stream(request, run, reply, headers)
    return web.Response(status=status, headers=headers, body=_body(reply))


def _headers(reply: Mapping[str, Any]) -> dict[str, str]:
    headers = dict(reply.get("headers", {}))
    if "version" in reply:
        headers["ETag"] = f'"{reply["version"]}"'
    if reply.get("location"):
        headers["Location"] = f"/jobs/{JOB}"
    if "retryDate" in reply:
        headers["Date"] = formatdate(NOW, usegmt=True)
        headers["Retry-After"] = formatdate(NOW + reply["retryDate"], usegmt=True)
    kinds = {
        "problem": "application/problem+json",
        "job": "application/json",
        "json": "application/json",
        "text": "text/html; charset=utf-8",
        "events": "text/event-stream",
        "bytes": "application/octet-stream",
    }
    for name, kind in kinds.items():
        if name in reply:
            headers["Content-Type"] = kind
    return headers


def _body(reply: Mapping[str, Any]) -> bytes:
    if "problem" in reply:
        problem = {
            "type": f"urn:asyncendpoints:problem:{reply['problem']}",
            "title": "t",
            "status": reply["status"],
            "detail": "d",
            **reply.get("members", {}),
        }
        return json.dumps(problem).encode()
    if "job" in reply:
        return json.dumps(job(reply["job"], reply.get("progress"))).encode()
    if "json" in reply:
        return json.dumps(reply["json"]).encode()
    return str(reply.get("text", "")).encode()


def job(state: str, fraction: float | None = None) -> dict[str, Any]:
    """Return the JSON of a job."""
    progress = None if fraction is None else {"fraction": fraction, "message": ""}
    return {
        "id": JOB,
        "name": "build-report",
        "state": state,
        "attempt": 1,
        "maxAttempts": 4,
        "progress": progress,
        "error": None,
        "attempts": [],
        "createdAt": "2026-09-21T13:33:20.000Z",
        "aMemberOfANewerGateway": True,
    }


async def _stream(
    request: web.Request, run: Run, reply: Mapping[str, Any], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send events or many bytes; `cut`: break the connection off before the end."""
    response = web.StreamResponse(headers=headers)
    size = reply.get("bytes", 0)
    if size:
        response.content_length = size
    await response.prepare(request)
    for number, state, *fraction in reply.get("events", []):
        data = json.dumps(job(state, *fraction))
        await response.write(f"id: {number}\nevent: job\ndata: {data}\n\n: quiet\n\n".encode())
    block = bytes(1 << 18)
    left = size // 2 if reply.get("cut") else size
    while left:
        part = min(left, len(block))
        await response.write(block[:part])
        left -= part
    if reply.get("cut"):
        for _ in reply.get("events", []):
            await run.seen.acquire()  # a browser drops what it has not passed on
        assert request.transport is not None
        request.transport.close()  # once what was written is sent
    return response
