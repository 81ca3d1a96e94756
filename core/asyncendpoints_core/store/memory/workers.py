"""Workers and their jobs: leases, cordons, release, and the search for what needs recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs.records import Claim
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import transitions
from asyncendpoints_core.store.memory.entries import Worker
from asyncendpoints_core.store.memory.record import Record
from asyncendpoints_core.store.replies import (
    MAX_BATCH,
    Cause,
    LeaseRenewal,
    LeaseReply,
    Overdue,
    Recovery,
    Released,
    WorkerInfo,
    WorkerState,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.memory.data import Data

MAX_CORDON_MS: Final = 30_000
OUTAGE_MS: Final = 5_000


def register(data: Data, info: WorkerInfo, now: int) -> None:
    """Start or renew a lease; see Store.register."""
    if info.id in data.deregistered:
        raise WorkerGone(f"worker {info.id} was deregistered; ids are not reused")
    worker = data.workers.get(info.id)
    if worker is None:
        data.workers[info.id] = Worker(info, now + data.rules.lease_ms)
    else:
        worker.info, worker.lease_ms = info, now + data.rules.lease_ms


def heartbeat(data: Data, beat: LeaseRenewal, now: int) -> LeaseReply:
    """Renew a lease and return what the worker must do; see Store.heartbeat."""
    worker = data.workers.get(beat.worker)
    if worker is None:
        return LeaseReply(gone=True)
    worker.lease_ms = now + data.rules.lease_ms
    worker.draining = beat.draining
    held = held_records(data, beat.worker, now)
    cancels = tuple(
        Claim(record.id, record.claim, record.worker)
        for record in held
        if record.cancel_requested_ms
    )
    return LeaseReply(
        gone=False, held=len(held), cordoned=worker.cordoned_until > now, cancels=cancels
    )


def held_records(data: Data, worker: str, now: int) -> list[Record]:
    """Return the records `worker` holds, in the order they were claimed."""
    records = [data.load(job_id, now) for job_id in list(data.held.get(worker, ()))]
    running = [
        record
        for record in records
        if isinstance(record, Record) and record.state is State.IN_PROGRESS
    ]
    return sorted(running, key=lambda record: record.claim)


def reconcile(data: Data, worker: str, held: Sequence[Claim], now: int) -> int:
    """Release jobs that `worker` does not know it holds; see Store.reconcile."""
    known = {(claim.job_id, claim.number) for claim in held}
    unknown = [
        record
        for record in held_records(data, worker, now)
        if (record.id, record.claim) not in known
    ]
    for record in unknown:
        data.totals["released"] += 1
        transitions.release(data, record, now, "released", started=False)
    return len(unknown)


def state_of(data: Data, worker: Worker, now: int) -> WorkerState:
    """Return a worker's state."""
    return WorkerState(
        info=worker.info,
        lease_ms=worker.lease_ms,
        held=len(data.held.get(worker.info.id, ())),
        cordoned_until_ms=worker.cordoned_until if worker.cordoned_until > now else 0,
        draining=worker.draining,
    )


def refuses(data: Data, worker_id: str, now: int) -> bool:
    """Return whether one worker may claim nothing, though others may."""
    worker = data.workers.get(worker_id)
    return worker is None or worker.draining or worker.cordoned_until > now


def cordon(data: Data, worker_id: str, seconds: float, by: str, now: int) -> WorkerState | None:
    """Set `by`'s cordon of one worker; see Store.cordon."""
    worker = data.workers.get(worker_id)
    if worker is None:
        return None
    worker.cordons = {who: until for who, until in worker.cordons.items() if until > now}
    worker.cordons[by] = now + min(MAX_CORDON_MS, int(seconds * 1000))
    return state_of(data, worker, now)


def release_worker(
    data: Data,
    worker_id: str,
    cause: Cause,
    started: Sequence[JobId] | None,
    how: str,
    now: int,
) -> Released:
    """Deregister a worker and release its jobs; see Store.release_worker."""
    if data.workers.pop(worker_id, None) is not None:
        data.deregistered[worker_id] = now
    if data.exclusive[0] == worker_id:
        data.exclusive = ("", 0)
    held = held_records(data, worker_id, now)
    begun = {record.id for record in held}
    if started is not None:
        begun &= set(started)
    charged = suspected = 0
    for record in held:
        crashed = cause is Cause.CRASH and record.id in begun
        data.totals["recovered"] += 1
        if not crashed or record.cancel_requested_ms:
            budget = cause in (Cause.LOST, Cause.KILLED)
            transitions.release(
                data, record, now, "recovered", started=record.id in begun, charged=budget
            )
        elif len(begun) == 1:
            transitions.crash_alone(data, record, now, how)
            charged += 1
        else:
            transitions.crash_beside_others(data, record, now, how)
            suspected += 1
    states = [record.state for record in held]
    return Released(
        requeued=states.count(State.QUEUED),
        charged=charged,
        suspected=suspected,
        failed=states.count(State.FAILED),
        canceled=states.count(State.CANCELED),
    )


def recover(data: Data, clock_ms: int) -> Recovery:
    """Write the tick and find what needs recovery; see Store.recover."""
    unreachable = bool(data.tick) and clock_ms - data.tick > OUTAGE_MS
    now = data.tick = max(data.tick, clock_ms)
    if unreachable:
        _extend_leases(data, now)
        return Recovery(leases_extended=True)
    for worker in data.workers.values():
        worker.lease_ms = min(worker.lease_ms, now + data.rules.lease_ms)
    expired = [name for name, worker in data.workers.items() if worker.lease_ms <= now]
    overdue: list[Overdue] = []
    orphaned: list[Claim] = []
    for job_id in data.running.ids():
        entry = data.index[job_id]
        live = data.workers.get(entry.worker)
        if live is not None and live.lease_ms <= now:
            continue
        record = data.load(job_id, now)
        if not isinstance(record, Record) or record.state is not State.IN_PROGRESS:
            continue
        claim = Claim(record.id, record.claim, record.worker)
        if live is None:
            orphaned.append(claim)
        elif record.deadline_ms + 2 * data.rules.grace_ms < now:
            overdue.append(Overdue(claim, record.attempt, record.max_attempts))
    return Recovery(
        tuple(expired[:MAX_BATCH]), tuple(overdue[:MAX_BATCH]), tuple(orphaned[:MAX_BATCH])
    )


def _extend_leases(data: Data, now: int) -> None:
    """Renew all leases and deadlines: during the outage no worker could renew or settle."""
    for worker in data.workers.values():
        worker.lease_ms = now + data.rules.lease_ms
    for job_id in data.running.ids():
        record = data.load(job_id, now)
        if isinstance(record, Record) and record.state is State.IN_PROGRESS:
            record.deadline_ms = now + data.rules.execution_ms
            data.rewrite(record)
