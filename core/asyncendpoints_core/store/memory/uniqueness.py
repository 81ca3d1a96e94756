"""Locks of unique jobs, and what becomes of a submission whose lock another job holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, OnConflict
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory.entries import HeldLock
from asyncendpoints_core.store.memory.record import Record, decode_record, encode
from asyncendpoints_core.store.memory.transitions import append_to_queue
from asyncendpoints_core.store.replies import EnqueueStatus

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Lock, NewJob
    from asyncendpoints_core.store.memory.data import Data

BOUND: Final = 100


def lock_of(record: Record) -> Lock | None:
    """Return the lock that a job carries."""
    return (record.attributes or NO_ATTRIBUTES).lock


def holder(data: Data, name: bytes, now: int) -> Record | None:
    """Return the unfinished job that holds a lock; None if there is none, or it does not count."""
    lock = data.locks.get(name)
    if lock is None or now >= lock.ends_ms:
        return None
    record = decode_record(data.records.get(lock.job_id))
    if not isinstance(record, Record) or record.final:
        return None
    return None if lock.until_started and record.claim != lock.claim else record


def take(data: Data, record: Record, now: int) -> None:
    """Give the lock that a job carries, if it carries one, to the job."""
    if (lock := lock_of(record)) is not None:
        data.locks[lock.name] = HeldLock(
            record.id, record.id, now + lock.ms, record.claim, lock.until_started
        )


def decided_before(data: Data, new: NewJob) -> EnqueueStatus | None:
    """Return how a submission was decided that is sent again, None if it was not."""
    lock = new.attributes.lock and data.locks.get(new.attributes.lock.name)
    if not lock or lock.submission != new.id or lock.job_id not in data.records:
        return None
    replaced = new.on_conflict is OnConflict.REPLACE
    return EnqueueStatus.REPLACED if replaced else EnqueueStatus.EXISTING


def decide(data: Data, new: NewJob, now: int) -> tuple[EnqueueStatus, JobId] | None:
    """Return what becomes of a submission whose lock another job holds, and that job's id; None if
    it is a new job.
    """
    if new.attributes.lock is None:
        return None
    name = new.attributes.lock.name
    record = holder(data, name, now)
    if record is None:
        return None
    if new.on_conflict is OnConflict.REJECT:
        return EnqueueStatus.DUPLICATE, record.id
    status = EnqueueStatus.EXISTING
    if new.on_conflict is OnConflict.REPLACE:
        if record.claim:
            return None
        if data.bytes - record.size + len(new.request.body) > data.rules.max_bytes:
            return EnqueueStatus.FULL, record.id
        _replace(data, record, new, data.locks[name].ends_ms, now)
        status = EnqueueStatus.REPLACED
    data.locks[name] = data.locks[name]._replace(submission=new.id)
    return status, record.id


def _replace(data: Data, record: Record, new: NewJob, latest: int, now: int) -> None:
    """Give a waiting job the input of a later submission; it is due by `latest`."""
    was = record.state
    due = min(now + new.delay_ms, latest) if new.delay_ms else 0
    data.requests[record.id] = encode(new.request)
    record.size = len(new.request.body)
    record.priority, record.max_attempts = new.priority, new.max_attempts
    record.traceparent = new.request.headers.get("traceparent", "")
    record.attributes = new.attributes
    record.not_before_ms = due if due > now else 0
    if due > now:
        record.state = State.SCHEDULED
        data.save(record, now)
    elif was is State.SCHEDULED:
        append_to_queue(data, record, now)
    else:
        record.ready_ms = now
        data.save(record, now)


def sweep(data: Data, now: int) -> bool:
    """Remove some of the locks that do not count; return whether there are more."""
    stale = [name for name in data.locks if holder(data, name, now) is None][:BOUND]
    for name in stale:
        del data.locks[name]
    return len(stale) == BOUND
