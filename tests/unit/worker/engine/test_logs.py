"""Logs of attempts on their way to the store: when, how much, and that nothing waits for it."""

import asyncio
import logging
import threading
from collections.abc import Sequence

import pytest

from asyncendpoints_core.errors import PermanentError, StoreUnavailable
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.job_logs import LogWrite
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_worker import JobContext
from support.store.work import new_job, submit, until_final
from support.worker.local import registry, working

log = logging.getLogger("jobs")
ALL = {"handlers": "jobs", "logs": {"keep": "All", "level": "DEBUG"}}
FAILED = {"handlers": "jobs", "logs": {}}


@pytest.fixture(autouse=True)
def _levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


class CountingStore(MemoryStore):
    """Counts the calls for logs, and refuses them on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.refuse = 0
        self.written = asyncio.Event()

    async def write_logs(
        self, writes: Sequence[LogWrite], *, limit: int, budget: int
    ) -> list[bool]:
        self.calls += 1
        if self.refuse:
            self.refuse -= 1
            raise StoreUnavailable("memory is full")
        answer = await super().write_logs(writes, limit=limit, budget=budget)
        self.written.set()
        return answer


def lines(text: str) -> list[str]:
    return [line.partition(": ")[2] for line in text.splitlines()]


async def test_each_attempt_has_what_its_task_or_thread_logged() -> None:
    async def tasks(body: None, job: JobContext) -> None:
        log.debug("task %d", job.attempt)
        await asyncio.to_thread(log.info, "its thread")
        if job.attempt == 1:
            raise RuntimeError("once more")

    def threads(body: None, job: JobContext) -> None:
        log.info("thread %d", job.attempt)

    async with working(registry(tasks=tasks, threads=threads), worker=ALL) as (store, worker):
        ids = await submit(store, new_job("tasks"), new_job("threads"))
        await until_final(store, *ids)
        await worker.stop()
        first, second = await store.read_logs(ids[0])
        [only] = await store.read_logs(ids[1])
    assert lines(first.text)[:2] == ["task 1", "its thread"]
    assert lines(first.text)[2] == "handler failed"
    assert first.text.endswith("RuntimeError: once more\n")
    assert (first.attempt, second.attempt) == (1, 2)
    assert lines(second.text) == ["task 2", "its thread"]
    assert lines(only.text) == ["thread 1"]
    assert not [each for each in logging.getLogger().handlers if "JobLog" in type(each).__name__]


async def test_lines_are_stored_while_the_handler_runs() -> None:
    go_on = threading.Event()

    def work() -> None:
        log.info("begun")
        go_on.wait(30)

    store = CountingStore()
    async with working(registry(work=work), store, worker=FAILED):
        [job_id] = await submit(store, new_job("work"))
        await asyncio.wait_for(store.written.wait(), 30)
        [found] = await store.read_logs(job_id)
        assert lines(found.text) == ["begun"]
        go_on.set()
        await until_final(store, job_id)
        while await store.read_logs(job_id):  # completed: what was stored is removed
            store.written.clear()
            await asyncio.wait_for(store.written.wait(), 30)


async def test_where_failures_are_kept_a_job_that_completes_costs_no_call() -> None:
    async def work(body: object, job: JobContext) -> None:
        log.info("at work")
        if job.query_params:
            raise PermanentError("no")

    store = CountingStore()
    async with working(registry(work=work), store, worker=FAILED) as (_, worker):
        await until_final(store, *await submit(store, *(new_job("work") for _ in range(20))))
        assert store.calls == 0
        [failing] = await submit(store, new_job("work", query="fail=1"))
        await until_final(store, failing)
        await worker.stop()
        [found] = await store.read_logs(failing)
    assert lines(found.text) == ["at work"]


async def test_a_store_that_refuses_logs_ends_no_job_and_gets_them_later() -> None:
    async def work() -> None:
        log.info("at work")
        raise PermanentError("no")

    store = CountingStore()
    store.refuse = 2
    async with working(registry(work=work), store, worker=FAILED):
        [job_id] = await submit(store, new_job("work"))
        [job] = await until_final(store, job_id)
        assert (job.state, store.refuse) == (State.FAILED, 1)
        await asyncio.wait_for(store.written.wait(), 30)
        [found] = await store.read_logs(job_id)
    assert lines(found.text) == ["at work"]


async def test_without_logs_nothing_is_captured() -> None:
    async def work() -> None:
        log.info("at work")

    store = CountingStore()
    async with working(registry(work=work), store):
        [job_id] = await submit(store, new_job("work"))
        await until_final(store, job_id)
        assert (await store.read_logs(job_id), store.calls) == ((), 0)
