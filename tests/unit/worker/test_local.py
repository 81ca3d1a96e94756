"""A local worker on the memory store: what its handlers do, and what becomes of their jobs."""

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from asyncendpoints_core.jobs.states import State
from asyncendpoints_worker import JobContext, PermanentError, Result, RetryAfter
from asyncendpoints_worker.handlers.registry import (
    SHUTDOWN,
    STARTUP,
    Declaration,
)
from support.store.work import (
    assert_tidy,
    new_job,
    submit,
    until,
    until_final,
)
from support.worker.local import registry, working


class Order(BaseModel):
    count: int


async def test_every_kind_of_handler_completes() -> None:
    async def model(order: Order, job: JobContext) -> dict[str, Any]:
        return {"twice": order.count * 2, "attempt": job.attempt}

    def plain(body: str) -> bytes:
        return body.encode() + threading.current_thread().name.encode()[:7]

    def returns_awaitable() -> Any:
        async def later() -> str:
            return "later"

        return later()

    async def nothing() -> None:
        return None

    def file() -> Result:
        return Result(b"a,b", content_type="text/csv", filename="x.csv")

    handlers = registry(
        model=model, plain=plain, awaitable=returns_awaitable, nothing=nothing, file=file
    )
    async with working(handlers) as (store, _):
        names = ("model", "plain", "awaitable", "nothing", "file")
        bodies = (b'{"count": 4}', b"t-", b"", b"", b"")
        job_ids = await submit(store, *map(new_job, names, bodies))
        jobs = await until_final(store, *job_ids)
        assert [job.state for job in jobs] == [State.COMPLETED] * 5
        results = [(await store.result(each))[1] for each in job_ids]
        assert [each.body for each in results if each] == [
            b'{"twice":8,"attempt":1}',
            b"t-handler",
            b"later",
            b"null",
            b"a,b",
        ]
        assert results[4] is not None
        assert (results[4].content_type, results[4].filename) == ("text/csv", "x.csv")


async def test_a_failure_is_retried_and_its_message_shown() -> None:
    attempts: list[int] = []

    async def flaky(body: None, job: JobContext) -> str:
        attempts.append(job.attempt)
        if job.attempt < 3:
            raise ValueError("x" * 1_500)
        return "done"

    async with working(registry(flaky=flaky)) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("flaky")))
        assert job.state is State.COMPLETED
        assert attempts == [1, 2, 3]
        first = job.attempts[0]
        assert first.error is not None
        assert (first.error.code, len(first.error.message)) == ("handler-error", 1_000)


async def test_the_budget_ends_in_failed() -> None:
    async def bad() -> None:
        raise RuntimeError("no luck")

    def bad_sync() -> None:
        raise RuntimeError("no luck")

    async with working(registry(bad=bad, bad_sync=bad_sync)) as (store, _):
        jobs = [new_job(name, max_attempts=2) for name in ("bad", "bad_sync")]
        for job in await until_final(store, *await submit(store, *jobs)):
            assert (job.state, job.attempt) == (State.FAILED, 2)
            assert job.error is not None
            assert (job.error.code, job.error.message) == ("handler-error", "no luck")


async def test_permanent_errors_are_not_retried() -> None:
    async def permanent() -> None:
        raise PermanentError("gone for good", code="gone")

    async def model(order: Order) -> None: ...

    async def odd() -> object:
        return object()

    async def large() -> bytes:
        return b"x" * 2_000_000

    async def exits() -> None:
        raise SystemExit(3)

    handlers = registry(permanent=permanent, model=model, odd=odd, large=large, exits=exits)
    async with working(handlers) as (store, _):
        names = ("permanent", "model", "odd", "large")
        job_ids = await submit(store, *(new_job(name, b'{"count": "x"}') for name in names))
        last = await submit(store, new_job("exits", max_attempts=1))
        jobs = await until_final(store, *job_ids, *last)
        assert [job.error.code for job in jobs if job.error] == [
            "gone",
            "invalid-payload",
            "invalid-result",
            "result-too-large",
            "handler-error",
        ]
        assert {job.attempt for job in jobs} == {1}


async def test_retry_after_replaces_the_computed_delay() -> None:
    async def later() -> None:
        raise RetryAfter(3_600)

    async with working(registry(later=later)) as (store, _):
        job_ids = await submit(store, new_job("later"))
        (job,) = await until(store, job_ids, lambda job: job.state is State.SCHEDULED)
        assert 3_590_000 < job.not_before_ms - job.started_ms <= 3_601_000


