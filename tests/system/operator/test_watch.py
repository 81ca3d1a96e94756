"""How kopf's watch of one kind ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from asyncendpoints_operator.kube import watch
from asyncendpoints_operator.kube.watch import WatchedKind, Watcher
from support.kube.fake_cluster import FakeCluster
from support.store.work import eventually

KIND = WatchedKind("", "v1", "Pod")


class Api(FakeCluster):
    """The connection to an API server that refuses every request."""

    server = ""

    async def credentials(self) -> dict[str, Any]:
        return {"server": self.server}


async def refuse(_: web.Request) -> web.Response:
    return web.json_response({"kind": "Status", "code": 403, "message": "forbidden"}, status=403)


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(watch, "_RETRY_SECONDS", (0.01,))
    found = Api()
    app = web.Application()
    app.router.add_get("/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def test_a_watch_that_is_refused_ends_and_says_so(api: Api) -> None:
    ended = asyncio.Event()
    watcher = Watcher(api, KIND, [], api.put, api.remove, ended.set)
    watcher.start()
    async with asyncio.timeout(20):
        await ended.wait()
    await eventually(lambda: not watcher.alive)


async def test_a_watch_ends_when_it_is_stopped(api: Api) -> None:
    ended = asyncio.Event()
    watcher = Watcher(api, KIND, [], api.put, api.remove, ended.set)
    watcher.start()
    await watcher.stop()
    assert not watcher.alive
    assert not ended.is_set()
