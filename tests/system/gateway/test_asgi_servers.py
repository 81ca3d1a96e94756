"""Applications of examples/asgi under real servers: uvicorn and Hypercorn, by their commands."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from support.paths import ROOT
from support.ports import free_port

FOLDER = ROOT / "examples" / "asgi"
SERVERS = {
    "uvicorn": ("uvicorn", "--port", "{port}", "--log-level", "warning"),
    # With 0 workers it serves in the process that gets the signal.
    "hypercorn": ("hypercorn", "--bind", "127.0.0.1:{port}", "--workers", "0"),
}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ("greetings", "fastapi_app", "starlette_app", "litestar_app", "django_app"):
        sys.modules.pop(name, None)


def command(server: str, port: int, *more: str, app: str = "fastapi_app:app") -> list[str]:
    words = [word.format(port=port) for word in SERVERS[server]]
    return [sys.executable, "-m", *words, *more, app]


@asynccontextmanager
async def process(server: str, *more: str) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
    """Run a server until its port is open; yield it with its address."""
    port = free_port()
    running = subprocess.Popen(
        command(server, port, *more), cwd=FOLDER, stderr=subprocess.PIPE, text=True
    )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert running.poll() is None, running.communicate()
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield running, f"http://127.0.0.1:{port}"
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_signal_ends_waits_and_streams_before_the_server_waits_for_them(
    server: str,
) -> None:
    async with process(server) as (running, address), aiohttp.ClientSession(address) as session:
        accepted = await session.post("/async/greetings/ada", data="slowly")
        assert accepted.status == 202
        location = accepted.headers["Location"]
        stream = await session.get(location, headers={"Accept": "text/event-stream"})
        while b'"InProgress"' not in await stream.content.readline():
            pass
        tag = (await session.get(location)).headers["ETag"]
        poll = asyncio.ensure_future(
            session.get(f"{location}?wait=60", headers={"If-None-Match": tag})
        )
        await asyncio.sleep(0)  # its request is sent; if the signal is faster, it is answered too
        running.send_signal(signal.SIGTERM)
        answer = await asyncio.wait_for(poll, 20)
        assert answer.status in {200, 304}
        await asyncio.wait_for(stream.content.read(), 20)  # complete: raises nothing
        # The attempt has drain_seconds to end. Both servers end by themselves, uvicorn by the
        # signal that it got.
        assert await asyncio.to_thread(running.wait, 30) in {0, -signal.SIGTERM}


async def test_workers_with_a_memory_store_each_are_refused() -> None:
    port = free_port()
    running = subprocess.Popen(
        command("uvicorn", port, "--workers", "2"), cwd=FOLDER, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    try:
        while line := await asyncio.to_thread(running.stderr.readline):
            if "another worker of this server has a MemoryStore for default/greetings" in line:
                assert "use RedisStore, or one worker" in line
                return
        pytest.fail("it was not refused")
    finally:
        running.terminate()
        running.communicate()


async def greeting(address: str) -> str:
    """Return what a job's handler returned; "" while no server answers, or one that ends."""
    headers = {"Prefer": "wait=10"}
    try:
        async with (
            aiohttp.ClientSession(address) as session,
            session.post("/async/greetings/ada", headers=headers) as answer,
        ):
            return str((await answer.json()).get("greeting", ""))
    except aiohttp.ClientError:
        await asyncio.sleep(0.05)
        return ""


async def test_a_reload_hands_the_memory_store_on(tmp_path: Path) -> None:
    for name in ("fastapi_app.py", "greetings.py", "endpoint.yaml"):
        shutil.copy(FOLDER / name, tmp_path)
    port = free_port()
    more = ("--reload", "--reload-delay", "0.1")
    running = subprocess.Popen(command("uvicorn", port, *more), cwd=tmp_path)
    try:
        async with asyncio.timeout(60):
            while await greeting(f"http://127.0.0.1:{port}") != "Hello, ada":
                pass
            module = tmp_path / "greetings.py"
            module.write_text(module.read_text().replace("Hello", "Welcome"))
            while await greeting(f"http://127.0.0.1:{port}") != "Welcome, ada":
                pass
    finally:
        running.terminate()
        running.wait()


XDIST = """
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fastapi_app import app

@pytest.mark.parametrize("number", [1, 2])
def test_a_job(number, tmp_path_factory):
    with TestClient(app) as client:
        answer = client.post("/async/greetings/ada", headers={"Prefer": "wait=10"})
        assert answer.json() == {"greeting": "Hello, ada"}
        here = tmp_path_factory.getbasetemp().parent
        (here / f"open-{number}").touch()
        while not (here / f"open-{3 - number}").exists():  # the other worker's is open meanwhile
            time.sleep(0.01)
"""


async def test_each_worker_of_pytest_xdist_has_a_memory_store(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(XDIST)
    options = ("-q", "-n", "2", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "temp"))
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", *options, "test_app.py"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(run.communicate(), 120)
    assert "2 passed" in output.decode(), output.decode()


@asynccontextmanager
async def served(name: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run an application of the examples by uvicorn, in this process."""
    app: Any = __import__(name).app
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="on"))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
    finally:
        server.should_exit = True
        await task


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*_app.py")))
async def test_an_example(name: str) -> None:
    async with served(name) as session:
        index = await session.get("/")
        assert (await index.json())["jobs"] == "/async/greetings/{name}"
        done = await session.post("/async/greetings/ada", headers={"Prefer": "wait=30"})
        assert (done.status, await done.json()) == (200, {"greeting": "Hello, ada"})
        location = done.headers["Location"]
        assert location.startswith("/async/jobs/")
        assert (await (await session.get(location)).json())["state"] == "Completed"
        missing = await session.get("/async/nothing")
        assert missing.content_type == "application/problem+json"
        described = await (await session.get("/async/openapi.json")).json()
        assert described["servers"] == [{"url": "/async"}]
        assert (await session.get("/nothing")).content_type != "application/problem+json"
        if name == "fastapi_app":
            refused = await session.post("/async/greetings/nobody")
            assert (refused.status, (await refused.json())["detail"]) == (
                403,
                "nobody is not greeted",
            )


def test_every_example_is_in_the_page() -> None:
    page = (ROOT / "docs" / "asgi.md").read_text()
    for path in FOLDER.glob("*_app.py"):
        assert f"examples/asgi/{path.name}" in page
