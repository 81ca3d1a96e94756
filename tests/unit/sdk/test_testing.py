"""The test kit: `run_job`, `running` with and without a clock, the pytest plugin."""

import asyncio
import importlib.util
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, Field

import asyncendpoints
from asyncendpoints import (
    Endpoint,
    JobContext,
    PermanentError,
    Result,
    RetryAfter,
    UsageError,
    load,
)
from asyncendpoints.testing import App, Clock, ClockStopped, run_job, running
from asyncendpoints_client import JobFailed, MethodNotAllowed

ep = Endpoint(
    "kit",
    worker={"concurrency": 4},
    timeouts={"execution_seconds": 30},
    retry={"max_retries": 2, "initial_seconds": 10, "multiplier": 2, "jitter": "none"},
)


class Sum(BaseModel):
    total: int = Field(serialization_alias="theTotal")


@ep.post("/sums/{customer}")
async def add_up(body: list[int], job: JobContext) -> Sum:
    logging.getLogger("sums").info("adding up for %s", job.route_params["customer"])
    job.progress(0.5, "half")
    return Sum(total=sum(body))


@ep.post("/flaky")
def flaky(body: int | None, job: JobContext) -> int:
    if job.attempt < 3:
        raise ConnectionError(f"attempt {job.attempt}")
    return job.attempt


@ep.post("/endless")
async def endless() -> None:
    await asyncio.sleep(3_600)


@ep.post("/later")
def later(body: str, job: JobContext) -> str:
    match body:
        case "later":
            raise RetryAfter(7, "busy")
        case "never":
            raise PermanentError("no", code="refused")
    for step in range(10):
        job.raise_if_canceled()
        job.progress(step / 10)
    return body.upper()


@ep.post("/orders")
def order(body: list[int], job: JobContext) -> None:
    for item in body:
        job.enqueue("later", f"item {item}", delay=1.5, priority="low", key="k", tags=["t"])
    job.enqueue("flaky", {"a": 1})
    if not body:
        raise ConnectionError("no")


class Account(msgspec.Struct):
    number: int


@ep.post("/accounts", methods=["PUT", "PATCH"])
def account(body: Account, job: JobContext) -> str:
    return f"{job.method} {body.number}"


# One attempt.


async def test_a_completed_attempt() -> None:
    run = await run_job(add_up, [1, 2], params={"customer": "Ann"})
    assert (run.outcome, run.result, run.content_type) == (
        "completed",
        {"theTotal": 3},
        "application/json",
    )
    assert run.progress == ((0.5, "half"),)
    assert run.logs == ("adding up for Ann",)
    assert (await run_job(later, "text")).result == "TEXT"


async def test_what_an_attempt_would_enqueue() -> None:
    run = await run_job(order, [7])
    first, second = run.enqueued
    assert (first.name, first.body, first.delay, first.priority, first.key, first.tags) == (
        *("later", "item 7", 1.5, "low", "k"),
        ("t",),
    )
    assert (second.name, second.body, second.content_type) == (
        "flaky",
        {"a": 1},
        "application/json",
    )
    assert (second.delay, second.priority, second.key, second.tags) == (0, "normal", "", ())
    assert first.id != second.id
    failed = await run_job(order, [])
    assert (failed.outcome, failed.enqueued) == ("retry", ())


@pytest.mark.parametrize(
    ("function", "body", "options", "outcome", "code", "delay"),
    [
        (flaky, 1, {}, "retry", "handler-error", 2.0),
        (flaky, 1, {"attempt": 2, "max_attempts": 2}, "failed", "handler-error", 0.0),
        (later, "later", {}, "retry", "handler-error", 7.0),
        (later, "never", {}, "failed", "refused", 0.0),
        (add_up, ["x"], {}, "failed", "invalid-payload", 0.0),
        (add_up, None, {}, "failed", "invalid-payload", 0.0),
    ],
)
async def test_attempts_that_fail(
    function: Any, body: Any, options: Any, outcome: str, code: str, delay: float
) -> None:
    run = await run_job(function, body, params={"customer": "Ann"}, **options)
    assert run.error is not None
    assert (run.outcome, run.error.code, run.delay) == (outcome, code, delay)
    assert run.result is None


