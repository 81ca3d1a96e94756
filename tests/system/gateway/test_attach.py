"""The gateway inside a user's own aiohttp application, behind its middlewares."""

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from asyncendpoints import Refused
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.attach import attach
from support.http.gateway import PROBLEM, endpoint, entrance
from support.resources import resource

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def _client(app: web.Application) -> AsyncIterator[Client]:
    async with TestClient(TestServer(app)) as client:
        yield client


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


def _app(**options: Any) -> web.Application:
    app = web.Application()
    app.router.add_get("/", _hello)
    app.router.add_get("/reports", _hello)
    attach(app, endpoint(), MemoryStore(), **options)
    app.router.add_get("/later/{x}", _hello)
    return app


async def test_only_the_endpoints_own_paths_are_touched() -> None:
    async with _client(_app()) as client:
        for path in ("/", "/reports", "/later/1"):
            assert await (await client.get(path)).text() == "hello"
        for path in ("/nope", "/reports/7/", "/later", "/docs/x"):
            answer = await client.post(path)
            assert answer.status == 404
            assert answer.content_type != "application/problem+json"
        answer = await client.post("/reports/7", json={"a": 1})
        assert answer.status == 202
        location = answer.headers["Location"]
        assert (await client.get(location)).status == 200
        wrong = await client.get("/reports/7")
        assert (wrong.status, wrong.headers["Allow"]) == (405, "OPTIONS, POST")
        for path in ("/jobs/x", "/jobs/a/b/c", "/jobs/"):
            missing = await client.get(path)
            assert (missing.status, missing.content_type) == (404, "application/problem+json")
        assert (await client.get("/docs")).status == 200
        assert (await client.get("/jobs")).status == 200


async def test_below_a_prefix_everything_is_the_endpoints() -> None:
    async with _client(_app(prefix="/async")) as client:
        answer = await client.post("/async/reports/7")
        assert answer.status == 202
        assert answer.headers["Location"].startswith("/async/jobs/")
        assert (await client.get(answer.headers["Location"])).status == 200
        missing = await client.post("/async/nope")
        assert (await missing.json())["type"] == PROBLEM + "not-found"
        assert (await client.post("/reports/7")).status == 404
        assert (await client.post("/asyncreports/7")).status == 404
        described = await (await client.get("/async/openapi.json")).json()
        assert described["servers"] == [{"url": "/async"}]


async def test_inside_an_application_that_is_part_of_another() -> None:
    part = web.Application()
    attach(part, endpoint(), MemoryStore(), prefix="/inner")
    app = web.Application()
    app.add_subapp("/outer", part)
    async with _client(app) as client:
        answer = await client.post("/outer/inner/reports/7")
        assert answer.status == 202
        assert answer.headers["Location"].startswith("/outer/inner/jobs/")
        assert (await client.get(answer.headers["Location"])).status == 200


@pytest.mark.parametrize("prefix", ["async", "/async/", "/", "/{x}"])
def test_an_invalid_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match="prefix must be a path"):
        attach(web.Application(), endpoint(), MemoryStore(), prefix=prefix)


