"""The HTTP mode against a real server: what is sent, what each answer means, and what it costs."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from asyncendpoints_core.common.time_source import ManualClock, SystemTime
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes, Job, JobError, Progress
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_worker.handlers import http_mode
from asyncendpoints_worker.handlers.callback import MAX_PER_SECOND, Callback
from asyncendpoints_worker.local import LocalWorker
from support.cli import Answer, ask
from support.container import Container
from support.ports import free_port
from support.store.work import (
    assert_tidy,
    endpoint,
    eventually,
    new_job,
    submit,
    until,
    until_final,
)
from support.worker.local import RecordedSleeps
from support.worker.setup import Start, is_draining, setups


class Rig:
    """A container, and a worker that sends it the jobs of a memory store."""

    def __init__(self, container: Container, store: MemoryStore, worker: LocalWorker) -> None:
        self.container = container
        self.store = store
        self.worker = worker

    async def run(self, path: str = "/work", **fields: Any) -> Job:
        (job,) = await until_final(
            self.store, *await submit(self.store, new_job("any", path=path, **fields))
        )
        return job


@asynccontextmanager
async def rig(*, up: bool = True, **spec: Any) -> AsyncIterator[Rig]:
    async with Container() as container:
        if up:
            await container.start()
        worker_spec = {"http": {"port": container.port, "path": "/run"}, "concurrency": 2}
        resource = endpoint(worker={**worker_spec, **spec.pop("worker", {})}, **spec)
        store = MemoryStore()
        await store.open()
        policy = msgspec.structs.replace(resource.spec.policy(), grace_ms=200)
        await store.configure(policy)
        worker = LocalWorker(resource, store)
        await worker.start()
        try:
            yield Rig(container, store, worker)
        finally:
            container.release.set()
            await worker.stop(0)
            await store.close()


async def test_the_container_gets_the_request_and_what_is_known_of_the_job() -> None:
    async with rig() as one:
        job = await one.run(
            "/reports/7",
            query="a=1&b=%20",
            method="PUT",
            headers={"x-tenant": "acme", "accept": "text/plain", "connection": "upgrade"},
            content_type="application/xml",
            body=b"<a/>",
        )
        assert job.state is State.COMPLETED
        ((method, headers, body),) = one.container.seen
        assert (method, body) == ("PUT", b"<a/>")
        assert headers["content-type"] == "application/xml"
        assert (headers["x-tenant"], headers["accept"]) == ("acme", "text/plain")
        assert headers["job-id"] == ids.text(job.id)
        assert (headers["job-name"], headers["job-attempt"]) == ("any", "1")
        assert headers["job-claim"] == str(job.claim)
        assert headers["job-path"] == "/reports/7?a=1&b=%20"
        assert datetime.fromisoformat(headers["job-deadline"]).tzinfo is not None
        assert "upgrade" not in headers["connection"]


async def test_the_container_sees_the_schedule_of_a_job() -> None:
    async with rig() as one:
        attributes = Attributes(schedule="nightly", scheduled_ms=1_700_000_000_000)
        new = msgspec.structs.replace(new_job("any", path=""), attributes=attributes)
        (job,) = await until_final(one.store, *await submit(one.store, new))
        assert job.state is State.COMPLETED
        ((method, headers, _),) = one.container.seen
        assert (method, headers["job-path"], headers["job-schedule"]) == ("POST", "", "nightly")
        assert headers["job-scheduled-at"] == "2023-11-14T22:13:20.000Z"


async def test_a_result_that_does_not_fit_its_route_fails_without_a_retry() -> None:
    schema = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
    routes = [{"path": "/work", "job": "any", "result": {"schema": schema, "check": True}}]
    async with rig(routes=routes) as one:
        assert (await one.run()).state is State.COMPLETED
        one.container.answers["/bad"] = [web.json_response({"ok": "yes"})]
        one.container.answers["/text"] = [web.Response(text="fine")]
        for path, message in (
            ("/bad", "the result does not match the route's schema: #/ok must be of type boolean"),
            ("/text", "the result is text/plain, but the route declares application/json"),
        ):
            job = await one.run(path)
            assert (job.state, job.attempt) == (State.FAILED, 1)
            assert job.error is not None
            assert (job.error.code, job.error.message) == ("invalid-result", message)
        assert len(one.container.seen) == 3


async def test_a_success_is_the_result_with_its_content_type() -> None:
    async with rig() as one:
        disposition = {"Content-Disposition": 'attachment; filename="r.csv"'}
        one.container.answers["/csv"] = [
            web.Response(body=b"a,b", content_type="text/csv", headers=disposition)
        ]
        one.container.answers["/none"] = [web.Response(status=204)]
        one.container.answers["/made"] = [web.Response(status=201, body=b"")]
        results = []
        for path in ("/csv", "/none", "/made"):
            job = await one.run(path)
            assert job.state is State.COMPLETED
            results.append((await one.store.result(job.id))[1])
        csv, none, made = results
        assert csv is not None
        assert (csv.content_type, csv.body, csv.filename) == ("text/csv", b"a,b", "r.csv")
        assert none is not None
        assert (none.content_type, none.body) == ("application/json", b"null")
        assert made is not None
        assert made.body == b""


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_these_answers_are_tried_again(status: int) -> None:
    async with rig() as one:
        one.container.answers["/once"] = [web.Response(status=status)]
        job = await one.run("/once")
        assert (job.state, job.attempt) == (State.COMPLETED, 2)
        first = job.attempts[0].error
        assert first is not None
        assert (first.code, first.retryable) == (f"http-{status}", True)


@pytest.mark.parametrize("status", [400, 404, 422, 302, 307])
async def test_these_answers_are_final_and_never_followed(status: int) -> None:
    async with rig() as one:
        headers = {"Location": "/elsewhere"} if status < 400 else {}
        one.container.answers["/no"] = [web.Response(status=status, headers=headers)]
        job = await one.run("/no")
        assert job.error is not None
        assert (job.state, job.attempt) == (State.FAILED, 1)
        assert (job.error.code, job.error.retryable) == (f"http-{status}", False)
        assert len(one.container.seen) == 1


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("text/plain", "no such customer: é", "no such customer: é"),
        ("text/plain", "x" * 100_000, "x" * 1_000),
        ("application/json", '{"detail": "no"}', '{"detail": "no"}'),
        ("application/problem+json", '{"title": "No", "detail": "such"}', "No: such"),
        ("application/problem+json", '{"title": "No"}', "No"),
        ("application/problem+json", '{"status": 422}', "the container responded 422"),
        ("application/problem+json", "no JSON", "no JSON"),
        ("text/html", "<h1>no</h1>", "the container responded 422"),
        ("application/octet-stream", "no", "the container responded 422"),
        ("text/plain", " ", "the container responded 422"),
    ],
)
async def test_the_body_of_an_error_is_the_message(
    content_type: str, body: str, message: str
) -> None:
    async with rig() as one:
        one.container.answers["/no"] = [
            web.Response(
                status=422, body=body.encode(), headers={"Content-Type": content_type}, reason=""
            )
        ]
        job = await one.run("/no")
        assert job.error is not None
        assert job.error == JobError("http-422", message, False)


async def test_an_error_without_an_end_is_cut() -> None:
    async with rig() as one:
        job = await one.run("/endless-error")
        assert job.error == JobError("http-400", "y" * 1_000, False)


async def test_a_container_that_listens_elsewhere_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_mode, "WARN_SECONDS", 0.0)
    caplog.set_level("INFO", "asyncendpoints.worker")
    async with Container() as container:
        await container.start()
        target = http_mode.HttpTarget(f"http://[::1]:{container.port}/run", 100, SystemTime())
        waiting = asyncio.create_task(target.until_up())
        try:
            await eventually(lambda: bool(caplog.records))
        finally:
            waiting.cancel()
        (line,) = caplog.messages
        assert line.startswith(f"waiting for the container on ::1 port {container.port}: ")
        assert line.endswith("; it listens on 127.0.0.1 only: let it listen on ::1 too")


async def test_a_container_that_begins_to_listen_is_soon_noticed() -> None:
    time = RecordedSleeps()
    target = http_mode.HttpTarget(f"http://127.0.0.1:{free_port()}/run", 100, time)
    waiting = asyncio.create_task(target.until_up())
    await eventually(lambda: len(time.seconds) > 8)
    waiting.cancel()
    assert max(time.seconds) <= 0.1


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured(form: str) -> None:
    async with rig() as one:
        later = datetime.now(UTC).timestamp() + 3_600
        value = "3600" if form == "seconds" else format_datetime(datetime.fromtimestamp(later, UTC))
        answer = web.Response(status=503, headers={"Retry-After": value})
        one.container.answers["/later"] = [answer]
        job_ids = await submit(one.store, new_job("any", path="/later"))
        (job,) = await until(one.store, job_ids, lambda job: job.state is State.SCHEDULED)
        assert 3_500_000 < job.not_before_ms - job.started_ms <= 3_601_000


async def test_an_answer_over_the_limit_stops_being_read() -> None:
    async with rig(worker={"maxResultBytes": 100_000}) as one:
        job = await one.run("/endless")
        assert job.error is not None
        assert (job.state, job.error.code) == (State.FAILED, "result-too-large")
        await asyncio.wait_for(one.container.broken.wait(), 30)


async def test_a_connection_that_breaks_spends_an_attempt() -> None:
    async with rig() as one:
        job = await one.run("/break", max_attempts=2)
        assert job.error is not None
        assert (job.state, job.attempt, job.error.code) == (State.FAILED, 2, "handler-error")
        assert "ended." not in job.error.message


DYING = """
import os, signal, socket, sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("up", flush=True)
    while True:  # the first connections only ask whether it listens
        connection, _ = server.accept()
        if connection.recv(4096):
            os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_of_a_container_that_is_killed_the_error_says_that_its_port_is_closed() -> None:
    async with rig(up=False) as one:
        words = (sys.executable, "-c", DYING, str(one.container.port))
        dying = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        assert dying.stdout is not None
        await dying.stdout.readline()
        job = await one.run(max_attempts=1)
        await dying.wait()
        assert job.error is not None
        assert "refuses connections: the server has probably ended" in job.error.message


