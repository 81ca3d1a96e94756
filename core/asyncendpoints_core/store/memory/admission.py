"""Admission of submissions and redrives, checked in the order that Store.enqueue states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory.data import Binding
from asyncendpoints_core.store.memory.record import Record, encode, new_record
from asyncendpoints_core.store.memory.transitions import append_to_queue
from asyncendpoints_core.store.replies import Enqueued, EnqueueStatus, RedriveStatus

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import NewJob
    from asyncendpoints_core.store.memory.data import Data


def enqueue(data: Data, new: NewJob, now: int) -> Enqueued:
    """Decide on one submission; see Store.enqueue."""
    if new.id in data.records:
        return _existing(data, EnqueueStatus.CREATED, new.id, now)
    replayed = _replay(data, new, now)
    if replayed is not None:
        return replayed
    if data.closed:
        return Enqueued(EnqueueStatus.CLOSED)
    if _is_full(data, len(new.request.body)):
        return Enqueued(EnqueueStatus.FULL)
    record = new_record(new, now, data.paused_for(now))
    data.requests[new.id] = encode(new.request)
    data.totals["created"] += 1
    if record.state is State.QUEUED:
        append_to_queue(data, record, now)
    else:
        data.save(record, now, new=True)
    if new.idempotency is not None:
        until = now + data.rules.idempotency_ms
        data.idempotency[new.idempotency.key] = Binding(new.id, new.idempotency.fingerprint, until)
    return _existing(data, EnqueueStatus.CREATED, new.id, now)


def _replay(data: Data, new: NewJob, now: int) -> Enqueued | None:
    """Return the reply for a bound idempotency key, None if the key is not bound."""
    if new.idempotency is None:
        return None
    bound = data.idempotency.get(new.idempotency.key)
    if bound is None or (bound.job_id not in data.records and bound.until <= now):
        return None
    if bound.fingerprint != new.idempotency.fingerprint:
        return Enqueued(EnqueueStatus.MISMATCH)
    return _existing(data, EnqueueStatus.REPLAYED, bound.job_id, now)


def _existing(data: Data, status: EnqueueStatus, job_id: JobId, now: int) -> Enqueued:
    record = data.load(job_id, now)
    if not isinstance(record, Record):
        return Enqueued(status)
    return Enqueued(status, data.job(record, now), data.ahead(record))


def _is_full(data: Data, size: int) -> bool:
    return data.depth() >= data.rules.max_depth or data.bytes + size > data.rules.max_bytes


def redrive_status(data: Data, record: Record) -> RedriveStatus:
    """Return what a redrive of `record` would do."""
    if record.state not in (State.FAILED, State.CANCELED) or record.id not in data.requests:
        return RedriveStatus.NOT_RETRYABLE
    if data.closed:
        return RedriveStatus.CLOSED
    return RedriveStatus.FULL if _is_full(data, record.size) else RedriveStatus.REQUEUED
