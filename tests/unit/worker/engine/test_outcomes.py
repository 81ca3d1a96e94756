"""What a client sees of the errors of a handler, alone and in exception groups."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asyncendpoints_core.errors import PermanentError, RetryAfter
from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import State
from support.store.work import new_job, submit, until, until_final
from support.worker.local import registry, working


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


async def in_task_group(*errors: Exception) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        for error in errors:
            group.create_task(fail(error))


async def failed(handler: Callable[[], Any]) -> Job:
    async with working(registry(work=handler)) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("work", max_attempts=1)))
    assert job.state is State.FAILED
    return job


def raises(error: BaseException) -> Callable[[], Any]:
    async def handler() -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("handler", "code", "message"),
    [
        (raises(TimeoutError()), "handler-error", "TimeoutError"),
        (raises(AssertionError()), "handler-error", "AssertionError"),
        (raises(ValueError(" \n")), "handler-error", "ValueError"),
        (raises(Unprintable()), "handler-error", "Unprintable"),
        (raises(asyncio.CancelledError()), "handler-error", "CancelledError"),
        (raises(KeyError("k")), "handler-error", "KeyError: 'k'"),
        (raises(SystemExit(3)), "handler-error", "SystemExit: 3"),
        (raises(ValueError(None)), "handler-error", "ValueError: None"),
        (raises(ExceptionGroup("a", [KeyError("k")])), "handler-error", "KeyError: 'k'"),
        (raises(PermanentError("404")), "permanent", "404"),
        (raises(PermanentError()), "permanent", "PermanentError"),
        (raises(ValueError("why")), "handler-error", "why"),
        (lambda: in_task_group(PermanentError("gone", code="x")), "x", "gone"),
        (lambda: in_task_group(ValueError("a"), PermanentError("gone")), "permanent", "gone"),
        (lambda: in_task_group(RetryAfter(1), PermanentError("gone")), "permanent", "gone"),
        (lambda: in_task_group(RetryAfter(1, "busy"), ValueError("a")), "handler-error", "busy"),
        (lambda: in_task_group(ValueError("why")), "handler-error", "why"),
        (
            lambda: in_task_group(ValueError("why"), KeyError("k"), TimeoutError()),
            "handler-error",
            "ValueError: why; KeyError: 'k'; TimeoutError",
        ),
        (
            raises(ExceptionGroup("a", [ExceptionGroup("b", [PermanentError("deep")])])),
            "permanent",
            "deep",
        ),
        (
            raises(ExceptionGroup("many", [OSError(str(n)) for n in range(12)])),
            "handler-error",
            "; ".join(f"OSError: {n}" for n in range(10)) + "; and 2 more",
        ),
    ],
)
async def test_the_error_of_a_job_names_its_cause(
    handler: Callable[[], Any], code: str, message: str
) -> None:
    error = (await failed(handler)).error
    assert error is not None
    assert (error.code, error.message) == (code, message)


async def test_the_longest_delay_in_a_group_counts() -> None:
    async def handler() -> None:
        raise ExceptionGroup("a", [RetryAfter(60), RetryAfter(3_600), ValueError("a")])

    async with working(registry(work=handler)) as (store, _):
        job_ids = await submit(store, new_job("work"))
        (job,) = await until(store, job_ids, lambda job: job.state is State.SCHEDULED)
        assert 3_500_000 < job.not_before_ms - job.started_ms <= 3_601_000


async def test_a_group_of_cancellations_is_a_cancellation() -> None:
    started = asyncio.Event()

    async def handler() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise BaseExceptionGroup("ended", [error, TimeoutError()]) from None

    async with working(registry(work=handler)) as (store, _):
        job_ids = await submit(store, new_job("work"))
        await started.wait()
        await store.cancel(job_ids)
        (job,) = await until_final(store, *job_ids)
        assert job.state is State.CANCELED
