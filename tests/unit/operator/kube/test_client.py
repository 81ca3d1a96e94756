"""What the client makes of unusual answers, over real HTTP."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from asyncendpoints_operator.kube.client import Cluster, Ref, Refused, Unreachable, connect
from asyncendpoints_operator.kube.election import NotLeader

SERVICE = Ref("v1", "Service", "demo", "reports")
PAGE = "<html>\n<body>Sign in</body></html>"

Answers = Callable[[web.Response], Awaitable[Cluster]]


@pytest.fixture
async def answering(tmp_path: Path) -> AsyncIterator[Answers]:
    """Connect to a server that answers everything with one response."""
    servers, clusters = [], []

    async def start(response: web.Response) -> Cluster:
        async def answer(_: web.Request) -> web.Response:
            return response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = TestServer(app, host="127.0.0.1")
        servers.append(server)
        await server.start_server()
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
            "users": [{"name": "it", "user": {"token": "t"}}],
        }
        path = tmp_path / "config"
        path.write_text(json.dumps(config))
        clusters.append(await connect(str(path)))
        return clusters[-1]

    yield start
    for cluster in clusters:
        await cluster.close()
    for server in servers:
        await server.close()


async def test_a_page_instead_of_an_answer_is_no_internal_error(answering: Answers) -> None:
    cluster = await answering(web.Response(text=PAGE, content_type="text/html"))
    shown = "not a response of the Kubernetes API: <html> <body>Sign in"
    with pytest.raises(Unreachable, match=shown):
        await cluster.get(SERVICE)


@pytest.mark.parametrize(
    ("text", "shown"), [("404 page not found\n", "404 page not found"), (PAGE, "Not Found")]
)
async def test_a_refusal_in_plain_text_is_quoted_and_a_page_is_not(
    answering: Answers, text: str, shown: str
) -> None:
    cluster = await answering(web.Response(text=text, status=404))
    with pytest.raises(Refused) as refused:
        await cluster.get(SERVICE)
    assert (str(refused.value), refused.value.missing) == (shown, True)
    assert not refused.value.outdated


@pytest.mark.parametrize("finalizers", [None, ["example.com/x"]])
async def test_what_finalizers_keep_is_returned_by_its_deletion(
    answering: Answers, finalizers: list[str] | None
) -> None:
    gone = {"kind": "Service", "metadata": {"name": "reports", "finalizers": finalizers}}
    cluster = await answering(web.json_response(gone))
    found = await cluster.delete(SERVICE, uid="u")
    assert found == (gone if finalizers else None)


async def test_nothing_is_sent_by_a_write_of_one_that_may_not(answering: Answers) -> None:
    """Docs/rules.md K15: a leader that was stopped writes nothing when it continues."""

    def guard() -> None:
        raise NotLeader("this operator no longer holds the lease")

    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "reports"}}
    connected = await answering(web.json_response(service))
    cluster = Cluster(connected.api, guard)
    writes: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: cluster.create(service),
        lambda: cluster.apply(service),
        lambda: cluster.merge(SERVICE, {}),
        lambda: cluster.merge(SERVICE, {}, subresource="status"),
        lambda: cluster.delete(SERVICE, uid="u"),
    )
    for write in writes:
        with pytest.raises(NotLeader):
            await write()
    assert cluster.requests == 0
    assert await cluster.get(SERVICE) == service