async def test_a_job_can_be_canceled_at_some_progress() -> None:
    run = await run_job(later, "text", cancel_at=0.3)
    assert run.outcome == "canceled"
    assert run.progress[-1][0] == 0.3

    async def waits(body: None, job: JobContext) -> None:
        job.progress(0.1)
        await asyncio.sleep(3_600)

    assert (await run_job(waits, cancel_at=0)).outcome == "canceled"


async def test_plain_functions_and_the_request_that_they_see() -> None:
    def seen(body: bytes, job: JobContext) -> Result:
        text = f"{job.method} {job.path} {job.query_params} {job.headers['X-A']} {body!r}"
        return Result(text, content_type="text/csv", filename="a.csv")

    level = logging.getLogger().level
    run = await run_job(
        seen, b"raw", method="PUT", path="/a", query={"q": [1, 2]}, headers={"x-a": "1"}
    )
    assert run.result == "PUT /a {'q': ['1', '2']} 1 b'raw'"
    assert (run.content_type, run.filename) == ("text/csv", "a.csv")
    with pytest.raises(UsageError, match="use \\(body, job\\)"):
        await run_job(lambda a, b, c: None)
    assert logging.getLogger().level == level


async def test_a_fault_of_a_msgspec_type_carries_no_value() -> None:
    run = await run_job(account, {"number": "a secret"})
    assert (run.outcome, run.error and run.error.code) == ("failed", "invalid-payload")
    assert "number" in str(run.error)
    assert "secret" not in str(run.error)


# A whole endpoint.


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def app(clock: Clock) -> AsyncIterator[App]:
    async with running(ep, clock=clock) as made:
        yield made


async def test_one_function_for_several_methods() -> None:
    async with running(ep) as app:
        for method in ("PUT", "PATCH"):
            job = await app.submit("/accounts", {"number": 7}, method=method)
            assert await job.result() == f"{method} 7"
        with pytest.raises(MethodNotAllowed):
            await app.submit("/accounts", {"number": 7})


