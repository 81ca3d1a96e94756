"""What an event has of its job: as much as Redis keeps of it (lua/lib/event_head.lua)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, Attributes
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.deliveries import MAX_EVENT_BYTES, MAX_EVENT_ERROR_BYTES

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Job, JobError
    from asyncendpoints_core.store.layout_fields import Layout


def as_event(job: Job) -> Job:
    """Return the job without what no delivery shows, its error cut to what fits."""
    attributes = job.attributes
    if attributes is not NO_ATTRIBUTES:
        attributes = msgspec.structs.replace(attributes, lock=None, subject="")
    error = job.error
    if error is not None:
        room = MAX_EVENT_BYTES - tables.JOB.size - tables.RUN.size
        room -= len(job.name.encode()) + _size_of(attributes)
        error = _cut(error, min(MAX_EVENT_ERROR_BYTES, room))
    return msgspec.structs.replace(
        job,
        attempts=(),
        progress=None,
        error=error,
        worker="",
        suspect=False,
        traceparent="",
        attributes=attributes,
    )


def _cut(error: JobError, size: int) -> JobError:
    size = max(0, size - tables.ERROR.size)
    code = error.code.encode()[:size]
    message = error.message.encode()[: size - len(code)]
    return msgspec.structs.replace(
        error, code=code.decode(errors="ignore"), message=message.decode(errors="ignore")
    )


def _optional_bytes(layout: Layout, flag: str) -> int:
    return sum(entry.field.width for entry in layout.optional if entry.flag == flag)


def _size_of(carried: Attributes) -> int:
    """Return the bytes that Redis keeps of what a job carries."""
    parts = {
        "has_tags": ",".join(carried.tags).encode(),
        "has_key": carried.key.encode(),
        "has_schedule": carried.schedule.encode(),
    }
    size = sum(
        _optional_bytes(tables.ATTRIBUTES, flag) + len(part) for flag, part in parts.items() if part
    )
    if carried.parent is not None:
        size += _optional_bytes(tables.ATTRIBUTES, "has_parent")
    if not size:
        return 0
    return size + tables.ATTRIBUTES.size + _optional_bytes(tables.JOB, "has_attributes")