async def test_the_applications_middlewares_come_first() -> None:
    seen: list[tuple[str, int]] = []

    @web.middleware
    async def watch(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.headers.get("X-User") is None:
            raise web.HTTPUnauthorized(text="who are you?")
        response = await handler(request)
        response.headers["X-Seen"] = "yes"
        seen.append((request.path, response.status))
        return response

    app = web.Application(middlewares=[watch])
    attach(app, endpoint(), MemoryStore())
    async with _client(app) as client:
        refused = await client.post("/reports/7")
        assert (refused.status, await refused.text()) == (401, "who are you?")
        answer = await client.post("/reports/7", headers={"X-User": "me"})
        assert (answer.status, answer.headers["X-Seen"]) == (202, "yes")
        await client.post("/checked", data="{}", headers={"X-User": "me"})
    assert seen == [("/reports/7", 202), ("/checked", 415)]


async def test_before_enqueue_runs_after_validation_and_may_refuse() -> None:
    asked: list[str] = []

    async def before(request: web.BaseRequest) -> None:
        asked.append(request.path)
        if request.headers.get("X-Tenant") != "blue":
            raise web.HTTPPaymentRequired(text="pay first")

    store = MemoryStore()
    app = web.Application()
    attach(app, endpoint(), store, before_enqueue=before)
    async with _client(app) as client:
        assert (await client.post("/checked", json={"a": "x"})).status == 422
        assert asked == []
        refused = await client.post("/reports/7")
        assert (refused.status, await refused.text()) == (402, "pay first")
        assert (await store.stats()).totals.get("created", 0) == 0
        assert (await client.post("/reports/7", headers={"X-Tenant": "blue"})).status == 202
    assert asked == ["/reports/7", "/reports/7"]


async def test_before_enqueue_may_refuse_by_a_problem() -> None:
    async def before(request: web.BaseRequest) -> None:
        raise Refused(402, "pay first", headers={"X-Plan": "free"})

    app = web.Application()
    attach(app, endpoint(), MemoryStore(), before_enqueue=before)
    async with _client(app) as client:
        refused = await client.post("/reports/7")
        assert (refused.status, refused.content_type) == (402, "application/problem+json")
        assert refused.headers["X-Plan"] == "free"
        assert (await refused.json())["detail"] == "pay first"


async def test_bodies_that_the_applications_server_decodes_are_not_decoded_twice() -> None:
    store = MemoryStore()
    app = web.Application()
    attach(app, endpoint(gateway={"maxBodyBytes": 1_000}), store)
    async with _client(app) as client:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        body = gzip.compress(b'{"a": 1}')
        assert (await client.post("/checked", data=body, headers=headers)).status == 202
        bomb = gzip.compress(b" " * 1_000_000)
        assert (await client.post("/checked", data=bomb, headers=headers)).status == 413
        broken = await client.post("/checked", data=b"no gzip", headers=headers)
        assert broken.status == 400


async def _raw(client: Client, path: str, *headers: str) -> tuple[bytes, bytes]:
    """Send a request byte for byte; return the status and the whole response."""
    assert client.port is not None
    reader, writer = await asyncio.open_connection(client.host, client.port)
    lines = (f"POST {path} HTTP/1.1", "Host: test", "Connection: close", *headers, "", "")
    writer.write("\r\n".join(lines).encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.split(b" ", 2)[1], answer


@pytest.mark.parametrize("prefix", ["", "/async"])
async def test_what_the_applications_server_answers_by_itself(prefix: str) -> None:
    async with _client(_app(prefix=prefix)) as client:
        for header in ("Bad Header: 1", "X-Long: " + "x" * 20_000):
            status, answer = await _raw(client, f"{prefix}/jobs", header, "Content-Length: 0")
            assert (status, PROBLEM.encode() in answer) == (b"400", False)
        status, answer = await _raw(client, f"{prefix}/reports/%zz", "Content-Length: 0")
        ours = bool(prefix)
        assert (status, PROBLEM.encode() in answer) == (b"400" if ours else b"404", ours)
        status, answer = await _raw(client, f"{prefix}/jobs/%zz", "Content-Length: 0")
        assert (status, PROBLEM.encode() in answer) == (b"400", True)


async def test_waits_answer_when_the_application_ends() -> None:
    store = MemoryStore()
    app = web.Application()
    until_waiting = entrance(attach(app, endpoint(), store).hub)
    async with _client(app) as client:
        path = (await client.post("/reports/7")).headers["Location"]
        poll = asyncio.create_task(client.get(f"{path}?wait=60"))
        await until_waiting()
        await app.shutdown()
        answer = await asyncio.wait_for(poll, 10)
        assert (answer.status, (await answer.json())["state"]) == (200, "Queued")


HANDLERS = """
from asyncendpoints import handler

@handler("double")
async def double(body):
    return {"doubled": body["n"] * 2}
"""


async def test_handlers_inside_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "attached_jobs.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    described = AsyncEndpoint.parse(
        resource(
            routes=[{"path": "/double", "job": "double"}],
            worker={"handlers": "attached_jobs", "concurrency": 2},
        )
    )
    app = web.Application()
    attach(app, described, MemoryStore(), worker=True)
    try:
        async with _client(app) as client:
            answers = await asyncio.gather(
                *(
                    client.post("/double", json={"n": n}, headers={"Prefer": "wait=30"})
                    for n in range(10)
                )
            )
            assert [answer.status for answer in answers] == [200] * 10
            doubled = [json.loads(await answer.read())["doubled"] for answer in answers]
            assert doubled == [n * 2 for n in range(10)]
    finally:
        sys.modules.pop("attached_jobs", None)