def test_addresses_that_all_refuse_are_one_refusal() -> None:
    refused = "[Errno 111] Connect call failed"
    both = OSError(f"Multiple exceptions: {refused} ('::1', 9, 0, 0), {refused} ('127.0.0.1', 9)")
    assert http_mode._all_refused(both)
    assert http_mode._all_refused(
        ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 9)")
    )
    other = "[Errno 101] Network is unreachable"
    assert not http_mode._all_refused(
        OSError(f"Multiple exceptions: {refused} ('::1', 9, 0, 0), {other}")
    )
    assert not http_mode._all_refused(OSError())


async def test_a_cancel_closes_the_connection() -> None:
    async with rig() as one:
        job_ids = await submit(one.store, new_job("any", path="/hold"))
        await one.container.arrived.wait()
        await one.store.cancel(job_ids)
        (job,) = await until_final(one.store, *job_ids)
        assert job.state is State.CANCELED
        await asyncio.wait_for(one.container.broken.wait(), 30)


async def test_the_timeout_closes_the_connection() -> None:
    async with rig(timeouts={"executionSeconds": 0.2}) as one:
        job = await one.run("/hold", max_attempts=1)
        assert job.error is not None
        assert job.error.code == "execution-timeout"
        await asyncio.wait_for(one.container.broken.wait(), 30)


