"""Leases, cordons, reconciling, and finding what needs recovery."""

import pytest

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.recovery import run_once
from asyncendpoints_core.store.replies import (
    Cause,
    LeaseRenewal,
    LeaseReply,
    Recovery,
    WorkerInfo,
    WorkerState,
)
from support.store.stores import (
    DONE,
    Backend,
    Hand,
    claims,
    drain,
    hand,
    look,
    new,
    policy,
    put,
    settle_one,
    state_of,
)

LEASE = policy().lease_ms


async def beat(store: Store, worker: Hand, **how: object) -> LeaseReply:
    [reply] = await store.heartbeat([LeaseRenewal(worker.id, **how)])  # type: ignore[arg-type]
    return reply


async def keep(backend: Backend, ms: int, *workers: Hand) -> Recovery:
    """Let time pass with heartbeats and recovery at work; return the last recovery."""
    found = await backend.store.recover()
    while ms > 0:
        step = min(ms, 4_000)
        await backend.advance(step)
        ms -= step
        if workers:
            await backend.store.heartbeat([LeaseRenewal(worker.id) for worker in workers])
        found = await backend.store.recover()
    return found


async def test_a_registered_worker_shows(backend: Backend, store: Store) -> None:
    info = WorkerInfo("pod-1.0.1", "pod-1", "abc", 8, ("report", "image"), "1.2")
    await store.register(info)
    await hand(store, "other")
    now = await backend.now()
    known = {worker.info.id: worker for worker in await store.workers()}
    assert known[info.id] == WorkerState(info, now + LEASE, held=0)
    assert set(known) == {info.id, "other"}
    assert (await store.stats()).workers == 2


async def test_registering_again_renews(backend: Backend, store: Store) -> None:
    worker = await hand(store)
    await put(store, new())
    await worker.one()
    await backend.advance(1_000)
    await hand(store)
    [known] = await store.workers()
    assert (known.lease_ms, known.held) == (await backend.now() + LEASE, 1)


