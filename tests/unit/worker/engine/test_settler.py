"""Outcomes on their way to the store: which slots they occupy, and what failures cost."""

import asyncio
from collections.abc import Sequence

import pytest

from asyncendpoints_core.jobs.records import Outcome, OutcomeKind
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import Settled
from support.store.work import (
    assert_tidy,
    new_job,
    submit,
    until_final,
)
from support.worker.local import FaultyStore, registry, working


class HeldStore(MemoryStore):
    """A store that keeps outcomes waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        await self.gate.wait()
        return await super().settle(outcomes)


@pytest.mark.parametrize("concurrency", [1, 60])  # of 60, outcomes leave in two groups
async def test_jobs_start_while_the_outcomes_before_them_are_in_flight(concurrency: int) -> None:
    runs: asyncio.Queue[None] = asyncio.Queue()

    async def work() -> None:
        runs.put_nowait(None)

    store = HeldStore()
    async with working(registry(work=work), store, concurrency=concurrency):
        await submit(store, *(new_job("work") for _ in range(5 * concurrency)))
        for _ in range(2 * concurrency):  # as many outcomes on their way as may run, and no more
            await asyncio.wait_for(runs.get(), 20)
        await asyncio.sleep(0.1)
        assert runs.empty()
        assert (await store.stats()).held == 2 * concurrency
        store.gate.set()
        for _ in range(3 * concurrency):
            await asyncio.wait_for(runs.get(), 20)


async def test_no_more_than_concurrency_run_while_outcomes_are_in_flight() -> None:
    running, most, ended = 0, 0, 0

    async def work() -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        ended += 1

    async with working(registry(work=work), concurrency=3) as (store, _):
        await until_final(store, *await submit(store, *(new_job("work") for _ in range(60))))
        assert (most, ended) == (3, 60)


async def test_a_lost_settle_reply_is_sent_again_and_counts_once() -> None:
    async def work() -> str:
        return "kept"

    store = FaultyStore()
    store.lose_settles = 2
    async with working(registry(work=work), store) as (_, worker):
        jobs = await until_final(store, *await submit(store, *(new_job("work") for _ in range(3))))
        assert {job.state for job in jobs} == {State.COMPLETED}
        await worker.stop(30)
        assert worker.metrics.snapshot.counters["settle_already"] >= 3
        await assert_tidy(store)


async def test_outcomes_are_kept_as_they_are_while_the_store_is_unavailable() -> None:
    runs = 0

    async def work() -> str:
        nonlocal runs
        runs += 1
        return "kept"

    store = FaultyStore()
    store.refuse_settles = 4
    async with working(registry(work=work), store) as (_, worker):
        jobs = await until_final(store, *await submit(store, *(new_job("work") for _ in range(3))))
        assert {(job.state, job.attempt) for job in jobs} == {(State.COMPLETED, 1)}
        await worker.stop(30)
        assert (store.refuse_settles, runs) == (0, 3)
        await assert_tidy(store)


async def test_one_outcome_that_cannot_be_stored_does_not_block_the_others() -> None:
    async def good() -> None: ...

    async def bad() -> None:
        raise ValueError("again")

    store = FaultyStore()
    store.poison = OutcomeKind.RETRY
    async with working(registry(good=good, bad=bad), store, concurrency=20) as (_, _worker):
        names = ["good"] * 6 + ["bad"] + ["good"] * 6
        jobs = await until_final(store, *await submit(store, *map(new_job, names)))
        states = [job.state for job in jobs]
        assert states == [State.COMPLETED] * 6 + [State.FAILED] + [State.COMPLETED] * 6
        await assert_tidy(store)
