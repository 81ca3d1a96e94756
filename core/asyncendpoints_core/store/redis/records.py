"""The stored form of a job, read; codec.py has its request.

lua/lib/record.lua is the other side; docs/adr/0001-record-layout.md draws the bytes. What never
changes is one record, what does is the run; a job without a run waits as it was made.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.errors import StoreVersionError
from asyncendpoints_core.jobs.records import Job, Priority, Progress
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis.codec import (
    Context,
    CorruptRecord,
    read_attempts,
    read_error,
)

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId

# The first byte: 10 in its high half, the format's version in its low half.
KIND: Final = 160
VERSION: Final = 1
STATES: Final = tuple(State)
PRIORITIES: Final = tuple(Priority)

# Numbers of five, six and seven bytes are read as 1 + 4, 2 + 4 and 1 + 2 + 4.
_JOB: Final = Struct(">BB HI BI H BB")
_RUN: Final = Struct(">BB HI BI H B HI HI HI HI BB H HI HI I BHI I HI HI B HHH B")
_BASE: Final = Struct(">HI")
_SIZE: Final = Struct(">I")
_FRACTION: Final = Struct(">d")
_BASED, _APART = 128, 64


class Made(NamedTuple):
    """What of a job never changes. `blob_bytes`: of a body kept apart; `end`: of this part."""

    name: str
    priority: Priority
    max_attempts: int
    created_ms: int
    base_ms: int
    traceparent: str
    blob_bytes: int | None
    end: int


def _check(data: bytes, least: int) -> None:
    version = data[0] - KIND if data else 0
    if version > VERSION and version < 16:
        raise StoreVersionError(f"a job has format {version}; this program reads {VERSION}")
    if version != VERSION or len(data) < least:
        raise CorruptRecord


def read_made(data: bytes) -> Made:
    """Read what of a job never changes. Raises CorruptRecord or StoreVersionError."""
    _check(data, _JOB.size)
    _, bits, c1, c2, _, _, limit, name_size, trace_size = _JOB.unpack_from(data)
    base = created = c1 << 32 | c2
    at, blob = 17, None
    try:
        if bits & _BASED:  # it was accepted after a pause
            high, low = _BASE.unpack_from(data, at)
            base, at = high << 32 | low, at + 6
        if bits & _APART:
            (blob,) = _SIZE.unpack_from(data, at)
            at += 4
        name = at + name_size
        end = name + trace_size
        if end > len(data) or bits & 15:
            raise CorruptRecord
        trace = data[name:end].decode() if trace_size else ""
        priority = PRIORITIES[bits >> 4 & 3]
        return Made(data[at:name].decode(), priority, limit, created, base, trace, blob, end)
    except (LookupError, ValueError, StructError) as error:
        raise CorruptRecord from error


def read_job(job_id: JobId, data: bytes, context: Context) -> Job:
    """Read what lua/lib/head.lua makes: a job before its request, and then its run if it has one.

    Raises CorruptRecord or StoreVersionError.
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
        expires_at_ms=made.base_ms + context.ttl_ms + context.paused_ms,
        traceparent=made.traceparent,
    )


def just_claimed(job_id: JobId, made: Made, number: int, worker: str, now_ms: int) -> Job:
    """Return a job as the script `claim` left it when it was claimed for the first time."""
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
    )


def read_run(job_id: JobId, made: Made, data: bytes, context: Context) -> tuple[Job, int]:
    """Read a run (with or without its result) and its deadline."""
    _check(data, _RUN.size)
    try:
        # fmt: off
        (_, bits, _, _, _, _, _, name_size, b1, b2, e1, e2, w1, w2, d1, d2, crashes, releases,
         attempt, s1, s2, x1, x2, _, n0, n1, n2, revision, u1, u2, f1, f2, runs, error_size,
         progress_size, history_size, worker_size) = _RUN.unpack_from(data)
        # fmt: on
        worker = 91 + worker_size
        failure = worker + error_size
        progress = failure + progress_size
        end = progress + history_size
        if end + name_size > len(data):
            raise CorruptRecord
        state, started, finished = STATES[bits & 7], s1 << 32 | s2, f1 << 32 | f2
        base = b1 << 32 | b2 or made.created_ms
        job = Job(
            job_id,
            data[end : end + name_size].decode(),
            state,
            PRIORITIES[bits >> 4 & 3],
            attempt,
            made.max_attempts,
            crashes,
            releases,
            n0 << 48 | n1 << 32 | n2,
            data[91:worker].decode(),
            revision,
            made.created_ms,
            u1 << 32 | u2,
            w1 << 32 | w2,
            started,
            finished,
            _expires(state, started, finished, e1 << 32 | e2, base, context),
            x1 << 32 | x2,
            _read_progress(data[failure:progress]) if progress_size else None,
            read_error(data[worker:failure]) if error_size else None,
            read_attempts(data[progress:end]) if runs else (),
            bool(bits & 64),
            made.traceparent,
        )
    except (LookupError, ValueError, StructError) as error:
        raise CorruptRecord from error
    return job, d1 << 32 | d2


def _expires(
    state: State, started: int, finished: int, own: int, base: int, context: Context
) -> int:
    if finished:
        kept = context.completed_ms if state is State.COMPLETED else context.failed_ms
        return finished + kept
    if started or state is State.IN_PROGRESS:
        return 0
    # Stored in time that stands still while the endpoint is paused.
    return (own or base + context.ttl_ms) + context.paused_ms


def _read_progress(data: bytes) -> Progress:
    return Progress(_FRACTION.unpack_from(data)[0], data[8:].decode())
