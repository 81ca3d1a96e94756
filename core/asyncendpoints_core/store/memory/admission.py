"""Admission of submissions and redrives, checked in the order that Store.enqueue states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_core.jobs.records import MAX_JOB_WEBHOOKS, NO_ATTRIBUTES
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import uniqueness
from asyncendpoints_core.store.memory.entries import Binding
from asyncendpoints_core.store.memory.record import Fault, Record, decode_record, encode, new_record
from asyncendpoints_core.store.memory.transitions import append_to_queue
from asyncendpoints_core.store.positions import FIRST
from asyncendpoints_core.store.replies import Enqueued, EnqueueStatus, RedriveStatus

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import NewJob
    from asyncendpoints_core.store.memory.data import Data


def enqueue(data: Data, new: NewJob, now: int) -> Enqueued:
    """Decide on one submission; see Store.enqueue."""
    if new.id in data.records:
        return _existing(data, EnqueueStatus.CREATED, new.id, now)
    if (before := uniqueness.decided_before(data, new)) is not None and new.attributes.lock:
        return _existing(data, before, data.locks[new.attributes.lock.name].job_id, now)
    replayed = _replay(data, new, now)
    if replayed is not None:
        return replayed
    if data.closed:
        return Enqueued(EnqueueStatus.CLOSED)
    if (decided := uniqueness.decide(data, new, now)) is not None:
        status, holder = decided
        if status is EnqueueStatus.FULL:
            return Enqueued(status)
        if status is EnqueueStatus.EXISTING and not _add_receivers(data, new, holder):
            return _existing(data, EnqueueStatus.RECEIVERS_FULL, holder, now)
        if status is not EnqueueStatus.DUPLICATE:
            _bind(data, new, holder, now)
        return _existing(data, status, holder, now)
    key = new.attributes.key
    if (most := data.gate.depth(key)) and data.waiting.get(key, 0) >= most:
        return Enqueued(EnqueueStatus.KEY_FULL)
    if is_full(data, len(new.request.body)):
        return Enqueued(EnqueueStatus.FULL)
    record = create(data, new, now)
    uniqueness.take(data, record, now)
    _bind(data, new, new.id, now)
    return _existing(data, EnqueueStatus.CREATED, new.id, now)


def with_position(data: Data, new: NewJob, answer: Enqueued, now: int) -> Enqueued:
    """Return an answer with the position that its job has once a whole batch is there: with keys,
    what comes later may start before.
    """
    if answer.status is EnqueueStatus.KEY_FULL:
        key = new.attributes.key
        position = data.gate.position_of_key(key, new.priority, now)
        return msgspec.structs.replace(answer, position=position, key=key)
    record = data.load(answer.job.id, now) if answer.job else None
    position = data.position(record, now) if isinstance(record, Record) else FIRST
    return msgspec.structs.replace(answer, position=position)


def create(data: Data, new: NewJob, now: int) -> Record:
    """Create a job, which nothing refuses."""
    record = new_record(new, now, data.paused_for(now))
    data.requests[new.id] = encode(new.request)
    data.totals["created"] += 1
    if record.state is State.QUEUED:
        append_to_queue(data, record, now)
    else:
        data.save(record, now, new=True)
    return record


def _bind(data: Data, new: NewJob, job_id: JobId, now: int) -> None:
    """Bind a submission's idempotency key, if it has one, to a job."""
    if new.idempotency is not None:
        until = now + data.rules.idempotency_ms
        data.idempotency[new.idempotency.key] = Binding(job_id, new.idempotency.fingerprint, until)


def _replay(data: Data, new: NewJob, now: int) -> Enqueued | None:
    """Return the reply for a bound idempotency key, None if the key is not bound."""
    if new.idempotency is None:
        return None
    bound = data.idempotency.get(new.idempotency.key)
    if bound is None or (bound.job_id not in data.records and bound.until <= now):
        return None
    if bound.fingerprint != new.idempotency.fingerprint:
        return Enqueued(EnqueueStatus.MISMATCH)
    if not _add_receivers(data, new, bound.job_id):
        return _existing(data, EnqueueStatus.RECEIVERS_FULL, bound.job_id, now)
    return _existing(data, EnqueueStatus.REPLAYED, bound.job_id, now)


def _add_receivers(data: Data, new: NewJob, job_id: JobId) -> bool:
    """Add the receivers that a submission names to the unfinished job that it is answered with;
    return False if that would have too many.
    """
    record = decode_record(data.records.get(job_id))
    if not new.attributes.webhooks or not isinstance(record, Record) or record.final:
        return True
    carried = record.attributes or NO_ATTRIBUTES
    webhooks = tuple(dict.fromkeys((*carried.webhooks, *new.attributes.webhooks)))
    if len(webhooks) > MAX_JOB_WEBHOOKS:
        return False
    record.attributes = msgspec.structs.replace(carried, webhooks=webhooks)
    data.rewrite(record)
    return True


def _existing(data: Data, status: EnqueueStatus, job_id: JobId, now: int) -> Enqueued:
    record = data.load(job_id, now)
    if not isinstance(record, Record):
        return Enqueued(EnqueueStatus.UNREADABLE if record is Fault.NEWER else status)
    return Enqueued(status, data.job(record, now), data.position(record, now))


def is_full(data: Data, size: int, freed: int = 0, share: float = 1) -> bool:
    """Return whether a body of `size` bytes finds no room once `freed` waiting jobs have left, in a
    `share` of the queue.
    """
    depth = data.depth() - freed
    rules = data.rules
    return depth >= rules.max_depth * share or data.bytes + size > rules.max_bytes * share


def redrive_status(data: Data, record: Record, now: int, share: float = 1) -> RedriveStatus:
    """Return what a redrive of `record` would do, in a `share` of the queue."""
    if record.state not in (State.FAILED, State.CANCELED) or record.id not in data.requests:
        return RedriveStatus.NOT_RETRYABLE
    if data.closed:
        return RedriveStatus.CLOSED
    lock = uniqueness.lock_of(record)
    if lock is not None and uniqueness.holder(data, lock.name, now) is not None:
        return RedriveStatus.DUPLICATE
    return RedriveStatus.FULL if is_full(data, record.size, share=share) else RedriveStatus.REQUEUED
