"""The loop of recovery: what a round does with what it finds, and that nothing ends the loop."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Claim
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store import recovery
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.recovery import Recovered, RecoveryLoop, release_older, run_once
from asyncendpoints_core.store.replies import Cause, Overdue, Recovery, Released, Swept
from support.store.stores import POLICY, claims, hand, look, new, policy, put, settle_one


async def settle_down() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def half() -> float:
    return 0.5


class Scripted(MemoryStore):
    """A memory store whose next answers a test may say in advance, as a bounded store's are."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.recoveries: list[Recovery | Exception] = []
        self.sweeps: list[Swept] = []
        self.partial: list[Released] = []
        self.calls: list[str] = []

    async def recover(self) -> Recovery:
        self.calls.append("recover")
        if self.recoveries:
            answer = self.recoveries.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return await super().recover()

    async def sweep(self) -> Swept:
        self.calls.append("sweep")
        return self.sweeps.pop(0) if self.sweeps else await super().sweep()

    async def release_worker(
        self,
        worker: str,
        cause: Cause,
        started: Sequence[JobId] | None = None,
        how: str = "",
    ) -> Released:
        self.calls.append(f"release {worker} {cause}")
        if self.partial:
            return self.partial.pop(0)
        return await super().release_worker(worker, cause, started, how)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> Scripted:
    store = Scripted(clock)
    await store.open()
    await store.configure(POLICY)
    return store


async def test_an_expired_worker_is_released_until_nothing_is_left(store: Scripted) -> None:
    store.recoveries = [Recovery(expired=("a", "b"))]
    store.partial = [
        Released(requeued=3, more=True),
        Released(requeued=2, failed=1, canceled=1),
        Released(requeued=1),
    ]
    done = await run_once(store, POLICY, half)
    assert [call for call in store.calls if call.startswith("release")] == [
        "release a lost",
        "release a lost",
        "release b lost",
    ]
    assert done.released == Released(requeued=6, failed=1, canceled=1)
    assert (done.workers, done.jobs) == (("a", "b"), 8)


async def test_a_release_that_never_ends_is_given_up_for_this_round(store: Scripted) -> None:
    store.recoveries = [Recovery(expired=("a",))]
    store.partial = [Released(more=True)] * 1_000
    await run_once(store, POLICY, half)
    released = [call for call in store.calls if call.startswith("release")]
    assert len(released) == recovery.MAX_RELEASE_CALLS


async def test_an_overdue_job_is_retried_while_its_budget_lasts(
    clock: ManualClock, store: Scripted
) -> None:
    again, last = await put(store, new(max_attempts=2), new(max_attempts=1))
    worker = await hand(store)
    one, two = claims(await worker.claim(2))
    store.recoveries = [Recovery(overdue=(Overdue(one, 1, 2), Overdue(two, 1, 1)))]
    done = await run_once(store, POLICY, half)
    assert (done.timed_out, done.jobs) == (2, 2)
    job = await look(store, again)
    assert (job.state, job.not_before_ms) == (State.SCHEDULED, clock.now_ms() + 2_000)
    job = await look(store, last)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.code == "execution-timeout"


async def test_what_was_settled_meanwhile_is_not_counted(store: Scripted) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    await settle_one(store, jobs.release(claim))
    store.recoveries = [
        Recovery(overdue=(Overdue(claim, 1, 4),), orphaned=(Claim(job_id, 1, "gone"),))
    ]
    done = await run_once(store, POLICY, half)
    assert (done.timed_out, done.orphaned, done.jobs) == (0, 0, 0)


async def test_an_orphaned_claim_is_released(store: Scripted) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    store.recoveries = [Recovery(orphaned=(claim,))]
    done = await run_once(store, POLICY, half)
    assert done.orphaned == 1
    job = await look(store, job_id)
    assert (job.state, job.attempt, job.releases) == (State.QUEUED, 0, 1)


