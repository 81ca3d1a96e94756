"""Claims whose replies are lost, late or interrupted: no job is stranded, none runs twice."""

import asyncio
from collections.abc import Sequence

import pytest

from asyncendpoints_core.errors import StoreError, StoreUnavailable, UsageError
from asyncendpoints_core.jobs.records import Outcome
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import ClaimBatch, Settled
from asyncendpoints_worker import JobContext
from asyncendpoints_worker.engine.claims import Claims
from support.store.work import (
    assert_tidy,
    eventually,
    new_job,
    submit,
    until,
    until_final,
    until_running,
)
from support.worker.local import FaultyStore, RecordedSleeps, registry, working


async def test_a_lost_claim_reply_strands_no_job() -> None:
    runs: list[str] = []

    async def work(body: None, job: JobContext) -> None:
        runs.append(job.id)

    store = FaultyStore()
    store.lose_claims = 3
    async with working(registry(work=work), store) as (_, _worker):
        jobs = await until_final(store, *await submit(store, *(new_job("work") for _ in range(4))))
        assert {job.attempt for job in jobs} == {1}
        assert len(runs) == len(set(runs)) == 4


class OddStore(MemoryStore):
    """A store that only the claim behind a wait cannot reach, or that is slow to take outcomes."""

    def __init__(self, fault: Exception | None = None, settle_seconds: float = 0.0) -> None:
        super().__init__()
        self.fault, self.settle_seconds = fault, settle_seconds
        self.waits = self.cut = 0
        self.resting = asyncio.Event()

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        self.waits += 1
        self.resting.set()
        if self.fault is not None:
            raise self.fault
        try:
            return await super().claim_next(worker, request, limit, timeout_ms)
        except asyncio.CancelledError:
            self.cut += 1
            raise

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        if self.fault is not None:
            raise self.fault
        return await super().wait_for_work(worker, timeout_ms)

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        await asyncio.sleep(self.settle_seconds)
        return await super().settle(outcomes)


@pytest.mark.parametrize(
    "fault", [StoreUnavailable("gone"), StoreError("upstream failure"), UsageError("no file")]
)
async def test_no_error_of_the_wait_ends_a_worker_or_makes_it_spin(fault: Exception) -> None:
    async def work() -> None:
        return None

    store = OddStore(fault)
    async with working(registry(work=work), store):
        await asyncio.wait_for(store.resting.wait(), 20)
        [job] = await until_final(store, *await submit(store, new_job("work")))
        assert job.state is State.COMPLETED
        await asyncio.sleep(0.3)
        assert store.waits <= 4  # once for each rest of some 0.75 to 1 s


async def test_a_wait_that_fails_once_is_soon_tried_again() -> None:
    time = RecordedSleeps()
    claims = Claims(OddStore(StoreUnavailable("gone")), time, lambda _: None)
    claims.begin("worker")
    for _ in range(9):
        assert await claims.claim_when_woken(1, 900) is None
    assert time.seconds[0] <= 0.1
    assert 0.3 < max(time.seconds) <= 1


async def test_so_is_one_without_a_claim() -> None:
    time, store = RecordedSleeps(), OddStore(StoreUnavailable("gone"))
    claims = Claims(store, time, lambda _: None)
    claims.begin("worker")
    for _ in range(9):
        await claims.wait(900)
    assert time.seconds[0] <= 0.1
    assert 0.3 < max(time.seconds) <= 1
    store.fault = None
    await claims.wait(1)
    store.fault = StoreUnavailable("gone")
    await claims.wait(900)
    assert time.seconds[-1] <= 0.1


class TimedStore(MemoryStore):
    """Notes how long each claim waits at most, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: asyncio.Queue[int] = asyncio.Queue()

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        self.waits.put_nowait(timeout_ms)
        return await super().claim_next(worker, request, limit, timeout_ms)


async def test_a_worker_that_no_wake_up_reaches_looks_by_itself_ever_less_often() -> None:
    async def work() -> None:
        return None

    store = TimedStore()
    async with asyncio.timeout(20), working(registry(work=work), store) as (_, worker):
        assert await store.waits.get() > 500
        await store.cordon([worker.worker], 30, "test")
        assert await store.waits.get() <= 100
        while await store.waits.get() < 500:
            pass


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_delivered_outcome_interrupts_no_waiting_claim(concurrency: int) -> None:
    async def work() -> None:
        return None

    store = OddStore(settle_seconds=0.003)
    async with working(registry(work=work), store, concurrency=concurrency):
        for _ in range(10):
            await until_final(store, *await submit(store, new_job("work")))
            await asyncio.sleep(0.01)  # until it rests
        assert store.cut == 0


class WatchedStore(MemoryStore):
    """A store that notes of each wait whether its worker could be woken before it."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: list[bool] = []

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        self.idle.append(worker in self._doorbell._idle)
        return await super().claim_next(worker, request, limit, timeout_ms)