async def test_heartbeats_keep_a_worker_alive(backend: Backend, store: Store) -> None:
    await put(store, new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    assert await keep(backend, 10 * LEASE, worker) == Recovery()
    assert await settle_one(store, jobs.complete(claim, DONE)) == "applied"
    assert await worker.take() == []


async def test_a_worker_without_heartbeats_is_found(backend: Backend, store: Store) -> None:
    alive, silent = await hand(store, "alive"), await hand(store, "silent")
    await put(store, new())
    await silent.one()
    assert (await keep(backend, LEASE - 1, alive)).expired == ()
    assert (await keep(backend, 1, alive)).expired == ("silent",)


async def test_a_heartbeat_never_brings_a_worker_back(store: Store) -> None:
    worker = await hand(store)
    await store.release_worker(worker.id, Cause.LOST)
    assert await beat(store, worker) == LeaseReply(gone=True)
    assert await store.workers() == []
    with pytest.raises(WorkerGone):
        await hand(store)
    with pytest.raises(WorkerGone):
        await worker.claim()
    [unregistered] = await store.heartbeat([LeaseRenewal("never-registered")])
    assert unregistered.gone
    assert (await store.stats()).workers == 0


async def test_an_expired_worker_that_was_not_released_can_still_renew(
    backend: Backend, store: Store
) -> None:
    worker = await hand(store)
    await backend.advance(LEASE + 1)
    assert not (await beat(store, worker)).gone
    assert (await store.recover()).expired == ()


async def test_a_heartbeat_reports_cancels_until_they_are_settled(store: Store) -> None:
    asked, other = await put(store, new(), new())
    worker = await hand(store)
    taken = {claim.job_id: claim for claim in claims(await worker.claim(2))}
    assert await beat(store, worker) == LeaseReply(gone=False, held=2)
    await store.cancel([asked])
    for _ in range(2):
        assert (await beat(store, worker, held=2)).cancels == (taken[asked],)
    await settle_one(store, jobs.canceled(taken[asked]))
    assert await beat(store, worker) == LeaseReply(gone=False, held=1)
    await settle_one(store, jobs.release(taken[other]))
    await store.cancel([other])
    assert (await beat(store, worker)).cancels == ()


async def test_a_canceled_claim_of_another_worker_is_not_mine(store: Store) -> None:
    await put(store, new())
    one, two = await hand(store, "w1"), await hand(store, "w11")
    claim = (await two.one()).claim
    await store.cancel([claim.job_id])
    replies = await store.heartbeat([LeaseRenewal("w1"), LeaseRenewal("w11"), LeaseRenewal("w")])
    assert [reply.cancels for reply in replies] == [(), (claim,), ()]
    assert [reply.held for reply in replies] == [0, 1, 0]
    assert (await store.release_worker(one.id, Cause.LOST)).canceled == 0


async def test_a_cordoned_worker_finishes_and_acknowledges(backend: Backend, store: Store) -> None:
    await put(store, new(), new(), new())
    worker = await hand(store)
    one, two = claims(await worker.claim(2))
    [state] = await store.cordon([worker.id], 30, "scaler")
    assert state is not None
    assert (state.held, state.cordoned_until_ms) == (2, await backend.now() + 30_000)
    assert (await worker.claim()).refused == "cordoned"
    assert (await beat(store, worker)).cordoned
    stats = await store.stats()
    assert (stats.held, stats.held_active) == (2, 0)
    await worker.settle(jobs.complete(one, DONE), jobs.release(two))
    [state] = await store.cordon([worker.id], 30, "scaler")
    assert state is not None
    assert state.held == 0
    assert (await store.cordon(["nobody"], 30, "scaler")) == [None]


async def test_a_cordon_ends_by_itself_and_lasts_thirty_seconds_at_most(
    backend: Backend, store: Store
) -> None:
    await put(store, new(), new())
    worker = await hand(store)
    await store.cordon([worker.id], 0.5, "scaler")
    await backend.advance(499)
    assert (await worker.claim()).refused == "cordoned"
    await backend.advance(1)
    assert len((await worker.claim(1)).jobs) == 1
    [state] = await store.cordon([worker.id], 3_600, "scaler")
    assert state is not None
    assert state.cordoned_until_ms == await backend.now() + 30_000
    await keep(backend, 29_999, worker)
    assert (await beat(store, worker)).cordoned
    await backend.advance(1)
    assert not (await beat(store, worker)).cordoned
    assert len((await worker.claim(1)).jobs) == 1


async def test_each_takes_back_its_own_cordon(store: Store) -> None:
    worker = await hand(store)
    await store.cordon([worker.id], 10, "scaler")
    await store.cordon([worker.id], 20, "rollout")
    await store.uncordon([worker.id, "nobody"], "scaler")
    assert (await worker.claim()).refused == "cordoned"
    await store.uncordon([worker.id], "another-owner")
    assert (await worker.claim()).refused == "cordoned"
    await store.uncordon([worker.id], "rollout")
    assert (await worker.claim()).refused == ""


async def test_draining_is_a_flag_of_its_own(store: Store) -> None:
    await put(store, new(), new())
    worker = await hand(store)
    claim = (await worker.one()).claim
    await beat(store, worker, draining=True)
    [state] = await store.workers()
    assert (state.draining, state.cordoned_until_ms) == (True, 0)
    assert (await worker.claim()).refused == "draining"
    stats = await store.stats()
    assert (stats.held, stats.held_active) == (1, 0)
    assert await settle_one(store, jobs.complete(claim, DONE)) == "applied"


async def test_what_a_worker_does_not_know_it_holds_goes_back(
    backend: Backend, store: Store
) -> None:
    order = await put(store, *(new() for _ in range(5)))
    worker = await hand(store)
    known = claims(await worker.claim(2))
    lost = await worker.claim(3)  # its reply never arrived
    assert len(lost.jobs) == 3
    assert await store.reconcile(worker.id, known) == 3
    assert await store.reconcile(worker.id, known) == 0
    assert (await beat(store, worker)).held == 2
    for claim in claims(lost):
        job = await look(store, claim.job_id)
        assert (job.state, job.attempt, job.releases, job.attempts) == (State.QUEUED, 0, 0, ())
        assert job.expires_at_ms
    assert await drain(store, await hand(store, "w2")) == order[2:]
    assert await store.reconcile("nobody", []) == 0
    old = claims(lost)[0]
    assert await settle_one(store, jobs.complete(old, DONE)) == "stale"


async def test_reconciling_compares_claim_numbers(store: Store) -> None:
    [job_id] = await put(store, new())
    worker = await hand(store)
    old = (await worker.one()).claim
    await settle_one(store, jobs.release(old))
    await worker.one()  # again, by the same worker, and this reply was lost
    assert await store.reconcile(worker.id, [old]) == 1
    assert await state_of(store, job_id) is State.QUEUED


async def test_an_overdue_job_of_a_live_worker_is_found(backend: Backend, store: Store) -> None:
    await store.configure(policy(execution_ms=20_000, grace_ms=1_000))
    await put(store, new(max_attempts=5), new())
    worker = await hand(store)
    stuck = (await worker.one()).claim
    await keep(backend, 10_000, worker)
    fresh = (await worker.one()).claim
    found = await keep(backend, 12_000, worker)
    assert found.overdue == ()
    found = await keep(backend, 1, worker)
    assert [(over.claim, over.attempt, over.max_attempts) for over in found.overdue] == [
        (stuck, 1, 5)
    ]
    done = await run_once(store, policy(execution_ms=20_000, grace_ms=1_000), lambda: 0.5)
    assert done.timed_out == 1
    job = await look(store, stuck.job_id)
    assert (job.state, job.attempt) == (State.SCHEDULED, 1)
    assert job.attempts[0].outcome == "timed-out"
    assert (await store.recover()).overdue == ()
    assert await settle_one(store, jobs.complete(fresh, DONE)) == "applied"


async def test_an_outage_expires_no_lease_and_no_deadline(backend: Backend, store: Store) -> None:
    await store.configure(policy(execution_ms=20_000, grace_ms=1_000))
    workers = [await hand(store, f"w{number}") for number in range(3)]
    await put(store, *(new() for _ in range(24)))
    held = [claim for worker in workers for claim in claims(await worker.claim(8))]
    await keep(backend, 3_000, *workers)
    await backend.outage(120_000)
    found = await store.recover()
    assert found == Recovery(leases_extended=True)
    now = await backend.now()
    assert {worker.lease_ms for worker in await store.workers()} == {now + LEASE}
    assert await keep(backend, 0) == Recovery()
    # Their full term, and then again as ever.
    assert await keep(backend, LEASE - 1, *workers) == Recovery()
    answers = await store.settle([jobs.complete(claim, DONE) for claim in held])
    assert {answer.status for answer in answers} == {"applied"}
    assert (await store.stats()).totals["recovered"] == 0


async def test_after_an_outage_a_worker_that_stays_silent_is_found(
    backend: Backend, store: Store
) -> None:
    await hand(store)
    await store.recover()
    await backend.outage(60_000)
    assert (await store.recover()).leases_extended
    assert (await keep(backend, LEASE - 1)).expired == ()
    assert (await keep(backend, 1)).expired == ("w1",)


async def test_the_first_recovery_and_short_gaps_are_no_outage(
    backend: Backend, store: Store
) -> None:
    await hand(store)
    await backend.outage(LEASE + 1)
    assert (await store.recover()).expired == ("w1",)
    await backend.outage(5_000)
    assert not (await store.recover()).leases_extended
    await backend.outage(5_001)
    assert (await store.recover()).leases_extended


async def test_a_round_of_recovery_brings_everything_back(backend: Backend, store: Store) -> None:
    order = await put(store, *(new() for _ in range(6)))
    lost, alive = await hand(store, "lost"), await hand(store, "alive")
    await lost.take(4)
    await keep(backend, LEASE, alive)
    done = await run_once(store, policy(), lambda: 0.5)
    assert (done.workers, done.released.requeued, done.jobs) == (("lost",), 4, 4)
    assert [worker.info.id for worker in await store.workers()] == ["alive"]
    again = await run_once(store, policy(), lambda: 0.5)
    assert (again.jobs, again.workers) == (0, ())
    assert await drain(store, alive) == order


async def test_two_rounds_at_once_recover_each_job_once(backend: Backend, store: Store) -> None:
    await put(store, *(new() for _ in range(10)))
    lost = await hand(store, "lost")
    await lost.take(10)
    await keep(backend, LEASE)
    first = await store.recover()
    second = await store.recover()
    assert first.expired == second.expired == ("lost",)
    one = await store.release_worker("lost", Cause.LOST)
    two = await store.release_worker("lost", Cause.LOST)
    assert (one.requeued, two.requeued) == (10, 0)
    assert (await store.stats()).counts[State.QUEUED] == 10
