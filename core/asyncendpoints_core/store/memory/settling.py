"""What the holder of a claim writes: outcomes, progress and logs, fenced by the claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.records import Claim, ErrorCode, JobError, fail
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import admission, transitions
from asyncendpoints_core.store.memory.doorbell import due_soon
from asyncendpoints_core.store.memory.record import Fault, Record, decode_record
from asyncendpoints_core.store.replies import Settled, SettleStatus

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import NewJob, Outcome, Progress
    from asyncendpoints_core.store.job_logs import LogWrite
    from asyncendpoints_core.store.memory.data import Data

_REQUEUED: Final = Settled(SettleStatus.APPLIED, State.QUEUED)
_POSTPONED: Final = Settled(SettleStatus.APPLIED, State.SCHEDULED)
_COMPLETED: Final = Settled(SettleStatus.APPLIED, State.COMPLETED)


def settle(data: Data, outcome: Outcome, now: int) -> Settled:
    """Apply one outcome; see Store.settle."""
    record = data.load(outcome.claim.job_id, now)
    if record is Fault.NEWER:
        return Settled(SettleStatus.STALE, State.IN_PROGRESS)
    if isinstance(record, Fault):
        return Settled(SettleStatus.GONE)
    status = _fence(data, record, outcome.claim)
    if status is SettleStatus.APPLIED:
        if outcome.children and (why := _refusal(data, record, outcome.children)):
            outcome = fail(outcome.claim, JobError(ErrorCode.ENQUEUE_REFUSED, why))
        transitions.settle(data, record, outcome, now)
        for child in outcome.children:
            admission.create(data, child, now)
    return Settled(status, record.state)


def made_ready(outcome: Outcome, answer: Settled) -> int:
    """Return how many jobs an outcome made ready, now or soon."""
    if answer == _REQUEUED:
        return 1
    if answer == _POSTPONED:
        return due_soon(outcome.delay_ms)
    if answer != _COMPLETED:
        return 0
    return sum(due_soon(child.delay_ms) for child in outcome.children)


def _refusal(data: Data, record: Record, children: tuple[NewJob, ...]) -> str:
    """Return why the children of a job cannot be created, "" if they can."""
    most, most_bytes = 2 * data.rules.max_depth, data.rules.max_bytes
    size = sum(len(child.request.body) for child in children)
    if data.closed:
        return "the endpoint is being deleted"
    if data.depth() + len(children) > most:
        return f"with its {len(children)} jobs more than 2 x maxDepth = {most} would wait"
    if data.bytes - record.size + size > most_bytes:
        return f"with its {len(children)} jobs more than maxBytes = {most_bytes} would be stored"
    return ""


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


def write_log(data: Data, new: LogWrite, limit: int, now: int) -> bool:
    """Add lines to the log of a claim, which may have ended; see Store.write_logs."""
    claim = new.claim
    record = decode_record(data.records.get(claim.job_id))
    if not isinstance(record, Record):
        return False
    if claim != Claim(record.id, record.claim, record.worker):
        return False
    if new.unless_completed and record.state is State.COMPLETED:
        data.logs.drop(claim, now)
    else:
        data.logs.add(new, limit, now)
    return True


def _fence(data: Data, record: Record, claim: Claim) -> SettleStatus:
    """Compare a claim with the record's: only the present holder's writes are applied."""
    if (record.claim, record.worker) != (claim.number, claim.worker):
        data.totals["stale"] += 1
        return SettleStatus.STALE
    running = record.state is State.IN_PROGRESS
    return SettleStatus.APPLIED if running else SettleStatus.ALREADY
