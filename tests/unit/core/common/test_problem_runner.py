"""What the listeners that use aiohttp's server answer to requests that cannot be parsed."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from asyncendpoints_core.common.admin_server import AdminServer
from asyncendpoints_core.common.problem_runner import ProblemRunner
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_worker.handlers.callback import Callback
from support.http.console import console

NOT_HTTP = {
    "text": b"secret-token what is this\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret-token\r\n\r\n",
    "ssh": b"SSH-2.0-secret-token\r\n\r\n",
    "header": b"GET / HTTP/1.1\r\nHost: localhost\r\nsecret token: x\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: secret-token\r\n\r\n",
    "target": b"GET http://[secret-token/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "line": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


async def sent(port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer, after which the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


@asynccontextmanager
async def of_console() -> AsyncIterator[int]:
    async with console({"reports": MemoryStore()}) as site:
        yield site.server.port


@asynccontextmanager
async def of_admin() -> AsyncIterator[int]:
    server = AdminServer("127.0.0.1", 0, CollectorRegistry(), lambda: "")
    await server.start()
    yield server.port
    await server.stop()


@asynccontextmanager
async def of_callback() -> AsyncIterator[int]:
    server = Callback(SystemTime())
    await server.start()
    yield int(server.url.rpartition(":")[2])
    await server.stop()


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[int]:
    """Serve an application that answers each request for / with `handler`; yield the port."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = ProblemRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.parametrize("listener", [of_console, of_admin, of_callback])
@pytest.mark.parametrize("what", NOT_HTTP)
async def test_what_is_not_http_gets_a_problem(
    listener: Callable[[], AbstractAsyncContextManager[int]],
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listener() as port:
        status, headers, body = await sent(port, NOT_HTTP[what])
    problem = json.loads(body)
    assert (status, problem["status"]) in ((400, 400), (431, 431))
    assert headers["content-type"] == "application/problem+json"
    assert "server" not in headers
    assert b"secret" not in body
    assert "secret" not in caplog.text
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("listener", [of_console, of_admin, of_callback])
async def test_no_answer_names_the_server_software(
    listener: Callable[[], AbstractAsyncContextManager[int]],
) -> None:
    async with listener() as port:
        for path in (b"/", b"/readyz", b"/nothing"):
            request = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            _, headers, _ = await sent(port, request)
            assert "server" not in headers


async def test_an_internal_error_is_logged_and_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: web.Request) -> web.Response:
        raise ValueError("broken")

    async with serving(fail) as port:
        request = b"GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n"
        status, headers, body = await sent(port, request)
        _, head_headers, nothing = await sent(port, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (status, headers["content-type"]) == (500, "application/problem+json")
    assert b"broken" not in body
    assert int(headers["content-length"]) == len(body)
    assert (nothing, head_headers["content-length"]) == (b"", headers["content-length"])
    assert headers["connection"] == "close"
    assert "server" not in headers
    record, _ = caplog.records
    assert record.exc_info is not None
    assert "ValueError: broken" in caplog.text


async def test_the_end_of_the_runner_closes_idle_connections() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async with serving(answer) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"ok")
    writer.close()
