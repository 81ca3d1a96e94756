"""The stored form of a job: magic, version and MessagePack.

Because bytes are stored, as in Redis, every reply is a deep copy: no change by a caller reaches the
store.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import (
    NO_ATTRIBUTES,
    Attempt,
    Attributes,
    Job,
    JobError,
    Priority,
    Progress,
    Request,
    Result,
)
from asyncendpoints_core.jobs.states import FINAL, State

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import NewJob

Value = TypeVar("Value")
MAGIC: Final = 174
VERSION: Final = 1


class Fault(Enum):
    """Why a record cannot be read."""

    MISSING = 0
    CORRUPT = 1
    NEWER = 2


class Record(msgspec.Struct, array_like=True):
    """A job's mutable state. Beyond `Job`: `seq` is its queue position, kept across releases,
    `ready_ms` since when it waits there, `eligible_ms` when a suspect may run. `base_ms` is the
    start of its default time to live, `limit_ms` the end that its client requested (0 = none),
    `paused_ms` how long the queue had been paused when these were set. `size` is its body's length.
    """

    id: JobId
    name: str
    state: State
    priority: Priority
    max_attempts: int
    created_ms: int
    updated_ms: int
    size: int
    base_ms: int
    limit_ms: int
    paused_ms: int
    seq: int = 0
    ready_ms: int = 0
    eligible_ms: int = 0
    attempt: int = 0
    crashes: int = 0
    releases: int = 0
    claim: int = 0
    worker: str = ""
    revision: int = 1
    not_before_ms: int = 0
    started_ms: int = 0
    deadline_ms: int = 0
    completed_ms: int = 0
    cancel_requested_ms: int = 0
    progress: Progress | None = None
    error: JobError | None = None
    attempts: tuple[Attempt, ...] = ()
    suspect: bool = False
    traceparent: str = ""
    key: str = ""
    attributes: Attributes | None = None

    @property
    def final(self) -> bool:
        """Whether it is in a final state."""
        return self.state in FINAL

    def as_job(self, expires_at_ms: int) -> Job:
        """Return the job without what is internal to the store."""
        return Job(
            id=self.id,
            name=self.name,
            state=self.state,
            priority=self.priority,
            attempt=self.attempt,
            max_attempts=self.max_attempts,
            crashes=self.crashes,
            releases=self.releases,
            claim=self.claim,
            worker=self.worker,
            revision=self.revision,
            created_ms=self.created_ms,
            updated_ms=self.updated_ms,
            not_before_ms=self.not_before_ms,
            started_ms=self.started_ms,
            completed_ms=self.completed_ms,
            expires_at_ms=expires_at_ms,
            cancel_requested_ms=self.cancel_requested_ms,
            progress=self.progress,
            error=self.error,
            attempts=self.attempts,
            suspect=self.suspect,
            traceparent=self.traceparent,
            attributes=self.attributes or NO_ATTRIBUTES,
        )


def new_record(new: NewJob, now: int, paused_ms: int) -> Record:
    """Return the record of a job accepted at `now`; without a position yet."""
    not_before = now + new.delay_ms if new.delay_ms else 0
    return Record(
        id=new.id,
        name=new.name,
        state=State.SCHEDULED if not_before else State.QUEUED,
        priority=new.priority,
        max_attempts=new.max_attempts,
        created_ms=now,
        updated_ms=now,
        size=len(new.request.body),
        base_ms=max(now, not_before),
        limit_ms=now + new.ttl_ms if new.ttl_ms else 0,
        paused_ms=paused_ms,
        not_before_ms=not_before,
        traceparent=new.request.headers.get("traceparent", ""),
        key=new.idempotency.key if new.idempotency else "",
        attributes=None if new.attributes == NO_ATTRIBUTES else new.attributes,
    )


_records = msgspec.msgpack.Decoder(Record)
_requests = msgspec.msgpack.Decoder(Request)
_results = msgspec.msgpack.Decoder(Result)
_encode = msgspec.msgpack.Encoder().encode
_PREFIX: Final = bytes([MAGIC, VERSION])


def encode(value: Record | Request | Result) -> bytes:
    """Return the stored form."""
    return _PREFIX + _encode(value)


def _decoded(decoder: msgspec.msgpack.Decoder[Value], data: bytes | None) -> Value | Fault:
    if data is None:
        return Fault.MISSING
    if len(data) < 2 or data[0] != MAGIC or data[1] < VERSION:
        return Fault.CORRUPT
    if data[1] > VERSION:
        return Fault.NEWER
    try:
        return decoder.decode(memoryview(data)[2:])
    except msgspec.DecodeError:
        return Fault.CORRUPT


def decode_record(data: bytes | None) -> Record | Fault:
    """Read a record's stored form."""
    return _decoded(_records, data)


def decode_request(data: bytes | None) -> Request | Fault:
    """Read a request's stored form."""
    return _decoded(_requests, data)


def decode_result(data: bytes | None) -> Result | None:
    """Read a result's stored form; None if it is missing or cannot be read."""
    found = _decoded(_results, data)
    return None if isinstance(found, Fault) else found