async def test_a_job_ends_with_any_exception_of_its_handler() -> None:
    async def number() -> None:
        raise PermanentError("teapot", code=418)  # type: ignore[arg-type]

    async def long() -> None:
        raise PermanentError("long", code="a" + "é" * 200)

    async def broken() -> None:
        raise PermanentError("half a pair \ud800", code="no\ud800")

    async def never() -> None:
        raise RetryAfter(float("inf"))

    handlers = registry(number=number, long=long, broken=broken, never=never)
    async with working(handlers) as (store, _):
        names = ("number", "long", "broken", "never")
        job_ids = await submit(store, *(new_job(name, max_attempts=1) for name in names))
        jobs = await until_final(store, *job_ids)
        assert [job.error.code for job in jobs if job.error] == [
            "permanent",
            "a" + "é" * 127,
            "no?",
            "handler-error",
        ]


@pytest.mark.parametrize("seconds", [1e300, 10**400], ids=["float", "beyond floats"])
async def test_a_delay_too_long_for_any_store_is_the_longest_one(seconds: float) -> None:
    async def later() -> None:
        raise RetryAfter(seconds)

    async with working(registry(later=later)) as (store, _):
        job_ids = await submit(store, new_job("later"))
        (job,) = await until(store, job_ids, lambda job: job.state is State.SCHEDULED)
        assert round((job.not_before_ms - job.started_ms) / 1e6) == round(
            RetryAfter.MAX_SECONDS / 1e3
        )


async def test_progress_in_broken_text_is_shown_all_the_same() -> None:
    shown = asyncio.Event()

    async def shows(body: None, job: JobContext) -> None:
        job.progress(0.5, "half a pair \ud800")
        await shown.wait()

    async with working(registry(shows=shows)) as (store, _):
        job_ids = await submit(store, new_job("shows"))
        (job,) = await until(store, job_ids, lambda job: job.progress is not None)
        assert job.progress is not None
        assert job.progress.message == "half a pair ?"
        shown.set()


async def test_progress_is_shown_while_the_job_runs() -> None:
    go_on = asyncio.Event()

    async def reports(body: None, job: JobContext) -> None:
        for step in range(1_000):
            job.progress(step / 1_000)
        await job.progress(0.4, "rendering")
        await go_on.wait()

    async with working(registry(reports=reports)) as (store, _):
        job_ids = await submit(store, new_job("reports"))
        (job,) = await until(store, job_ids, lambda job: job.progress is not None)
        assert job.progress is not None
        assert (job.progress.fraction, job.progress.message) == (0.4, "rendering")
        go_on.set()
        (job,) = await until_final(store, *job_ids)
        assert job.state is State.COMPLETED


async def test_the_last_progress_arrives_before_the_outcome() -> None:
    async def reports(body: None, job: JobContext) -> None:
        job.progress(0.9, "almost")

    async with working(registry(reports=reports)) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("reports")))
        assert job.progress is not None
        assert job.progress.message == "almost"


async def test_start_up_and_shut_down_functions_run_once_around_the_jobs() -> None:
    calls: list[str] = []

    async def up() -> None:
        calls.append("up")

    def down() -> None:
        calls.append("down")

    async def work() -> None:
        calls.append("work")

    handlers = registry(work=work)
    handlers.add(Declaration(STARTUP, "", up, "m:1"))
    handlers.add(Declaration(SHUTDOWN, "", down, "m:1"))
    async with working(handlers) as (store, _):
        await until_final(store, *await submit(store, new_job("work")))
    assert calls == ["up", "work", "down"]


async def test_stop_lets_running_jobs_finish() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        entered.set()
        await go_on.wait()
        return "finished"

    async with working(registry(work=work), concurrency=1) as (store, worker):
        first, second = await submit(store, new_job("work"), new_job("work"))
        await entered.wait()
        stopping = asyncio.create_task(worker.stop(30))
        await asyncio.sleep(0)
        go_on.set()
        assert await stopping == 0
        done, waiting = await store.get([first, second])
        assert done.job is not None
        assert waiting.job is not None
        assert (done.job.state, waiting.job.state) == (State.COMPLETED, State.QUEUED)
        assert waiting.job.attempt == 0
        assert await store.workers() == []


async def test_what_does_not_finish_in_time_goes_back_uncharged() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        entered.set()
        await asyncio.Event().wait()

    async with working(registry(work=work)) as (store, worker):
        job_ids = await submit(store, new_job("work"))
        await entered.wait()
        await worker.stop(0)
        (found,) = await store.get(job_ids)
        assert found.job is not None
        assert (found.job.state, found.job.attempt) == (State.QUEUED, 0)
        await assert_tidy(store)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
async def test_a_handler_that_raises_what_ends_programs_fails_only_its_job(
    error: type[BaseException],
) -> None:
    async def raises() -> None:
        raise error

    async def fine() -> None: ...

    async with working(registry(raises=raises, fine=fine)) as (store, _):
        jobs = await until_final(
            store, *await submit(store, new_job("raises", max_attempts=1), new_job("fine"))
        )
        assert [job.state for job in jobs] == [State.FAILED, State.COMPLETED]
