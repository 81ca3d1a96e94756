"""What clients do with one job: look it up, cancel, redrive and delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import Inspected, held_back
from asyncendpoints_core.store.memory import admission, transitions, uniqueness
from asyncendpoints_core.store.memory.data import flow_of
from asyncendpoints_core.store.memory.record import Fault, decode_request
from asyncendpoints_core.store.replies import (
    Canceled,
    CancelStatus,
    DeleteStatus,
    Found,
    PromoteStatus,
    Redriven,
    RedriveStatus,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.memory.data import Data
    from asyncendpoints_core.store.memory.record import Record


def find(data: Data, job_id: JobId, now: int) -> Found:
    """Look one job up; see Store.get."""
    record = data.load(job_id, now)
    if record is Fault.NEWER:
        return Found(unreadable=True)
    if isinstance(record, Fault):
        return Found(gone=job_id in data.tombstones)
    return Found(data.job(record, now), position=data.position(record, now))


def inspect(data: Data, job_id: JobId, now: int, *, body: bool) -> Inspected:
    """Look one job up with its request; see Store.inspect."""
    found, record = find(data, job_id, now), data.load(job_id, now)
    request = decode_request(data.requests.get(job_id))
    if isinstance(record, Fault) or isinstance(request, Fault):
        return Inspected(found)
    deadline = record.deadline_ms if record.state is State.IN_PROGRESS else 0
    kept = request if body else msgspec.structs.replace(request, body=b"")
    waits = record.state is State.QUEUED and data.gate.on
    limit = data.gate.held_back(flow_of(record), now) if waits else ""
    return Inspected(found, kept, record.size, deadline, held_back(limit))


def cancel(
    data: Data, job_id: JobId, now: int, revisions: Collection[int] | None = None
) -> Canceled:
    """Cancel a waiting job, request it of a running one; see Store.cancel."""
    record = data.load(job_id, now)
    if isinstance(record, Fault):
        return Canceled(CancelStatus(_absent(data, job_id, record)))
    if record.final:
        return Canceled(CancelStatus.FINAL, data.job(record, now))
    running = record.state is State.IN_PROGRESS
    if running and record.cancel_requested_ms:
        return Canceled(CancelStatus.REQUESTED, data.job(record, now))
    if _changed(record, revisions):
        return Canceled(CancelStatus.CHANGED, data.job(record, now))
    if not running:
        transitions.finish(data, record, now, State.CANCELED)
        return Canceled(CancelStatus.CANCELED, data.job(record, now))
    record.cancel_requested_ms = now
    data.save(record, now)
    return Canceled(CancelStatus.REQUESTED, data.job(record, now))


def redrive(data: Data, job_id: JobId, now: int, revisions: Collection[int] | None) -> Redriven:
    """Queue a Failed or Canceled job again; see Store.redrive."""
    record = data.load(job_id, now)
    if isinstance(record, Fault):
        return Redriven(RedriveStatus(_absent(data, job_id, record)))
    status = admission.redrive_status(data, record, now)
    if status is RedriveStatus.REQUEUED and _changed(record, revisions):
        status = RedriveStatus.CHANGED
    if status is RedriveStatus.REQUEUED:
        transitions.redrive(data, record, now)
        uniqueness.take(data, record, now)
    return Redriven(status, data.job(record, now), data.position(record, now))


def promote_now(data: Data, job_id: JobId, now: int) -> PromoteStatus:
    """Queue a Scheduled job before it is due; see Store.promote."""
    record = data.load(job_id, now)
    if isinstance(record, Fault):
        return PromoteStatus(_absent(data, job_id, record))
    if record.state is not State.SCHEDULED:
        return PromoteStatus.NOT_SCHEDULED
    transitions.promote(data, record, now)
    return PromoteStatus.PROMOTED


def delete(data: Data, job_id: JobId, now: int, revisions: Collection[int] | None) -> DeleteStatus:
    """Remove a final job; see Store.delete."""
    record = data.load(job_id, now)
    if isinstance(record, Fault):
        return DeleteStatus(_absent(data, job_id, record))
    if not record.final:
        return DeleteStatus.NOT_FINAL
    if _changed(record, revisions):
        return DeleteStatus.CHANGED
    data.remove(job_id, now)
    return DeleteStatus.DELETED


def _changed(record: Record, revisions: Collection[int] | None) -> bool:
    return revisions is not None and record.revision not in revisions


def _absent(data: Data, job_id: JobId, fault: Fault) -> str:
    """Return the status of a job that cannot be acted on: its value is that of every verb."""
    if fault is Fault.NEWER:
        return "unreadable"
    return "gone" if job_id in data.tombstones else "missing"
