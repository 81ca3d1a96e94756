"""Both Python clients against a real gateway, on each store."""

import asyncio
import ssl
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from pydantic import BaseModel

import asyncendpoints_client as api
from asyncendpoints_core.store.protocol import Store
from support.clients.gateway import TOKEN, gateway
from support.clients.scenario_server import JOB, job, scenario_server
from support.http.fixtures import store as store  # the fixture

NO_JITTER = api.Timing(random=lambda: 0.0)


class Losing(httpx2.HTTPTransport):
    """Sends the first request of each method and loses its response."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[str] = set()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if request.method not in self.lost:
            self.lost.add(request.method)
            response.close()
            raise httpx2.ReadError("lost by the test", request=request)
        return response


class AsyncLosing(httpx2.AsyncHTTPTransport):
    """As Losing."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[str] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if request.method not in self.lost:
            self.lost.add(request.method)
            await response.aclose()
            raise httpx2.ReadError("lost by the test", request=request)
        return response


class Sum(BaseModel):
    sum: float
    customer: str


@dataclass
class Numbers:
    numbers: list[float]


def use(url: str, folder: Path) -> None:
    """Everything that the synchronous client does."""
    with api.Client(url, token=TOKEN, transport=Losing(), timing=NO_JITTER) as client:
        job = client.submit("/sums/acme", {"numbers": [1, 2, 3]})
        assert job.result() == {"sum": 6, "customer": "acme"}
        assert job.result(Sum) == Sum(sum=6, customer="acme")
        assert job.status().state == "Completed"
        assert job.status().completed_at is not None
        again = client.submit(
            "/sums/acme", {"numbers": [1, 2, 3]}, idempotency_key=job.idempotency_key
        )
        assert again.id == job.id
        waited = client.submit("/sums/acme", Numbers([4.5]), wait=20, priority="high", method="PUT")
        assert waited.result(Sum).sum == 4.5
        failing = client.submit("/failures", wait=20)
        with pytest.raises(api.JobFailed) as failed:
            failing.result()
        assert failed.value.error == api.JobError("empty", "no rows", False)
        assert failing.retry().state in ("Queued", "InProgress", "Failed")
        assert failing.wait(timeout=20).state == "Failed"
        blob = client.submit("/blobs", iter([b"a" * 1000, b"b" * 1000]))
        assert blob.download(folder / "blob").read_bytes() == (b"a" * 1000 + b"b" * 1000) * 2
        seen = list(client.submit("/steps", delay=0.2).events())
        assert [one.state for one in (seen[0], seen[-1])] == ["Scheduled", "Completed"]
        assert {one.progress.fraction for one in seen if one.progress} >= {0.25, 0.5, 0.75, 1}
        tagged = client.submit("/steps", tags=["a", "b:c"])
        assert tagged.status().tags == ("a", "b:c")
        assert [one.id for one in client.jobs(tag=["a", "b:c"])] == [tagged.id]
        assert tagged.result() == "a,b"
        endless = client.submit("/endless")
        with pytest.raises(api.DeadlineExceeded) as late:
            endless.wait(timeout=0)
        assert late.value.id == endless.id
        endless.cancel()
        assert endless.wait(timeout=20).state == "Canceled"
        with pytest.raises(api.InvalidBody) as refused:
            client.submit("/sums/acme", {"numbers": ["x"]})
        assert [error["pointer"] for error in refused.value.errors] == ["#/numbers/0"]
        with pytest.raises(api.NotFound):
            client.submit("/none")
        assert len(list(client.jobs(limit=2))) == 7
        assert {one.id for one in client.jobs(state="Canceled")} == {endless.id}
        first, other = client.submit("/shared/a"), client.submit("/shared/a", wait=0)
        assert (first.existing, other.existing, other.id) == (False, True, first.id)
        single = client.submit("/single/a")
        with pytest.raises(api.DuplicateJob) as duplicate:
            client.submit("/single/a")
        assert (duplicate.value.status, duplicate.value.id) == (409, single.id)
        assert not client.submit("/single/b").existing
        single.cancel()
        single.wait(timeout=20)
        assert client.submit("/single/a").id != single.id
    with api.Client(url, token="wrong") as client, pytest.raises(api.Unauthorized):
        client.job(JOB).status()


async def test_the_synchronous_client(store: Store, tmp_path: Path) -> None:
    async with gateway(store, tmp_path) as url:
        await asyncio.to_thread(use, url, tmp_path)


