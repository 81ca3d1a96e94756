"""The gateway behind a server that is not aiohttp: all it needs is http.messages.Request."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from multidict import CIMultiDict

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Result, complete
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.http.messages import BodyError, Headers, Request, Response
from asyncendpoints_gateway.server.app import Gateway, Rejected
from support.http.gateway import endpoint
from support.store.stores import hand


class Plain:
    """A request in memory; its body arrives in `parts`."""

    version = (1, 1)
    decoded = False

    def __init__(self, method: str, target: str, *parts: bytes, **headers: str) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers: Headers = CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()})
        self.parts = list(parts)
        self.gone = False
        self.broken = False

    def head_size(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self.headers.items())

    def client_gone(self) -> bool:
        return self.gone

    def at_end(self) -> bool:
        return not self.parts and not self.broken

    def read_nowait(self) -> bytes:
        return b""

    async def read(self) -> bytes:
        if self.broken:
            raise BodyError
        return self.parts.pop(0)

    async def send_continue(self) -> None:
        pass

    def reusable(self) -> bool:
        return self.at_end()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    running = Gateway(endpoint(), MemoryStore(), SystemTime(), owns_policy=True)
    running.start()
    await running.policy.connected.wait()
    yield running
    await running.stop()


async def ask(gateway: Gateway, request: Plain) -> Response:
    asked: Request = request
    return await gateway.handle(asked)


async def test_a_job_from_the_request_to_its_result(gateway: Gateway) -> None:
    accepted = await ask(
        gateway,
        Plain("POST", "/reports/7?a=b", b'{"a"', b": 1}", Content_Type="application/json"),
    )
    assert accepted.status == 202
    path = accepted.headers["Location"]
    claimed = await (await hand(gateway._store, "w")).one()
    assert (claimed.request.path, claimed.request.query) == ("/reports/7", "a=b")
    assert claimed.request.body == b'{"a": 1}'
    await gateway._store.settle([complete(claimed.claim, Result("text/plain", b"done"))])
    result = await ask(gateway, Plain("GET", f"{path}/result"))
    assert (result.status, result.body, result.stream) == (200, b"done", None)
    shown = json.loads((await ask(gateway, Plain("GET", path))).body)
    assert (shown["id"], shown["state"]) == (ids.text(claimed.job.id), "Completed")


async def test_a_stream_is_an_iterator_of_bytes_and_counts_when_it_ends(gateway: Gateway) -> None:
    accepted = await ask(gateway, Plain("POST", "/reports/7", b"x"))
    request = Plain("GET", accepted.headers["Location"], Accept="text/event-stream")
    response = await ask(gateway, request)
    assert response.stream is not None
    count = 'asyncendpoints_http_request_duration_seconds_count{operation="events"'
    async with aclosing(response.stream) as stream:
        first = await anext(stream)
        assert first.startswith(b"id: 1\nevent: job\ndata: {")
        assert count not in gateway.metrics.scrape().decode()
        request.gone = True
        gateway.hub._wake_all()
        assert [part async for part in stream] == []
    assert count in gateway.metrics.scrape().decode()
    assert gateway.hub.waiters == 0


async def test_a_stream_that_is_not_read_to_its_end_frees_its_slot(gateway: Gateway) -> None:
    accepted = await ask(gateway, Plain("POST", "/reports/7", b"x"))
    request = Plain("GET", accepted.headers["Location"], Accept="text/event-stream")
    response = await ask(gateway, request)
    assert response.stream is not None
    await anext(response.stream)
    await response.stream.aclose()
    assert gateway.hub.waiters == 0


async def test_refusals_are_responses(gateway: Gateway) -> None:
    assert (await ask(gateway, Plain("GET", "/nope"))).status == 404
    broken = Plain("POST", "/reports/7")
    broken.broken = True
    refused = await ask(gateway, broken)
    assert (refused.status, refused.close) == (400, True)
    large = Plain("POST", "/reports/7", X="y" * 20_000)
    assert (await ask(gateway, large)).status == 431


async def test_a_rejection_by_before_enqueue_is_raised(gateway: Gateway) -> None:
    async def reject(_: object) -> None:
        raise Rejected(RuntimeError("payment required"))

    with pytest.raises(Rejected) as rejected:
        await gateway.handle(Plain("POST", "/reports/7", b"x"), reject)
    assert str(rejected.value.response) == "payment required"
    assert (await gateway._store.stats()).totals.get("created", 0) == 0
