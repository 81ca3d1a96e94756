"""Handlers that share a task: what each of them sees of its task, its context and its end."""

import asyncio
import sys
from contextvars import ContextVar
from typing import Any

import pytest

from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_worker import JobContext
from support.store.work import assert_tidy, new_job, submit, until_final
from support.worker.local import registry, working

JOBS = 8
seen: ContextVar[list[str]] = ContextVar("seen")


async def run_together(**functions: Any) -> list[Job]:
    """Run eight jobs, of the functions in turn, that are claimed together; return them."""
    store = MemoryStore()
    names = [list(functions)[number % len(functions)] for number in range(JOBS)]
    async with working(registry(**functions), store, JOBS) as (_, _worker):
        await store.pause()
        ids = await submit(store, *(new_job(name) for name in names))
        await store.resume()
        jobs = await until_final(store, *ids)
        await assert_tidy(store)
        return jobs


async def test_each_has_a_context_of_its_own() -> None:
    found: list[tuple[str, list[str]]] = []

    async def work(body: bytes | None, job: JobContext) -> None:
        found.append((job.id, seen.get([])))
        seen.set([job.id])

    async def wait(body: bytes | None, job: JobContext) -> None:
        await work(body, job)
        await asyncio.sleep(0.001)
        found.append((job.id, seen.get([])))

    assert {job.state for job in await run_together(work=work, wait=wait)} == {State.COMPLETED}
    begun = [of for of, ids in found if not ids]
    assert len(set(begun)) == JOBS
    assert all(ids == [of] for of, ids in found if ids)


async def test_those_that_never_wait_share_a_task() -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def work() -> None:
        tasks.append(asyncio.current_task())

    assert {job.state for job in await run_together(work=work)} == {State.COMPLETED}
    assert None not in tasks
    assert len(set(tasks)) < len(tasks)


async def test_one_that_waits_keeps_its_task_and_holds_up_nobody() -> None:
    tasks: list[tuple[asyncio.Task[Any] | None, asyncio.Task[Any] | None]] = []
    waiting, all_wait = 0, asyncio.Event()

    async def work() -> None:
        nonlocal waiting
        before = asyncio.current_task()
        waiting += 1
        if waiting == JOBS:
            all_wait.set()
        await all_wait.wait()
        async with asyncio.timeout(10):
            await asyncio.sleep(0.001)
        tasks.append((before, asyncio.current_task()))

    assert {job.state for job in await run_together(work=work)} == {State.COMPLETED}
    assert all(before is after for before, after in tasks)
    assert len(set(tasks)) == JOBS


async def test_a_timeout_ends_the_handler_that_set_it() -> None:
    async def work() -> str:
        return "done"

    async def wait() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "woken"

    assert {job.state for job in await run_together(work=work, wait=wait)} == {State.COMPLETED}


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), asyncio.CancelledError()])
async def test_an_error_ends_one_alone(error: BaseException) -> None:
    async def work() -> None: ...

    async def fail() -> None:
        raise error

    jobs = await run_together(work=work, fail=fail)
    assert {(job.name, job.state) for job in jobs} == {
        ("work", State.COMPLETED),
        ("fail", State.FAILED),
    }


@pytest.mark.parametrize("uncancel", [False, True])
async def test_one_that_cancels_its_own_task_ends_no_other(uncancel: bool) -> None:
    async def work() -> None: ...

    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if uncancel:
            task.uncancel()

    async def wait() -> None:
        await asyncio.sleep(0)

    jobs = await run_together(cancel=cancel, work=work, wait=wait)
    assert {job.state for job in jobs} == {State.COMPLETED}


async def test_what_a_task_has_left_starts_that_was_canceled_before_it_began() -> None:
    """As an application does that cancels all tasks of its event loop once."""
    canceled: list[asyncio.Task[Any]] = []

    def make(loop: asyncio.AbstractEventLoop, steps: Any, **given: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(steps, loop=loop, **given)
        if not canceled and getattr(steps, "__name__", "") == "_run_waiting":
            canceled.append(task)
            task.cancel()
        return task

    async def work() -> None: ...

    asyncio.get_running_loop().set_task_factory(make)
    assert {job.state for job in await run_together(work=work)} == {State.COMPLETED}
    assert canceled


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_an_eager_task_factory_starts_all() -> None:
    async def work() -> None: ...

    async def wait() -> None:
        await asyncio.sleep(0)

    eager: Any = getattr(asyncio, "eager_task_factory")  # noqa: B009
    asyncio.get_running_loop().set_task_factory(eager)
    for _ in range(2):
        jobs = await run_together(work=work, wait=wait)
        assert {job.state for job in jobs} == {State.COMPLETED}


async def test_an_execution_timeout_stops_one_that_shared_its_task_before() -> None:
    async def work() -> None: ...

    async def wait() -> None:
        await asyncio.Event().wait()

    store = MemoryStore()
    timeouts = {"executionSeconds": 1}
    async with working(
        registry(work=work, wait=wait), store, timeouts=timeouts, retry={"maxRetries": 0}
    ) as (_, _worker):
        await store.pause()
        ids = await submit(store, new_job("work"), new_job("wait"), new_job("work"))
        await store.resume()
        jobs = await until_final(store, *ids)
        assert [job.state for job in jobs] == [State.COMPLETED, State.FAILED, State.COMPLETED]
        assert jobs[1].error is not None
        assert jobs[1].error.code == "execution-timeout"


async def test_an_error_after_a_timeout_was_handled_has_no_context() -> None:
    errors: list[ValueError] = []

    async def wait() -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        errors.append(ValueError())
        raise errors[-1]

    assert {job.state for job in await run_together(wait=wait)} == {State.FAILED}
    assert [error.__context__ for error in errors] == [None] * len(errors)