async def test_the_asynchronous_client(store: Store, tmp_path: Path) -> None:
    async with (
        gateway(store, tmp_path) as url,
        api.AsyncClient(url, token=TOKEN, transport=AsyncLosing(), timing=NO_JITTER) as client,
    ):
        job = await client.submit("/sums/acme", {"numbers": [1, 2, 3]})
        assert await job.result(Sum) == Sum(sum=6, customer="acme")
        blob = await client.submit("/blobs", b"abc", wait=20)
        assert await blob.result() == b"abcabc"
        assert (await blob.download(tmp_path / "blob")).read_bytes() == b"abcabc"
        steps = await client.submit("/steps", delay=0.2)
        seen = [one async for one in steps.events()]
        assert [one.state for one in (seen[0], seen[-1])] == ["Scheduled", "Completed"]
        endless = await client.submit("/endless", delay=60)
        assert (await endless.cancel()).state == "Canceled"
        with pytest.raises(api.JobCanceled):
            await endless.result()
        assert (await endless.retry()).state == "Queued"
        await endless.cancel()
        assert len([one async for one in client.jobs(limit=3)]) == 4
        first, other = await client.submit("/shared/a"), await client.submit("/shared/a")
        assert (first.existing, other.existing, other.id) == (False, True, first.id)
        single = await client.submit("/single/a")
        with pytest.raises(api.DuplicateJob) as duplicate:
            await client.submit("/single/a")
        assert (duplicate.value.status, duplicate.value.id) == (409, single.id)


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_large_download_needs_constant_memory(
    kind: str, tmp_path: Path, memory: None
) -> None:
    size = 64 << 20
    scenario = {
        "name": "large",
        "replies": {
            f"GET /jobs/{JOB}": [{"job": "Completed", "version": 1}],
            f"GET /jobs/{JOB}/result": [{"bytes": size, "cut": True}, {"bytes": size}],
        },
    }
    async with scenario_server() as server:
        server.run("large", scenario)
        url = f"{server.url}/large"
        tracemalloc.reset_peak()
        if kind == "sync":
            with api.Client(url) as client:
                path = await asyncio.to_thread(client.job(JOB).download, tmp_path / "result")
        else:
            async with api.AsyncClient(url) as asynchronous:
                path = await asynchronous.job(JOB).download(tmp_path / "result")
    assert path.stat().st_size == size
    assert tracemalloc.get_traced_memory()[1] < 16 << 20


async def test_the_trace_context_of_the_present_span_is_sent() -> None:
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

    scenario = {"name": "t", "replies": {f"GET /jobs/{JOB}": [{"job": "Queued"}]}}
    context = SpanContext(0xABC, 0xDEF, False, TraceFlags(1))
    async with scenario_server() as server, api.AsyncClient(f"{server.url}/t") as client:
        run = server.run("t", scenario)
        with use_span(NonRecordingSpan(context)):
            await client.job(JOB).status()
        await client.job(JOB).status()
    assert run.sent[0]["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert "traceparent" not in run.sent[1]
    assert trace.get_current_span().get_span_context().trace_id == 0


def test_sending_again_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    replies = iter([httpx2.Response(503), httpx2.Response(202, json=job("Queued"))])

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not caplog.messages:
            raise httpx2.ConnectError("refused", request=request)
        return next(replies)

    caplog.set_level("INFO", "asyncendpoints_client")
    timing = api.Timing(random=lambda: 0.0, sleep=lambda _: None)
    transport = httpx2.MockTransport(answer)
    with api.Client("http://h", transport=transport, timing=timing) as client:
        client.submit("/a")
    mine = [text for name, _, text in caplog.record_tuples if name == "asyncendpoints_client"]
    assert mine == [
        "no response (refused), sending again in 0.0 s",
        "status 503, sending again in 0.0 s",
    ]


async def test_a_server_without_a_valid_certificate_is_not_tried_again() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(
            "certificate", request=request
        ) from ssl.SSLCertVerificationError()

    with (
        api.Client("https://h", transport=httpx2.MockTransport(refuse)) as client,
        pytest.raises(api.ConnectionFailed),
    ):
        client.submit("/a")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: api.Client("127.0.0.1:8080"), "base_url"),
        (lambda: api.Client("http://h", token="secret\n"), "token"),
        (lambda: api.Client("http://h").submit("/a?b=c"), "params"),
        (lambda: api.Client("http://h").submit("/a", delay=-1), "delay"),
        (lambda: api.Client("http://h").submit("/a", headers={"X-A": "b\r\nc"}), "X-A"),
        (lambda: api.Client("http://h").submit("/a", {"x": float("nan")}), "JSON"),
        (lambda: api.Client("http://h").job("../x"), "id"),
    ],
)
def test_wrong_arguments_are_named(wrong: object, message: str) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize(("body", "message"), [({1, 2}, "set"), ({"a": object()}, "object")])
def test_what_is_not_json_is_named(body: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        api.Client("http://h").submit("/a", body)
    with pytest.raises(TypeError, match="tags"):
        api.Client("http://h").submit("/a", tags="a,b")
