"""Cancels and execution timeouts, of handlers that end and of handlers that do not."""

import asyncio
import threading
from collections.abc import Callable

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_worker import JobContext
from support.store.work import (
    assert_tidy,
    new_job,
    submit,
    until_final,
    until_running,
)
from support.worker.local import registry, working


async def test_cancel_reaches_async_and_plain_handlers() -> None:
    cleaned = threading.Event()
    entered = threading.Semaphore(0)

    async def waits() -> None:
        entered.release()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    def cooperates(body: None, job: JobContext) -> None:
        entered.release()
        while True:
            job.raise_if_canceled()
            threading.Event().wait(0.005)

    async with working(registry(waits=waits, cooperates=cooperates)) as (store, _):
        job_ids = await submit(store, new_job("waits"), new_job("cooperates"))
        await until_running(store, *job_ids)
        for _ in job_ids:
            await asyncio.to_thread(entered.acquire)
        await store.cancel(job_ids)
        jobs = await until_final(store, *job_ids)
        assert [job.state for job in jobs] == [State.CANCELED] * 2
        assert cleaned.is_set()
        await assert_tidy(store)


async def test_the_execution_timeout_ends_an_attempt_and_spends_it() -> None:
    async def slow() -> None:
        await asyncio.Event().wait()

    async with working(registry(slow=slow), timeouts={"executionSeconds": 0.1}) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("slow", max_attempts=2)))
        assert (job.state, job.attempt) == (State.FAILED, 2)
        assert job.error is not None
        assert job.error.code == "execution-timeout"


async def test_a_stuck_thread_keeps_its_slot_and_its_job_times_out() -> None:
    free = threading.Event()

    def stuck() -> None:
        free.wait()

    async def quick() -> None: ...

    handlers = registry(stuck=stuck, quick=quick)
    async with working(handlers, timeouts={"executionSeconds": 0.1}) as (store, worker):
        (job,) = await until_final(store, *await submit(store, new_job("stuck", max_attempts=1)))
        assert job.error is not None
        assert job.error.code == "execution-timeout"
        assert worker.held == 1
        await until_final(store, *await submit(store, new_job("quick")))
        free.set()


async def test_a_thread_that_ignores_a_cancel_is_given_up() -> None:
    free = threading.Event()

    def stuck() -> None:
        free.wait()

    async with working(registry(stuck=stuck)) as (store, worker):
        job_ids = await submit(store, new_job("stuck"))
        await until_running(store, *job_ids)
        await store.cancel(job_ids)
        (job,) = await until_final(store, *job_ids)
        assert job.state is State.CANCELED
        assert worker.held == 1
        free.set()


async def test_an_execution_timeout_follows_the_time_that_was_passed() -> None:
    clock = ManualClock()
    entered = asyncio.Event()

    async def slow() -> None:
        entered.set()
        await asyncio.Event().wait()

    store = MemoryStore(time=clock)
    async with working(registry(slow=slow), store, time=clock) as (_, worker):
        [job_id] = await submit(store, new_job("slow", max_attempts=1))
        await pass_until(clock, entered.is_set)
        began = clock.monotonic()
        await pass_until(clock, lambda: not worker.held)
        assert 600 <= clock.monotonic() - began < 602
        [found] = await store.get([job_id])
        assert found.job is not None
        assert found.job.error is not None
        assert found.job.error.code == "execution-timeout"


async def pass_until(clock: ManualClock, reached: Callable[[], bool]) -> None:
    """Let time pass, in steps of half a second, until `reached()`."""
    for _ in range(2_000):
        if reached():
            return
        clock.advance(500)
        for _ in range(20):
            await asyncio.sleep(0)
    raise AssertionError("never reached")
