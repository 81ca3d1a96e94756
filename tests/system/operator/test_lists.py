"""Lists of several kinds, one of which the API server does not answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from asyncendpoints_operator.desired.naming import Kind
from asyncendpoints_operator.kube import client, watch
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.watch import WATCHED
from asyncendpoints_operator.main import cluster_sync
from asyncendpoints_operator.main.cluster_sync import ClusterSync, KindSync, Readable
from support.kube.fake_cluster import FakeCluster
from support.store.work import eventually

HANGING = "pods"
DISCOVERED = {"metadata": {"resourceVersion": "1"}, "versions": ["v1"], "groups": []}
NAMESPACES = ("a", "b")


class Api:
    """An API server with `items` of any kind, which never answers a list of `hanging`, and forbids
    to watch `unwatchable` (a namespace and a kind). Kinds are found once it is `discoverable`; it
    loses its history when it is `gone`.
    """

    def __init__(self) -> None:
        self.listed: set[str] = set()
        self.url = ""
        self.hanging, self.unwatchable = "none", "none"
        self.watches: list[str] = []
        self.items: list[dict[str, Any]] = []
        self.discoverable, self.gone = asyncio.Event(), asyncio.Event()
        self.discoverable.set()

    async def review(self, request: web.Request) -> web.Response:
        asked = (await request.json())["spec"]["resourceAttributes"]
        allowed = f"{asked['namespace']}/{asked['resource']}" != self.unwatchable
        return web.json_response({"status": {"allowed": asked["verb"] == "watch" and allowed}})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        what = request.path.partition("/namespaces/")[2]
        if "watch" in request.query:
            self.watches.append(what)
            if what == self.unwatchable:
                status = {"kind": "Status", "code": 403, "message": "forbidden"}
                return web.json_response(status, status=403)
            stream = web.StreamResponse()
            await stream.prepare(request)
            await self.gone.wait()
            self.gone.clear()
            await stream.write(b'{"type": "ERROR", "object": {"kind": "Status", "code": 410}}\n')
            return stream
        if not what:
            await self.discoverable.wait()
        self.listed.add(what)
        if request.path.endswith(self.hanging):
            await asyncio.Event().wait()
        more = {"singularName": "", "namespaced": True, "verbs": ["list", "watch"]}
        served = [{"name": plural, "kind": kind, **more} for kind, plural in client.PLURALS.items()]
        return web.json_response({"resources": served, "items": self.items, **DISCOVERED})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    found, app = Api(), web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    app.router.add_post("/{path:.*}", found.review)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def connected(server: str, folder: Path) -> client.Cluster:
    """Connect to a server that asks for no credentials."""
    file = folder / "kubeconfig"
    configuration = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "users": [{"name": "x", "user": {}}],
    }
    file.write_text(yaml.safe_dump(configuration))
    return await client.connect(str(file))


async def test_a_list_that_is_not_answered_keeps_no_other_kind_from_being_listed(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.hanging = HANGING
    monkeypatch.setattr(client, "_READ_SECONDS", 3_600.0)
    monkeypatch.setattr(cluster_sync, "_TURN_SECONDS", 0.1)
    cluster = await connected(api.url, tmp_path)
    sync = ClusterSync(cluster, Cache(lambda _: None), lambda _: None, NAMESPACES, 300)

    async def run() -> None:
        async with sync.watching():
            pass

    plurals = {client.PLURALS[kind.kind] for kind in WATCHED} - {HANGING}
    wanted = {f"{namespace}/{plural}" for namespace in NAMESPACES for plural in plurals}
    running = asyncio.create_task(run())
    try:
        await eventually(lambda: api.listed >= {*wanted, f"a/{HANGING}"})
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await cluster.close()


async def test_a_namespace_that_may_not_be_watched_ends_no_watch_of_the_others(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.unwatchable = "a/pods"
    monkeypatch.setattr(watch, "_RETRY_SECONDS", (0.01,))
    monkeypatch.setattr(cluster_sync, "_RETRY_SECONDS", 0.1)
    cluster = await connected(api.url, tmp_path)
    pods, readable, cache = Kind("v1", "Pod"), Readable(), Cache(lambda _: None)
    sync = KindSync(cluster, cache, pods, NAMESPACES, readable, asyncio.Lock(), 300)
    running = asyncio.create_task(sync.run())
    try:
        await eventually(lambda: readable.unreadable == {"a": 1})
        await eventually(lambda: "b/pods" in api.watches)
        refused = api.watches.count("a/pods")
        for _ in range(3):  # the one that may not be watched is listed again and again
            api.listed.clear()
            await eventually(lambda: "a/pods" in api.listed)
        assert api.watches.count("a/pods") == refused
        assert readable.unreadable == {"a": 1}
        api.unwatchable = "none"
        await eventually(lambda: not readable.unreadable)
        await eventually(lambda: api.watches.count("a/pods") > refused)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await cluster.close()


async def test_a_watch_whose_end_hangs_in_kopf_ends_all_the_same(api: Api, tmp_path: Path) -> None:
    cluster, ended = await connected(api.url, tmp_path), asyncio.Event()
    pods, cache = Kind("v1", "Pod"), Cache(lambda _: None)
    events = (cache.put, cache.remove, ended.set, lambda: None)
    watcher = watch.Watcher(cluster, pods, ["a"], *events)
    watcher.start()

    def callback_of_kopf() -> None:
        raise AssertionError  # asyncio.current_task() is None in a callback

    try:
        await eventually(lambda: "a/pods" in api.watches)
        assert watcher._stopping is not None
        watcher._stopping[0].call_soon_threadsafe(callback_of_kopf)
        async with asyncio.timeout(20):
            await ended.wait()
        assert watcher._sessions
        assert all(session.closed for session in watcher._sessions)
    finally:
        await watcher.stop()
        await cluster.close()


POD = {
    "metadata": {"namespace": "a", "name": "it", "uid": "1", "resourceVersion": "1", "labels": {}}
}


@contextlib.asynccontextmanager
async def kept(api: Api, folder: Path) -> AsyncIterator[Cache]:
    """A cache that the watch and the lists of pods in one namespace keep."""
    cluster, cache = await connected(api.url, folder), Cache(lambda _: None)
    pods = Kind("v1", "Pod")
    sync = KindSync(cluster, cache, pods, ("a",), Readable(), asyncio.Lock(), 300)
    running = asyncio.create_task(sync.run())
    try:
        yield cache
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await cluster.close()


async def test_what_is_deleted_before_a_watch_begins_is_removed(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_sync, "_BEGIN_SECONDS", 0.01, raising=False)
    api.items = [POD]
    api.discoverable.clear()
    async with kept(api, tmp_path) as cache:
        await eventually(lambda: len(cache) == 1)
        api.items = []
        api.discoverable.set()
        await eventually(lambda: "a/pods" in api.watches)
        await eventually(lambda: len(cache) == 0)


async def test_what_is_deleted_in_a_time_without_history_is_removed(
    api: Api, tmp_path: Path
) -> None:
    api.items = [POD]
    async with kept(api, tmp_path) as cache:
        await eventually(lambda: len(cache) == 1 and api.watches == ["a/pods"])
        api.items = []
        api.gone.set()
        await eventually(lambda: len(api.watches) == 2)
        await eventually(lambda: len(cache) == 0)


async def test_objects_of_a_list_are_stored_one_by_one() -> None:
    cache, before = Cache(lambda _: None), []

    class Listing(FakeCluster):
        async def list(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
            for number in range(3):
                before.append(len(cache))
                meta = {"namespace": "a", "name": f"pod-{number}", "uid": f"uid-{number}"}
                yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta}

    kind = Kind("v1", "Pod")
    sync = KindSync(Listing(), cache, kind, (None,), Readable(), asyncio.Lock(), 300.0)
    assert await sync._list_one(None)
    assert (before, len(cache)) == ([0, 1, 2], 3)