async def test_sweeping_continues_while_there_is_more_but_is_bounded(store: Scripted) -> None:
    store.sweeps = [Swept(promoted=100, more=True), Swept(expired=3, more=True), Swept(removed=1)]
    await run_once(store, POLICY, half)
    assert (store.calls.count("sweep"), store.sweeps) == (3, [])
    store.sweeps = [Swept(promoted=1, more=True)] * 1_000
    store.calls.clear()
    await run_once(store, POLICY, half)
    assert store.calls.count("sweep") == recovery.MAX_SWEEPS
    assert len(store.sweeps) == 1_000 - recovery.MAX_SWEEPS


async def test_an_outage_is_reported(store: Scripted) -> None:
    store.recoveries = [Recovery(leases_extended=True)]
    assert (await run_once(store, POLICY, half)).leases_extended


async def test_a_new_supervisor_releases_what_older_ones_of_its_pod_left(store: Scripted) -> None:
    await put(store, *(new() for _ in range(5)))
    old = await hand(store, "old", pod="mine", nonce="1")
    older = await hand(store, "older", pod="mine", nonce="0")
    sibling = await hand(store, "sibling", pod="mine", nonce="2")
    other = await hand(store, "other", pod="theirs", nonce="1")
    for worker in (old, older, sibling, other):
        await worker.one()
    released = await release_older(store, "mine", "2")
    assert released.requeued == 2
    assert [worker.info.id for worker in await store.workers()] == ["other", "sibling"]
    assert await release_older(store, "mine", "2") == Released()


async def test_a_keeper_waits_an_outage_out(
    store: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[Recovered] = []
    keeper = RecoveryLoop(store, lambda: POLICY, half, rounds.append)
    store.recoveries = [StoreUnavailable("no route"), StoreUnavailable("no route")]
    with caplog.at_level(logging.INFO):
        assert await keeper.step() is None
        assert await keeper.step() is None
        assert await keeper.step() is not None
    assert len(rounds) == 1
    said = [record.message for record in caplog.records]
    assert len([line for line in said if "waits" in line]) == 1  # not once a second
    assert len([line for line in said if "goes on" in line]) == 1


async def test_extended_leases_are_logged_only_after_an_outage(
    store: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = RecoveryLoop(store, lambda: POLICY, half)
    with caplog.at_level(logging.INFO):
        store.recoveries = [Recovery(leases_extended=True)]
        assert await keeper.step() is not None  # the first after a restart of everything
        assert not caplog.records
        store.recoveries = [StoreUnavailable("no route"), Recovery(leases_extended=True)]
        assert await keeper.step() is None
        assert await keeper.step() is not None
    assert [record.message for record in caplog.records] == [
        "recovery waits for the store: no route",
        "recovery goes on: the store is available again, all leases were extended",
    ]


async def test_a_defect_ends_one_round_and_not_the_loop(
    store: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = RecoveryLoop(store, lambda: POLICY, half)
    store.recoveries = [ZeroDivisionError("a defect")]
    assert await keeper.step() is None
    assert "a round of recovery failed" in caplog.text
    assert await keeper.step() is not None


async def test_a_keeper_runs_until_it_is_cancelled(clock: ManualClock, store: Scripted) -> None:
    rounds: list[Recovered] = []
    keeper = RecoveryLoop(store, lambda: POLICY, half, rounds.append, time=clock)
    running = asyncio.create_task(keeper.run())
    for expected in (1, 2, 3):
        await settle_down()
        clock.advance(recovery.INTERVAL_SECONDS * 1_000 - 1)
        await settle_down()
        assert (len(rounds), clock.waiting) == (expected, 1)
        clock.advance(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_changed_policy_counts_in_the_next_round(
    clock: ManualClock, store: Scripted
) -> None:
    delays = iter((1_000, 7_000))
    keeper = RecoveryLoop(
        store, lambda: policy(retry=RetryPolicy(initial_ms=next(delays), jitter="none")), half
    )
    for delay in (1_000, 7_000):
        [job_id] = await put(store, new())
        worker = await hand(store, f"w{delay}")
        claim = (await worker.one()).claim
        store.recoveries = [Recovery(overdue=(Overdue(claim, 1, 4),))]
        await keeper.step()
        assert (await look(store, job_id)).not_before_ms == clock.now_ms() + delay
