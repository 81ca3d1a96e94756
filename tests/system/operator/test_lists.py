"""Lists of several kinds, one of which the API server does not answer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from asyncendpoints_operator.kube import client
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.watch import watched
from asyncendpoints_operator.main import cluster_sync
from asyncendpoints_operator.main.cluster_sync import ClusterSync
from support.store.work import eventually

HANGING = "pods"
NAMESPACES = ("a", "b")


class Api:
    """An API server without objects, which never answers a list of one kind."""

    def __init__(self) -> None:
        self.listed: set[str] = set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.listed.add(request.path.partition("/namespaces/")[2])
        if request.path.endswith(HANGING):
            await asyncio.Event().wait()
        served = [{"name": plural} for plural in client.PLURALS.values()]
        return web.json_response({"resources": served, "items": [], "metadata": {}})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    found, app = Api(), web.Application()
    app.router.add_get("/{path:.*}", found.answer)
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
    monkeypatch.setattr(client, "_READ_SECONDS", 3_600.0)
    monkeypatch.setattr(cluster_sync, "_TURN_SECONDS", 0.1)
    cluster = await connected(api.url, tmp_path)
    sync = ClusterSync(cluster, Cache(lambda _: None), lambda _: None, NAMESPACES, 300)

    async def run() -> None:
        async with sync.watching():
            pass

    plurals = {client.PLURALS[kind.kind] for kind in watched()} - {HANGING}
    wanted = {f"{namespace}/{plural}" for namespace in NAMESPACES for plural in plurals}
    running = asyncio.create_task(run())
    try:
        await eventually(lambda: api.listed >= {*wanted, f"a/{HANGING}"})
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await cluster.close()