async def test_files_are_endpoints_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a folder that Python has looked in before it existed."""
    folder = tmp_path / "files"
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    assert importlib.util.find_spec("handlers_of_a_file") is None
    folder.mkdir()
    (folder / "handlers_of_a_file.py").write_text(
        "from asyncendpoints import handler\nhandler('echo')(lambda body: body)\n"
    )
    file = folder / "endpoint.yaml"
    file.write_text(
        "apiVersion: asyncendpoints.io/v1alpha1\nkind: AsyncEndpoint\nmetadata: {name: file}\n"
        "spec: {routes: [{path: /echo, job: echo}], worker: {handlers: handlers_of_a_file}}\n"
    )
    for source in (file, str(file), load(file)):
        async with running(source) as app:
            assert await (await app.submit("/echo", {"n": 1})).result() == {"n": 1}


async def test_without_a_clock_time_is_real() -> None:
    async with running(ep) as app:
        job = await app.submit("/sums/Ann", [1, 2, 3])
        assert await job.result() == {"theTotal": 6}
        assert [event.state async for event in job.events()] == ["Completed"]
        with pytest.raises(JobFailed, match="no"):
            await (await app.submit("/later", "never")).result()
        found = await app.jobs()
        assert sorted(each.state for each in found) == ["Completed", "Failed"]
        assert [each.name for each in await app.jobs("Failed")] == ["later"]
        assert (await app.job(job.id).status()).final


async def test_retries_happen_when_the_clock_says_so(app: App, clock: Clock) -> None:
    job = await app.submit("/flaky")
    await clock.advance(0)
    assert (await job.status()).state == "Scheduled"
    await clock.advance(9)
    assert (await job.status()).attempt == 1
    await clock.advance(2)
    assert (await job.status()).attempt == 2
    await clock.advance(600)
    status = await job.status()
    assert (status.state, status.attempt) == ("Completed", 3)
    assert await job.result() == 3


async def due_times(seed: int) -> list[datetime]:
    """Return when each retry of two jobs, one after the other, is due."""
    jittery = Endpoint("jittery", retry={"max_retries": 3, "initial_seconds": 10, "jitter": "full"})

    @jittery.post("/away")
    async def away() -> None:
        raise ConnectionError("away")

    found: list[datetime] = []
    clock = Clock(seed=seed)
    async with running(jittery, clock=clock) as app:
        for _ in range(2):
            job = await app.submit("/away")
            await clock.advance(0)
            while not (status := await job.status()).final:
                assert status.not_before is not None
                found.append(status.not_before)
                await clock.advance(status.not_before.timestamp() - clock.now_ms() / 1000 + 1)
    return found


async def test_retries_with_jitter_are_due_at_the_same_times_in_each_run() -> None:
    first = await due_times(1)
    assert len(first) == 6
    assert await due_times(1) == first
    other = await due_times(2)
    assert not set(other) & set(first)


async def test_delays_and_long_jumps_are_exact(app: App, clock: Clock) -> None:
    job = await app.submit("/sums/Ann", [1], delay=1_800)
    await clock.advance(1_799)
    assert (await job.status()).state == "Scheduled"
    await clock.advance(2)
    status = await job.status()
    assert status.state == "Completed"
    assert status.completed_at is not None
    assert status.created_at is not None
    assert 1_800 <= (status.completed_at - status.created_at).total_seconds() < 1_802


async def test_what_a_handler_enqueues_runs_too(app: App, clock: Clock) -> None:
    parent = await app.submit("/orders", [7])
    await parent.result()
    await clock.advance(2)
    jobs = {job.name: job for job in await app.jobs()}
    assert (jobs["later"].state, jobs["order"].state) == ("Completed", "Completed")
    assert jobs["later"].parent == jobs["flaky"].parent == parent.id


async def test_a_timeout_is_reached_by_the_clock(app: App, clock: Clock) -> None:
    job = await app.submit("/endless")
    await clock.advance(29, patience=0.05)
    assert (await job.status()).state == "InProgress"
    await clock.advance(2, patience=0.05)
    status = await job.status()
    assert status.error is not None
    assert (status.state, status.error.code) == ("Scheduled", "execution-timeout")


async def test_a_wait_that_only_the_clock_could_end_names_the_due_time(
    app: App, clock: Clock
) -> None:
    job = await app.submit("/sums/Ann", [1], delay=50)
    with pytest.raises(ClockStopped, match=r"in 50 s: await clock\.advance\(50\)"):
        await job.wait()
    waiting = asyncio.create_task(job.wait())
    await clock.advance(51)
    assert (await waiting).state == "Completed"
    with pytest.raises(ValueError, match="forward only"):
        await clock.advance(-1)


async def test_a_refusal_is_what_clients_get(app: App) -> None:
    from asyncendpoints_client import InvalidBody, NotFound

    with pytest.raises(InvalidBody):
        await app.submit("/sums/Ann", ["x"])
    with pytest.raises(NotFound):
        await app.submit("/nothing")


# The plugin.


async def test_the_fixtures(asyncendpoint: Any, asyncendpoint_clock: Clock) -> None:
    async with asyncendpoint(ep, clock=asyncendpoint_clock) as app:
        job = await app.submit("/sums/Ann", [4], delay=5)
        await asyncendpoint_clock.advance(6)
        assert await job.result() == {"theTotal": 4}


def test_the_plugin_imports_pytest_alone() -> None:
    program = (
        "import pytest, sys\nbefore = set(sys.modules)\nimport asyncendpoints._pytest\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "asyncio" not in loaded
    assert loaded - set(sys.stdlib_module_names) == {"asyncendpoints", "asyncendpoints_core"}


def test_what_runs_a_test_is_not_part_of_the_face() -> None:
    def public(value: type) -> set[str]:
        return {name for name in vars(value) if not name.startswith("_")}

    assert public(App) == {"submit", "job", "jobs"}
    time_source = {"now_ms", "monotonic", "sleep", "timeout", "call_at"}
    assert public(Clock) == {"advance", "random"} | time_source


def test_testing_is_part_of_the_face() -> None:
    assert asyncendpoints.testing.running is running