async def test_a_worker_can_be_woken_before_each_of_its_waits() -> None:
    go_on = {"first": asyncio.Event(), "second": asyncio.Event()}

    async def first() -> None:
        await go_on["first"].wait()

    async def second() -> None:
        await go_on["second"].wait()

    store = WatchedStore()
    handlers = registry(first=first, second=second)
    async with working(handlers, store, concurrency=2):
        ids = await submit(store, new_job("first"))
        await until_running(store, *ids)
        await eventually(lambda: len(store.idle) > 1)  # it waits with room for one more
        go_on["first"].set()
        await until_final(store, *ids)
        ids = await submit(store, new_job("second"))  # takes that room; there is more by now
        waits = len(store.idle)
        await eventually(lambda: len(store.idle) > waits)
        go_on["second"].set()
        await until_final(store, *ids)
        assert all(store.idle)


class MuteStore(MemoryStore):
    """A store whose next claim behind a wait is made, and its answer never comes."""

    def __init__(self) -> None:
        super().__init__()
        self.mute = True
        self.resting, self.claimed = asyncio.Event(), asyncio.Event()

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        self.resting.set()
        batch = await super().claim_next(worker, request, limit, timeout_ms)
        if self.mute and batch.jobs:
            self.claimed.set()
            await asyncio.Event().wait()
        return batch


async def test_an_interrupted_claim_behind_a_wait_is_repeated() -> None:
    async def work() -> None:
        return None

    async with working(registry(work=work), MuteStore()) as (store, worker):
        assert isinstance(store, MuteStore)
        await asyncio.wait_for(store.resting.wait(), 20)
        [job_id] = await submit(store, new_job("work"))
        await asyncio.wait_for(store.claimed.wait(), 20)
        store.mute = False
        await worker.resize(3)  # any news ends the wait
        [job] = await until_final(store, job_id)
        assert (job.state, job.attempt) == (State.COMPLETED, 1)
        assert job.revision == 3  # claimed once, and not released in between


async def test_a_stopping_worker_releases_at_once_what_a_waiting_claim_was_given() -> None:
    goes_on = asyncio.Event()

    async def long() -> None:
        await goes_on.wait()

    async def work() -> None:
        return None

    store = MuteStore()
    store.mute = False
    async with working(registry(long=long, work=work), store) as (_, worker):
        await until_running(store, *await submit(store, new_job("long")))
        store.mute = True
        store.resting.clear()
        await asyncio.wait_for(store.resting.wait(), 20)
        [job_id] = await submit(store, new_job("work"))
        await asyncio.wait_for(store.claimed.wait(), 20)
        stopping = asyncio.create_task(worker.stop(30))
        [job] = await until(store, [job_id], lambda job: job.state is State.QUEUED)
        assert (job.attempt, job.releases) == (0, 0)  # no code of the user's saw it
        assert not stopping.done()  # the other job still runs
        goes_on.set()
        assert await asyncio.wait_for(stopping, 20) == 0
        await assert_tidy(store)


async def test_what_was_claimed_while_stopping_goes_back_with_its_attempt() -> None:
    async def work() -> None:
        raise AssertionError("never started")

    store = FaultyStore()
    store.hold_claim = asyncio.Event()
    async with working(registry(work=work), store) as (_, worker):
        job_ids = await submit(store, *(new_job("work") for _ in range(3)))
        await store.claim_done.wait()
        stopping = asyncio.create_task(worker.stop(30))
        await asyncio.sleep(0)
        store.hold_claim.set()
        await stopping
        for found in await store.get(job_ids):
            assert found.job is not None
            assert (found.job.state, found.job.attempt) == (State.QUEUED, 0)
            assert found.job.attempts == ()
        await assert_tidy(store)


async def test_jobs_that_never_arrived_are_given_back() -> None:
    async def work() -> None: ...

    store = FaultyStore()
    store.swallow_claims = 1
    async with working(registry(work=work), store) as (_, _worker):
        (job,) = await until_final(store, *await submit(store, new_job("work")))
        assert (job.state, job.attempt) == (State.COMPLETED, 1)
        await assert_tidy(store)
