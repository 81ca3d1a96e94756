"""asgi(): the endpoint as an ASGI application, message by message."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Response
from fastapi import Request as StarletteRequest

from asyncendpoints import Endpoint, Refused, Request, UsageError, asgi, load
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.records import Result, complete
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_gateway.intake import long_poll
from asyncendpoints_gateway.server.asgi.application import AsgiEndpoint
from asyncendpoints_gateway.server.asgi.types import Message, Receive, Scope, Send
from support.http.asgi_call import Call, Lifespan, ask, started
from support.http.gateway import PROBLEM, endpoint, entrance
from support.resources import resource
from support.store.stores import hand

HANDLERS = """
import asyncio
from asyncendpoints import handler, on_shutdown, on_startup

EVENTS = []

@on_startup
def begin():
    EVENTS.append("handlers started")

@on_shutdown
def end():
    EVENTS.append("handlers ended")

@handler("double")
async def double(body):
    return {"doubled": body["n"] * 2}

@handler("sleep")
async def sleep():
    await asyncio.sleep(600)
"""


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncEndpoint:
    """An endpoint with handlers that can be imported."""
    (tmp_path / "asgi_jobs.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "asgi_jobs", raising=False)
    return AsyncEndpoint.parse(
        resource(
            routes=[{"path": "/double", "job": "double"}, {"path": "/sleep", "job": "sleep"}],
            worker={"handlers": "asgi_jobs"},
        )
    )


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    """An application without a lifespan that answers every request with its path."""
    assert scope["type"] == "http", "no lifespan"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def test_the_first_request_opens_it() -> None:
    app = asgi(endpoint(), MemoryStore())
    accepted = await ask(app, "POST", "/reports/7", b'{"a"', b": 1}")
    assert accepted.status == 202
    assert (await ask(app, "GET", accepted.headers["location"])).json["state"] == "Queued"
    assert (await ask(app, "GET", "/nope")).json["type"] == PROBLEM + "not-found"
    assert app.gateway is not None
    await app.gateway.stop()


async def test_below_a_root_and_a_prefix() -> None:
    described = endpoint(gateway={"basePath": "/base"})
    app = asgi(described, MemoryStore(), prefix="/v1")
    async with app.lifespan():
        for root, path in (
            ("", "/v1/reports/7"),
            ("/async", "/async/v1/reports/7"),
            ("/async", "/v1/reports/7"),
        ):
            accepted = await ask(app, "POST", path, root_path=root, raw_path=path.encode())
            assert accepted.status == 202, (root, path)
            location = accepted.headers["location"]
            assert location.startswith(f"/base{root}/v1/jobs/")
            inside = location.removeprefix("/base")
            assert (await ask(app, "GET", inside, root_path=root)).status == 200
            described_at = await ask(app, "GET", f"{root}/v1/openapi.json", root_path=root)
            assert described_at.json["servers"] == [{"url": f"/base{root}/v1"}]
        for path in ("/reports/7", "/v1reports/7", "/v1", "/"):
            assert (await ask(app, "POST", path)).json["type"] == PROBLEM + "not-found"


async def test_many_roots_are_not_kept() -> None:
    app = asgi(endpoint(), MemoryStore())
    async with app.lifespan():
        for tenant in range(200):
            root = f"/{tenant}"
            accepted = await ask(app, "POST", f"{root}/reports/7", root_path=root)
            assert accepted.headers["location"].startswith(f"{root}/jobs/")
        assert app.gateway is not None
        assert len(app.gateway._views_below) <= 64


async def test_around_another_application() -> None:
    app = asgi(endpoint(), MemoryStore(), app=other)
    async with started(app):
        for path in ("/", "/reports", "/reports/7/", "/later/1"):
            assert (await ask(app, "POST", path)).body == path.encode()
        assert (await ask(app, "POST", "/reports/7")).status == 202
        assert (await ask(app, "GET", "/reports/7")).status == 405
        assert (await ask(app, "GET", "/jobs")).status == 200


async def test_the_lifespan_is_inside_that_of_the_application_around(
    handlers: AsyncEndpoint,
) -> None:
    events: list[str] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        events.append("application started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        events.extend(sys.modules["asgi_jobs"].EVENTS)
        events.append("application ends")
        await send({"type": "lifespan.shutdown.complete"})

    async with started(asgi(handlers, MemoryStore(), app=outer, worker=True)):
        assert events == ["application started"]
        assert sys.modules["asgi_jobs"].EVENTS == ["handlers started"]
    assert events == [
        *("application started", "handlers started", "handlers ended", "application ends")
    ]


async def test_a_start_that_fails_ends_the_application_around(handlers: AsyncEndpoint) -> None:
    ended = False

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal ended
        await receive()
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        ended = True
        await send({"type": "lifespan.shutdown.complete"})

    missing = AsyncEndpoint.parse(resource(worker={"handlers": "no_such_module"}))
    for app in (
        asgi(missing, MemoryStore(), app=outer, worker=True),
        asgi(missing, MemoryStore(), worker=True),
    ):
        lifespan = Lifespan(app)
        answer = await lifespan.startup()
        assert answer["type"] == "lifespan.startup.failed"
        assert "worker.handlers: cannot import no_such_module" in answer["message"]
        await lifespan.ended()
    assert ended


async def test_an_application_whose_start_fails_is_not_served() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    app = asgi(endpoint(), MemoryStore(), app=failing)
    lifespan = Lifespan(app)
    assert (await lifespan.startup())["message"] == "no database"
    with pytest.raises(RuntimeError, match="no database"):
        await lifespan.ended()
    assert app.gateway is None


async def test_handlers_without_a_lifespan_are_refused(
    handlers: AsyncEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    app = asgi(handlers, MemoryStore(), worker=True)
    for _ in range(3):
        refused = await ask(app, "POST", "/double", b"{}")
        assert (refused.status, refused.json["type"]) == (500, PROBLEM + "internal")
    [line] = [each.message for each in caplog.records if each.levelno >= logging.ERROR]
    assert "FastAPI(lifespan=jobs.lifespan)" in line


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # without a lifespan nothing is closed
@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_it_runs_again_on_another_loop(handlers: AsyncEndpoint, kind: str, redis_url: str) -> None:
    store = MemoryStore() if kind == "memory" else RedisStore(redis_url, handlers.key)
    app = asgi(handlers, store, worker=True)
    plain = asgi(handlers, store)

    async def once(n: int) -> None:
        async with started(app):
            headers = [(b"prefer", b"wait=30"), (b"content-type", b"application/json")]
            done = await ask(app, "POST", "/double", b'{"n": %d}' % n, headers=headers)
            assert (done.status, done.json) == (200, {"doubled": n * 2})
        with pytest.raises(StoreUnavailable):
            await store.stats()

    async def without_a_lifespan() -> None:
        assert (await ask(plain, "POST", "/double", b'{"n": 1}')).status == 202

    for n in range(3):
        asyncio.run(once(n))
    for _ in range(3):
        asyncio.run(without_a_lifespan())
    gc.collect()  # while its warnings are ignored


async def test_attempts_have_the_drain_time_to_end(handlers: AsyncEndpoint) -> None:
    store = MemoryStore()
    app = asgi(handlers, store, worker=True, drain_seconds=0)
    async with app.lifespan():
        location = (await ask(app, "POST", "/sleep")).headers["location"]
        headers = [(b"if-none-match", b'"1"')]
        running = await ask(app, "GET", location, query_string=b"wait=20", headers=headers)
        assert running.json["state"] == "InProgress"
    await store.open()
    assert [job.state for job in (await store.list(None, 9, None)).jobs] == ["Queued"]


async def test_before_enqueue_sees_the_request_and_may_refuse() -> None:
    seen: list[Request] = []

    async def check(request: Request) -> None:
        seen.append(request)
        if "X-Tenant" not in request.headers:
            raise Refused(402, "pay first", {"X-Price": "3"})

    store = MemoryStore()
    app = asgi(endpoint(), store, before_enqueue=check)
    async with app.lifespan():
        assert (await ask(app, "POST", "/checked", b"{}")).status == 415
        assert seen == []
        refused = await ask(app, "POST", "/root/reports/a%20b", b"x", root_path="/root", user="me")
        assert (refused.status, refused.headers["x-price"]) == (402, "3")
        assert refused.json == {
            "type": PROBLEM + "refused",
            "title": "The application refused the request",
            "status": 402,
            "detail": "pay first",
        }
        assert (await store.stats()).totals.get("created", 0) == 0
        headers = [(b"x-tenant", b"blue"), (b"x-tenant", b"red")]
        assert (await ask(app, "POST", "/reports/7", b"x", headers=headers)).status == 202
    first, second = seen
    assert (first.method, first.path, first.body) == ("POST", "/root/reports/a%2520b", b"x")
    assert (first.params, first.client) == ({"customer": "a%20b"}, ("127.0.0.1", 5000))
    assert first.scope["user"] == "me"
    assert first.headers.get("X-Tenant") is None
    assert dict(second.headers) == {"x-tenant": "blue"}
    assert second.headers["X-TENANT"] == "blue"


async def test_exceptions_of_before_enqueue(caplog: pytest.LogCaptureFixture) -> None:
    class HTTPException(Exception):
        status_code = 418

    raised: Exception = HTTPException()

    def check(_: Request) -> None:
        raise raised

    app = asgi(endpoint(), MemoryStore(), before_enqueue=check)
    async with app.lifespan():
        with pytest.raises(HTTPException):
            await ask(app, "POST", "/reports/7")
        raised = KeyError("tenant")
        assert (await ask(app, "POST", "/reports/7")).json["type"] == PROBLEM + "internal"
        assert "KeyError: 'tenant'" in caplog.text


async def test_an_exception_of_fastapi_is_answered_by_fastapi() -> None:
    async def check(request: Request) -> None:
        user = request.scope["state"]["user"]
        raise HTTPException(402, f"{user} has not paid", {"X-Price": "3"})

    jobs = asgi(endpoint(), MemoryStore(), before_enqueue=check)
    app = FastAPI(lifespan=jobs.lifespan)
    app.mount("/async", jobs)

    @app.middleware("http")
    async def authenticate(
        request: StarletteRequest, go_on: Callable[[StarletteRequest], Awaitable[Response]]
    ) -> Response:
        request.state.user = "ada"
        return await go_on(request)

    async with started(app):
        answer = await ask(app, "POST", "/async/reports/7")
        assert (answer.status, answer.json) == (402, {"detail": "ada has not paid"})
        assert answer.headers["x-price"] == "3"
        # Waits and streams pass the middleware, too, which has a receive of its own.
        location = "/async/jobs/00000000-0000-7000-8000-000000000000"
        assert (await ask(app, "GET", location, query_string=b"wait=5")).status == 404


async def test_a_disconnect_passes_a_middleware_of_starlette(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_poll, "CLIENT_CHECK_SECONDS", 600)
    jobs = asgi(endpoint(), MemoryStore())
    app = FastAPI(lifespan=jobs.lifespan)
    app.mount("/async", jobs)

    @app.middleware("http")
    async def nothing(
        request: StarletteRequest, go_on: Callable[[StarletteRequest], Awaitable[Response]]
    ) -> Response:
        return await go_on(request)

    async with started(app):
        assert jobs.gateway is not None
        location = (await ask(app, "POST", "/async/reports/7")).headers["location"]
        until_waiting = entrance(jobs.gateway.hub)
        for headers in ([], [(b"accept", b"text/event-stream")]):
            call = Call("GET", location, query_string=b"wait=60", headers=headers)
            task = asyncio.ensure_future(app(call.scope, call.receive, call.send))
            await until_waiting()
            if headers:
                await call.parts(1)
            call.disconnect()
            await asyncio.wait([task], timeout=10)
            assert task.done()
            assert jobs.gateway.hub.waiters == 0


async def test_routes_that_are_declared_after_it() -> None:
    ep = Endpoint("late")
    app = asgi(ep, MemoryStore(), worker=True)

    @ep.post("/doubles")
    async def double(body: int) -> int:
        return body * 2

    async with started(app):
        headers = [(b"prefer", b"wait=30"), (b"content-type", b"application/json")]
        done = await ask(app, "POST", "/doubles", b"21", headers=headers)
        assert (done.status, done.json) == (200, 42)


@pytest.mark.parametrize("status", [200, 302, 399, 499, 600])
def test_a_refusal_has_the_status_of_an_error(status: int) -> None:
    with pytest.raises(ValueError, match="such as 403"):
        Refused(status)
    assert Refused(404).detail == "Not Found"


@asynccontextmanager
async def waiting(
    app: AsgiEndpoint, *, stream: bool
) -> AsyncIterator[tuple[Call, asyncio.Task[Any]]]:
    """A long poll, or an event stream, that waits for a job."""
    assert app.gateway is not None
    location = (await ask(app, "POST", "/reports/7")).headers["location"]
    headers = [(b"accept", b"text/event-stream")] if stream else []
    call = Call("GET", location, query_string=b"wait=60", headers=headers)
    until_waiting = entrance(app.gateway.hub)
    task = asyncio.ensure_future(app(call.scope, call.receive, call.send))
    await until_waiting()
    if stream:
        await call.parts(1)
    await asyncio.wait_for(call.listening.wait(), 20)
    yield call, task


@pytest.mark.parametrize("stream", [False, True])
async def test_a_disconnect_ends_a_wait(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_poll, "CLIENT_CHECK_SECONDS", 600)  # it is not found by looking
    app = asgi(endpoint(), MemoryStore())
    async with app.lifespan(), waiting(app, stream=stream) as (call, task):
        assert app.gateway is not None
        assert call.receiving == 1
        sent = len(call.sent)
        call.disconnect()
        await asyncio.wait([task], timeout=20)
        assert task.done()
        assert (len(call.sent), call.receiving) == (sent, 0)
        assert app.gateway.hub.waiters == 0


async def test_a_server_that_ends_a_request_is_obeyed() -> None:
    app = asgi(endpoint(), MemoryStore())
    async with app.lifespan(), waiting(app, stream=True) as (call, task):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert call.receiving == 0


async def test_an_error_while_sending_ends_the_request() -> None:
    app = asgi(endpoint(), MemoryStore())
    async with app.lifespan():
        call = Call("POST", "/reports/7")
        call.disconnect()
        await app(call.scope, call.receive, call.send)  # OSError
        gone = Call("POST", "/reports/7")
        gone._parts.clear()
        gone.disconnect()
        await app(gone.scope, gone.receive, gone.send)
        assert gone.sent == []


@pytest.mark.parametrize("by", ["SIGTERM", "SIGINT", "closing"])
async def test_waits_end_before_the_lifespan_does(by: str) -> None:
    app = asgi(endpoint(), MemoryStore(), signals=by != "closing")
    noticed: list[int] = []
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    for each in before:
        signal.signal(each, lambda number, _: noticed.append(number))
    try:
        async with (
            app.lifespan(),
            waiting(app, stream=False) as (poll, first),
            waiting(app, stream=True) as (stream, second),
        ):
            if by == "closing":
                await app.closing()
            else:
                os.kill(os.getpid(), signal.Signals[by])
            await asyncio.wait_for(asyncio.gather(first, second), 20)
        assert poll.reply().json["state"] == "Queued"
        assert poll.reply().headers["connection"] == "close"
        assert (stream.sent[-1]["body"], stream.sent[-1]["more_body"]) == (b"", False)
        assert noticed == ([] if by == "closing" else [signal.Signals[by]])
        os.kill(os.getpid(), signal.SIGTERM)  # the handler that was there is there again
        assert noticed[-1] == signal.SIGTERM
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


async def test_other_scopes_are_closed() -> None:
    app = asgi(endpoint(), MemoryStore())
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/jobs"}, receive, send)
    await app({"type": "webtransport"}, receive, send)
    assert sent == [{"type": "websocket.close"}]


async def test_bodies_in_parts_and_their_limit() -> None:
    store = MemoryStore()
    app = asgi(endpoint(gateway={"maxBodyBytes": 1_000}), store)
    async with app.lifespan():
        parts = [b"a" * 400, b"b" * 600]
        assert (await ask(app, "POST", "/reports/7", *parts)).status == 202
        claimed = await (await hand(store, "w")).one()
        assert claimed.request.body == b"".join(parts)
        for too_large in ([b"a" * 1_001], [b"a" * 400, b"b" * 601], [b"a" * 600] * 9):
            refused = await asyncio.wait_for(ask(app, "POST", "/reports/7", *too_large), 0.9)
            assert (refused.status, refused.headers["connection"]) == (413, "close")


async def test_a_body_that_arrives_later() -> None:
    app = asgi(endpoint(), MemoryStore())
    async with app.lifespan():
        call = Call("POST", "/reports/7", b"later")
        arrived = asyncio.Event()

        async def receive() -> Message:
            await arrived.wait()
            return await call.receive()

        task = asyncio.ensure_future(app(call.scope, receive, call.send))
        await asyncio.sleep(0)
        assert not call.sent
        arrived.set()
        await task
        assert call.reply().status == 202

        cut = Call("POST", "/reports/7")
        never = asyncio.Event()

        async def stalled() -> Message:
            await never.wait()
            raise AssertionError

        task = asyncio.ensure_future(app(cut.scope, stalled, cut.send))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_http_2_has_no_connection_header() -> None:
    app = asgi(endpoint(), MemoryStore())
    async with app.lifespan():
        assert (await ask(app, "POST", "/reports/7", http_version="2")).status == 202
        large = [(b"content-length", b"99999999")]
        refused = await ask(app, "POST", "/reports/7", b"", http_version="2", headers=large)
        assert refused.status == 413
        assert "connection" not in refused.headers
        refused = await ask(app, "POST", "/reports/7", b"", headers=large)
        assert refused.headers["connection"] == "close"
        assert (await ask(app, "GET", "/jobs", http_version="1.0")).status == 200


async def test_a_large_result_is_sent_in_pieces() -> None:
    store = MemoryStore()
    app = asgi(endpoint(), store)
    async with app.lifespan():
        location = (await ask(app, "POST", "/reports/7")).headers["location"]
        claimed = await (await hand(store, "w")).one()
        await store.settle([complete(claimed.claim, Result("text/plain", b"x" * 300_000))])
        call = Call("GET", f"{location}/result")
        await app(call.scope, call.receive, call.send)
        assert [len(each["body"]) for each in call.sent[1:]] == [131_072, 131_072, 37_856, 0]
        assert call.reply().headers["content-length"] == "300000"
        head = await ask(app, "HEAD", f"{location}/result")
        assert (head.body, head.headers["content-length"]) == (b"", "300000")


async def test_what_is_taken_for_an_endpoint(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    text = "apiVersion: asyncendpoints.io/v1alpha1\nkind: AsyncEndpoint\nmetadata: {name: NAME}\n"
    text += "spec: {routes: [{path: /x, job: x}], worker: {handlers: jobs}}\n"
    file.write_text(text.replace("NAME", "one"))
    for source in (file, str(file), load([file]), load([file]).loaded[0]):
        async with asgi(source, MemoryStore()).lifespan():
            pass
    file.write_text(text.replace("NAME", "one").replace("routes", "routs"))
    with pytest.raises(UsageError, match=r"endpoint\.yaml:4:.* spec\.routs"):
        asgi(file, MemoryStore())
    file.write_text(f"{text.replace('NAME', 'a')}---\n{text.replace('NAME', 'b')}")
    with pytest.raises(UsageError, match="one endpoint is needed, but there are 2: a, b"):
        asgi(file, MemoryStore())
    with pytest.raises(UsageError, match="no such file"):
        asgi(tmp_path / "missing.yaml", MemoryStore())


def test_options_that_are_refused() -> None:
    with pytest.raises(UsageError, match="prefix must be a path"):
        asgi(endpoint(), MemoryStore(), prefix="async")
    with pytest.raises(UsageError, match="drain_seconds must not be negative: -1"):
        asgi(endpoint(), MemoryStore(), drain_seconds=-1)


async def test_bodies_that_are_not_plain_are_whole() -> None:
    """A body in several parts, and one whose check takes long, after the first `receive()`."""
    store = MemoryStore()
    app = asgi(endpoint(), store)
    worker = await hand(store)
    as_json = [(b"content-type", b"application/json")]
    long = b'{"a": "' + b"x" * 20_000 + b'"}'
    for parts in ([b"", b'{"a"', b": 1}"], [b'{"a"', b": 1}", b""], [long], [long[:9], long[9:]]):
        accepted = await ask(app, "POST", "/reports/7", *parts, headers=as_json)
        assert accepted.status == 202
        assert (await worker.one()).request.body == b"".join(parts)
    invalid = await ask(app, "POST", "/reports/7", b'{"a"', headers=as_json)
    assert (invalid.status, invalid.json["type"]) == (400, PROBLEM + "malformed-body")
    gone = Call("POST", "/reports/7", headers=as_json)
    assert (await gone.receive())["body"] == b""  # only the disconnect is left
    gone.disconnect()
    await app(gone.scope, gone.receive, gone.send)
    assert gone.sent == []