async def test_nothing_is_claimed_before_the_container_listens() -> None:
    async with rig(up=False) as one:
        job_ids = await submit(one.store, new_job("any"))
        await one.worker.resize(2)
        await eventually(lambda: bool(one.worker.worker))
        (found,) = await one.store.get(job_ids)
        assert found.job is not None
        assert (found.job.state, found.job.attempt) == (State.QUEUED, 0)
        await one.container.start()
        (job,) = await until_final(one.store, *job_ids)
        assert (job.state, job.attempt, job.releases) == (State.COMPLETED, 1, 0)


async def test_a_refused_connection_costs_nothing_and_the_job_waits_for_the_port() -> None:
    async with rig() as one:
        await one.run()
        await one.container.stop()
        job_ids = await submit(one.store, *(new_job("any", max_attempts=1) for _ in range(3)))
        # The first is claimed, refused and handed back; from then on none is.
        await eventually(lambda: has_released(one.store))
        await one.container.start()
        for job in await until_final(one.store, *job_ids):
            assert (job.state, job.attempt) == (State.COMPLETED, 1)
        await assert_tidy(one.store)


async def has_released(store: MemoryStore) -> bool:
    return (await store.stats()).totals["released"] > 0


@pytest.fixture
async def start(redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    async with setups(redis_url, tmp_path) as make:
        yield make


async def test_in_processes_a_container_that_dies_while_draining_charges_no_job(
    start: Start,
) -> None:
    async with Container() as container:
        await container.start()
        http = {"http": {"port": container.port, "path": "/run"}, "handlers": None}
        setup = await start(worker=http)
        worker = setup.worker()
        held = await submit(setup.store, new_job("any", path="/hold", max_attempts=1))
        await container.arrived.wait()
        stopping = asyncio.create_task(asyncio.to_thread(worker.stop))
        await eventually(lambda: is_draining(setup))
        await container.stop()  # as a pod's other container does that ends at once on SIGTERM
        assert await stopping == 0
        (found,) = await setup.store.get(held)
        assert found.job is not None
        assert (found.job.state, found.job.attempt) == (State.QUEUED, 0)
        container.release.set()
        await container.start()
        setup.worker()
        (job,) = await until_final(setup.store, *held)
        assert (job.state, job.attempt) == (State.COMPLETED, 1)


async def test_the_container_reports_progress_and_logs_and_enqueues_jobs() -> None:
    routes = [{"path": "/work", "job": "any"}, {"path": "/more", "job": "more"}]
    async with rig(routes=routes, worker={"logs": {"keep": "All"}}) as one:
        headers = {"x-tenant": "acme", "job-callback": "http://evil.example"}
        [job_id] = await submit(one.store, new_job("any", path="/hold", headers=headers))
        await one.container.arrived.wait()
        [(_, headers, _)] = one.container.seen
        url, token = headers["job-callback"], headers["job-callback-token"]
        assert url.startswith("http://127.0.0.1:")

        async def send(path: str, body: str = "", given: str = token) -> Answer:
            bearer = {"Authorization": f"Bearer {given}"} if given else {}
            method = "GET" if path == "/cancel" else "POST"
            return await asyncio.to_thread(ask, url + path, method, body or None, **bearer)

        async def status(path: str, body: str = "", given: str = token) -> int:
            return (await send(path, body, given)).status

        assert await status("/progress", '{"fraction": 0.5, "message": "half"}') == 204
        [running] = await until(one.store, [job_id], lambda job: job.progress is not None)
        assert running.progress == Progress(0.5, "half")
        assert await status("/logs", "first line\nsecond line\n") == 204
        assert (await send("/cancel")).json == {"cancelRequested": False}
        made = await send("/enqueue", '{"name": "more", "body": {"a": 1}, "tags": ["x"]}')
        assert made.status == 201
        # What is wrong, and what is too much.
        for path, body, expected in (
            ("/progress", '{"fraction": 2}', 422),
            ("/progress", "half", 400),
            ("/enqueue", '{"name": "unknown"}', 422),
            ("/enqueue", '{"name": "more", "prority": "low"}', 400),
            ("/progress", f'{{"fraction": 1, "message": "{"x" * 10_000}"}}', 413),
            ("/logs", "x" * 70_000, 413),
        ):
            assert await status(path, body) == expected, (path, body[:40])
        number, _, mac = token.partition(".")
        for wrong in (
            "",
            "x",
            f"{int(number) + 1}.{mac}",
            f"{number}.{mac[:-1]}",
            f"{number}.\u00e9",
            "\u00b2.x",
        ):
            assert await status("/cancel", given=wrong) == 401, wrong
        one.container.release.set()
        [job] = await until_final(one.store, job_id)
        [more] = await until_final(one.store, JobId(uuid.UUID(made.json["id"]).bytes))
        assert (job.state, more.name) == (State.COMPLETED, "more")
        assert (more.attributes.tags, more.attributes.parent) == (("x",), job_id)
        assert await status("/progress", '{"fraction": 1}') == 410
        await one.worker.stop()
        [log] = await one.store.read_logs(job_id)
        assert [line[25:] for line in log.text.splitlines()] == ["first line", "second line"]


async def test_a_container_that_sends_too_much_is_slowed_down() -> None:
    callback = Callback(ManualClock(), "127.0.0.2")
    await callback.start()
    async with rig() as one:
        [job_id] = await submit(one.store, new_job("any", path="/hold"))
        await one.container.arrived.wait()
        assert one.worker._engine is not None
        [attempt] = one.worker._engine.attempts.running.values()
        bearer = f"Bearer {callback.begin(attempt)['Job-Callback-Token']}"
        async with aiohttp.ClientSession(headers={"Authorization": bearer}) as client:
            statuses = []
            for _ in range(MAX_PER_SECOND + 1):
                async with client.get(f"{callback.url}/cancel") as answer:
                    statuses.append(answer.status)
        assert statuses == [200] * MAX_PER_SECOND + [429]
        one.container.release.set()
        await until_final(one.store, job_id)
    await callback.stop()


async def test_the_callback_is_reached_by_the_host_that_is_given() -> None:
    for host, url, address in (
        ("127.0.0.2", "http://127.0.0.2:", "127.0.0.2"),
        ("::1", "http://[::1]:", "::1"),
        ("host.docker.internal", "http://host.docker.internal:", "127.0.0.1"),
    ):
        callback = Callback(ManualClock(), host)
        await callback.start()
        assert callback.url.startswith(url)
        port = int(callback.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection(address, port)
        writer.close()
        await callback.stop()
    with pytest.raises(UsageError, match=r"--callback-host: cannot listen on 203.0.113.7"):
        await Callback(ManualClock(), "203.0.113.7").start()
