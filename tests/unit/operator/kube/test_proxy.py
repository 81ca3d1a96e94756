"""The API server and the proxy of the environment: which entries of NO_PROXY cover it."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from asyncendpoints_operator.kube.client import Unreachable, connect
from asyncendpoints_operator.kube.proxy import covers

DEAD_PROXY = "http://user:secret@127.0.0.1:1"


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """An API server that serves one group."""

    async def group(_: web.Request) -> web.Response:
        return web.json_response({"resources": [{"name": "deployments"}]})

    app = web.Application()
    app.router.add_get("/apis/apps/v1", group)
    running = TestServer(app, host="127.0.0.1")
    await running.start_server()
    yield running
    await running.close()


@pytest.fixture
def kubeconfig(server: TestServer, tmp_path: Path) -> str:
    where = {"server": f"http://127.0.0.1:{server.port}"}
    context = {"cluster": "it", "user": "it"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": where}],
        "users": [{"name": "it", "user": {"token": "t"}}],
        "contexts": [{"name": "it", "context": context}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", DEAD_PROXY)
    monkeypatch.setenv("no_proxy", "")  # restored after the test, whoever sets it
    return monkeypatch


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
async def test_a_network_in_no_proxy_covers_the_api_server(
    kubeconfig: str, environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, ".svc, 127.0.0.0/8")
    cluster = await connect(kubeconfig)
    try:
        assert await cluster.serves("apps/v1", "Deployment")
    finally:
        await cluster.close()


async def test_a_proxy_in_use_is_logged_with_the_entry_that_helps(
    kubeconfig: str, environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment.setenv("NO_PROXY", "10.0.0.0/8")
    with caplog.at_level(logging.WARNING):
        cluster = await connect(kubeconfig)
    try:
        with pytest.raises(Unreachable):
            await cluster.serves("apps/v1", "Deployment")
    finally:
        await cluster.close()
    (record,) = caplog.records
    assert "through the proxy 127.0.0.1:1" in record.getMessage()
    assert "add 127.0.0.1 to NO_PROXY" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize(
    ("entry", "host", "covered"),
    [
        ("10.96.0.0/12", "10.96.0.1", True),
        ("10.96.0.1/12", "10.96.0.1", True),
        ("10.96.0.1", "10.96.0.1", True),
        ("10.96.0.1:443", "10.96.0.1", True),
        ("10.96.0.1:6443", "10.96.0.1", False),
        ("10.0.0.0/16", "10.96.0.1", False),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("fd00::1", "fd00::1", True),
        ("fd00::/8", "10.96.0.1", False),
        ("*", "10.96.0.1", True),
        ("*.example.com", "api.example.com", True),
        (".example.com:443", "api.example.com", True),
        ("example.com", "notexample.com", False),
        ("", "api.example.com", False),
        ("", "10.96.0.1", False),
    ],
)
def test_entries_of_no_proxy(entry: str, host: str, covered: bool) -> None:
    assert covers(entry, host, 443) is covered
