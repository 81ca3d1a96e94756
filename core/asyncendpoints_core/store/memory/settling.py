"""What the holder of a claim writes: outcomes and progress, fenced by the claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import transitions
from asyncendpoints_core.store.memory.record import Fault, Record
from asyncendpoints_core.store.replies import Settled, SettleStatus

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Claim, Outcome, Progress
    from asyncendpoints_core.store.memory.data import Data


def settle(data: Data, outcome: Outcome, now: int) -> Settled:
    """Apply one outcome; see Store.settle."""
    record = data.load(outcome.claim.job_id, now)
    if record is Fault.NEWER:
        return Settled(SettleStatus.STALE, State.IN_PROGRESS)
    if isinstance(record, Fault):
        return Settled(SettleStatus.GONE)
    status = _fence(data, record, outcome.claim)
    if status is SettleStatus.APPLIED:
        transitions.settle(data, record, outcome, now)
    return Settled(status, record.state)


def progress(data: Data, claim: Claim, reported: Progress, now: int) -> SettleStatus:
    """Record the progress of one job; see Store.progress."""
    record = data.load(claim.job_id, now)
    if isinstance(record, Fault):
        return SettleStatus.GONE
    status = _fence(data, record, claim)
    if status is SettleStatus.APPLIED:
        record.progress = reported
        data.save(record, now)
    return status


def _fence(data: Data, record: Record, claim: Claim) -> SettleStatus:
    """Compare a claim with the record's: only the present holder's writes are applied."""
    if (record.claim, record.worker) != (claim.number, claim.worker):
        data.totals["stale"] += 1
        return SettleStatus.STALE
    running = record.state is State.IN_PROGRESS
    return SettleStatus.APPLIED if running else SettleStatus.ALREADY
