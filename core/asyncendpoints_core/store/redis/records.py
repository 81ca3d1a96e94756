"""The stored form of a job, read; codec.py has its request, store/record_layout.py the bytes.

One record is what never changes, the run is what does; a job without a run waits as it was created.
lua/lib/record.lua reads and writes the same in Redis.
"""

from __future__ import annotations

from struct import error as StructError
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, Attributes, Job, Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.redis.codec import (
    Context,
    read_attempts,
    read_attributes,
    read_error,
    read_progress,
)
from asyncendpoints_core.store.redis.python_layout import CorruptRecord, NewerRecord, reader

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId

STATES: Final = tuple(State)
PRIORITIES: Final = tuple(Priority)
# How the records begin that this program reads.
_KNOWN: Final = frozenset(
    bytes((tables.FORMAT_KIND + version,)) for version in range(1, tables.FORMAT_VERSION + 1)
)

_read_job = reader(
    tables.JOB,
    "name priority max_attempts created_at ttl_from trace attributes body_size end",
)
_read_run = reader(
    tables.RUN,
    "name state priority attempt crashes releases claim worker revision updated_at not_before"
    " started_at completed_at cancel_requested_at ttl_from expires_at deadline suspect error"
    " progress history",
)


class Made(msgspec.Struct, frozen=True, gc=False):
    """What of a job never changes. `blob_bytes`: of a body kept apart; `end`: of this part."""

    name: str
    priority: Priority
    max_attempts: int
    created_ms: int
    base_ms: int
    traceparent: str
    blob_bytes: int | None
    end: int
    attributes: Attributes


def _unknown(data: bytes) -> CorruptRecord | NewerRecord:
    """Return what to raise for a record that does not begin as those that this program knows."""
    version, known = data[0] - tables.FORMAT_KIND if data else 0, tables.FORMAT_VERSION
    if known < version < 16:
        return NewerRecord(f"a job has format {version}; this program reads up to {known}")
    return CorruptRecord()


def read_made(data: bytes) -> Made:
    """Read what of a job never changes. Raises CorruptRecord or NewerRecord."""
    if data[:1] not in _KNOWN:
        raise _unknown(data)
    try:
        name, priority, limit, created, ttl_from, trace, attributes, size, end = _read_job(data)
        return Made(
            name.decode(),
            PRIORITIES[priority],
            limit,
            created,
            ttl_from or created,
            trace.decode() if trace else "",
            size,
            end,
            read_attributes(attributes) if attributes else NO_ATTRIBUTES,
        )
    except (LookupError, ValueError, StructError) as error:
        raise CorruptRecord from error


def read_job(job_id: JobId, data: bytes, context: Context) -> Job:
    """Read what record.head of lua/lib makes: a job before its request, then its run if it has one.

    Raises CorruptRecord or NewerRecord.
    """
    made = read_made(data)
    if len(data) > made.end:
        return read_run(job_id, made, data[made.end :], context)[0]
    return Job(
        job_id,
        made.name,
        State.QUEUED,
        made.priority,
        0,
        made.max_attempts,
        0,
        0,
        0,
        "",
        1,
        made.created_ms,
        made.created_ms,
        expires_at_ms=made.base_ms
        + context.ttl_ms
        + context.paused_ms
        + context.still_ms(made.name, made.base_ms),
        traceparent=made.traceparent,
        attributes=made.attributes,
    )


def just_claimed(job_id: JobId, made: Made, number: int, worker: str, now_ms: int) -> Job:
    """Return a job as the script `claim` writes it when it was claimed for the first time."""
    return Job(
        job_id,
        made.name,
        State.IN_PROGRESS,
        made.priority,
        1,
        made.max_attempts,
        0,
        0,
        number,
        worker,
        2,
        made.created_ms,
        now_ms,
        0,
        now_ms,
        traceparent=made.traceparent,
        attributes=made.attributes,
    )


def read_run(job_id: JobId, made: Made, data: bytes, context: Context) -> tuple[Job, int]:
    """Read a run (with or without its result) and its deadline."""
    if data[:1] not in _KNOWN:
        raise _unknown(data)
    try:
        (
            name, state_number, priority, attempt, crashes, releases, claim, worker, revision,
            updated, not_before, started, completed, cancel, ttl_from, own_expiry, deadline,
            suspect, failure, progress, history,
        ) = _read_run(data)  # fmt: skip
        state = STATES[state_number]
        base = ttl_from or made.created_ms
        known_as = name.decode()  # a job that replaced another's input may say another one
        ends = _expires(state, started, completed, own_expiry, base, known_as, context)
        return Job(
            job_id, known_as, state, PRIORITIES[priority], attempt, made.max_attempts, crashes,
            releases, claim, worker.decode(), revision, made.created_ms, updated, not_before,
            started, completed, ends, cancel, read_progress(progress) if progress else None,
            read_error(failure), read_attempts(history) if history else (), suspect,
            made.traceparent, made.attributes,
        ), deadline  # fmt: skip
    except (LookupError, ValueError, StructError) as error:
        raise CorruptRecord from error


def _expires(
    state: State, started: int, finished: int, own: int, base: int, name: str, context: Context
) -> int:
    if finished:
        kept = context.completed_ms if state is State.COMPLETED else context.failed_ms
        return finished + kept
    if started or state is State.IN_PROGRESS:
        return 0
    # Stored in time that stands still while the endpoint is paused.
    own = own or base + context.ttl_ms
    return own + context.paused_ms + context.still_ms(name, base)
