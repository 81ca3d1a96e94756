"""The claim loop: how many jobs run at a time, and which of them alone."""

import asyncio

import pytest

from asyncendpoints_core.jobs.records import complete
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import Cause, ClaimBatch, WorkerInfo
from asyncendpoints_worker import JobContext
from asyncendpoints_worker.engine.claims import UNCALLED_IDLE_MS
from asyncendpoints_worker.handlers.results import NULL
from support.store.work import (
    assert_tidy,
    endpoint,
    eventually,
    new_job,
    submit,
    until_final,
    until_running,
)
from support.worker.local import RecordedSleeps, registry, working


async def test_no_more_jobs_run_than_there_are_slots() -> None:
    running, most = 0, 0

    async def counts() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async with working(registry(counts=counts), concurrency=3) as (store, worker):
        await until_final(store, *await submit(store, *(new_job("counts") for _ in range(50))))
        assert most == 3
        await worker.resize(1)
        most = 0
        await until_final(store, *await submit(store, *(new_job("counts") for _ in range(20))))
        assert most == 1
        await assert_tidy(store)


class CountingStore(MemoryStore):
    """Notes how many jobs each claim was granted."""

    def __init__(self) -> None:
        super().__init__()
        self.granted: list[int] = []

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        batch = await super().claim(worker, request, limit)
        self.granted.append(len(batch.jobs))
        return batch


@pytest.mark.parametrize(("slots", "granted"), [(49, [49]), (50, [25, 25]), (81, [41, 40])])
async def test_with_many_slots_half_of_them_are_claimed_while_the_others_run(
    slots: int, granted: list[int]
) -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    store = CountingStore()
    await store.open()
    await store.configure(endpoint().spec.policy())
    job_ids = await submit(store, *(new_job("waits") for _ in range(slots)))
    async with working(registry(waits=waits), store, concurrency=slots):
        await until_running(store, *job_ids)
        assert store.granted == granted


async def test_a_missing_handler_fails_at_once_where_no_rollout_can_explain_it() -> None:
    async def known() -> None: ...

    async with working(registry(known=known)) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("unknown")))
        assert job.error is not None
        assert (job.state, job.error.code) == (State.FAILED, "handler-missing")


async def test_a_wakeup_does_not_open_the_gate() -> None:
    async def work() -> None:
        return None

    async def closed() -> None:
        await asyncio.Event().wait()

    async with working(registry(work=work)) as (store, worker):
        assert worker._engine is not None
        worker._engine._gate = closed
        await worker.resize(3)
        await asyncio.sleep(0.05)  # until it stands at the gate
        [job_id] = await submit(store, new_job("work"))
        await worker.resize(2)
        await asyncio.sleep(0.1)
        [found] = await store.get([job_id])
        assert found.job is not None
        assert found.job.state is State.QUEUED


async def test_a_worker_without_a_lease_abandons_its_jobs_and_registers_again() -> None:
    runs: list[int] = []
    ended: list[str] = []

    async def work(body: None, job: JobContext) -> str:
        runs.append(job.claim)
        if len(runs) == 1:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("first")
        return "second"

    async with working(registry(work=work)) as (store, worker):
        job_ids = await submit(store, new_job("work"))
        (job,) = await until_running(store, *job_ids)
        old = worker.worker
        await store.release_worker(old, Cause.LOST)
        (job,) = await until_final(store, *job_ids)
        assert (job.state, job.attempt) == (State.COMPLETED, 1)
        assert ended == ["first"]
        assert runs == sorted(set(runs))
        assert len(runs) == 2
        assert worker.worker != old
        await assert_tidy(store)


async def test_suspects_run_alone() -> None:
    running, beside = 0, []

    async def work() -> None:
        nonlocal running
        running += 1
        beside.append(running)
        await asyncio.sleep(0.01)
        running -= 1

    store = MemoryStore()
    await store.open()
    await store.configure(endpoint().spec.policy())
    suspects = await submit(store, *(new_job("work") for _ in range(3)))
    await store.register(WorkerInfo("dead", "pod", "nonce", 8))
    assert len((await store.claim("dead", 1, 8)).jobs) == 3
    assert (await store.release_worker("dead", Cause.CRASH)).suspected == 3
    async with working(registry(work=work), store, concurrency=8) as (_, _worker):
        await until_final(store, *suspects)
        assert beside == [1, 1, 1]
        beside.clear()
        await until_final(store, *await submit(store, *(new_job("work") for _ in range(8))))
        assert max(beside) > 1


async def test_a_worker_makes_room_for_a_suspect_and_continues_if_another_took_it() -> None:
    async def waits() -> None:
        entered.set()
        await go_on.wait()

    async def work() -> None: ...

    entered, go_on, time = asyncio.Event(), asyncio.Event(), RecordedSleeps()
    async with working(registry(waits=waits, work=work), time=time) as (store, _):
        long = await submit(store, new_job("waits"))
        await entered.wait()
        await store.pause()
        suspect = await submit(store, new_job("work"))
        await store.register(WorkerInfo("dead", "pod", "nonce", 8))
        await store.resume()
        assert len((await store.claim("dead", 1, 8)).jobs) == 1
        await store.release_worker("dead", Cause.CRASH)
        # The worker holds a job, so it waits to be empty; one that is empty takes the suspect.
        await eventually(lambda: UNCALLED_IDLE_MS / 1000 in time.seconds)
        await store.register(WorkerInfo("empty", "pod", "nonce", 8))
        batch = await store.claim("empty", 1, 8)
        assert batch.exclusive
        await store.settle([complete(batch.jobs[0].claim, NULL)])
        await until_final(store, *suspect, *await submit(store, new_job("work")))
        go_on.set()
        await until_final(store, *long)


async def test_a_scheduled_job_is_started_when_due() -> None:
    async def work() -> None: ...

    async with working(registry(work=work)) as (store, _):
        job_ids = await submit(store, new_job("work", delay_ms=150))
        (job,) = await until_final(store, *job_ids)
        assert job.started_ms >= job.created_ms + 150
