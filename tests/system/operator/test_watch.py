"""How kopf's watch of one kind ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from asyncendpoints_operator.desired.naming import Kind
from asyncendpoints_operator.kube import kopf_memories, watch
from asyncendpoints_operator.kube.kopf_memories import no_memories
from asyncendpoints_operator.kube.watch import Watcher
from support.kube.fake_cluster import FakeCluster
from support.store.work import eventually

KIND = Kind("v1", "Pod")


class Api(FakeCluster):
    """The connection to an API server that refuses every request."""

    server = ""

    async def credentials(self) -> dict[str, Any]:
        return {"server": self.server}


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Serve an API, and return its URL."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def refuse(_: web.Request) -> web.Response:
    return web.json_response({"kind": "Status", "code": 403, "message": "forbidden"}, status=403)


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(watch, "_RETRY_SECONDS", (0.01,))
    found = Api()
    async with serving(refuse) as found.server:
        yield found


async def test_a_watch_that_is_refused_ends_and_says_so(api: Api) -> None:
    ended = asyncio.Event()
    watcher = Watcher(api, KIND, [], api.put, api.remove, ended.set, lambda: None)
    watcher.start()
    async with asyncio.timeout(20):
        await ended.wait()
    await eventually(lambda: not watcher.alive)


def test_another_kopf_keeps_its_state_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kopf_memories._class.cache_clear()
    monkeypatch.delattr("kopf._core.reactor.inventory.ResourceMemories")
    assert [no_memories(), no_memories()] == [{}, {}]
    assert [record.getMessage()[:24] for record in caplog.records] == ["kopf is not as expected "]
    kopf_memories._class.cache_clear()


async def test_kopf_keeps_no_state_of_objects() -> None:
    states: Any = no_memories()["memories"]
    for _ in range(2):
        await states.recall({"metadata": {"uid": "1"}}, noticed_by_listing=True)
    assert not list(states.iter_all_memories())


async def test_a_watch_ends_when_it_is_stopped(api: Api) -> None:
    ended = asyncio.Event()
    watcher = Watcher(api, KIND, [], api.put, api.remove, ended.set, lambda: None)
    watcher.start()
    await watcher.stop()
    assert not watcher.alive
    assert not ended.is_set()


GROUPS = {"apps": "deployments", "apiextensions.k8s.io": "customresourcedefinitions"}


def resources(group: str) -> web.Response:
    plural = GROUPS.get(group, "namespaces")
    found = {"name": plural, "kind": plural, "singularName": "", "namespaced": True}
    return web.json_response({"resources": [{**found, "verbs": ["list", "watch"]}]})


async def test_a_watch_has_two_connections_also_while_it_looks_for_its_kind() -> None:
    connections: set[object] = set()
    watching = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        connections.add(request.transport)
        match request.path.strip("/").split("/"):
            case ["api"]:
                return web.json_response({"versions": ["v1"]})
            case ["apis"]:
                version = {"version": "v1"}
                groups = [
                    {"name": group, "versions": [version], "preferredVersion": version}
                    for group in GROUPS
                ]
                return web.json_response({"groups": groups})
            case ["api", "v1"]:
                return resources("")
            case ["apis", group, "v1"]:
                return resources(group)
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        watching.set()
        await asyncio.sleep(60)
        return web.Response()

    async with serving(answer) as server:
        api = Api()
        api.server = server
        kind = Kind("apps/v1", "Deployment")
        watcher = Watcher(api, kind, [], api.put, api.remove, lambda: None, lambda: None)
        watcher.start()
        async with asyncio.timeout(20):
            await watching.wait()
        await watcher.stop()
    assert len(connections) <= 2
