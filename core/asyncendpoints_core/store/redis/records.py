"""The stored form of a job's state, and of the items that scripts take.

lua/lib/record.lua is the other side; docs/adr/0001-record-layout.md draws the bytes. A job that
was never claimed, delayed or given an expiry has the short form, every other one the long form.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.errors import StoreVersionError
from asyncendpoints_core.jobs import Job, OutcomeKind, Priority, Progress
from asyncendpoints_core.states import State
from asyncendpoints_core.store.redis.codec import (
    INLINE_BODY,
    Context,
    CorruptRecord,
    encode_error,
    encode_request,
    encode_result,
    read_attempts,
    read_error,
    trace_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.ids import JobId
    from asyncendpoints_core.jobs import Claim, NewJob, Outcome

# The first byte: 10 in its high half, the format's version in its low half.
KIND: Final = 160
VERSION: Final = 1
STATES: Final = tuple(State)
PRIORITIES: Final = tuple(Priority)

# Numbers of six bytes are read as 2 + 4, those of seven as 1 + 2 + 4.
_SHORT = Struct(">BB HI BI H BB")
_LONG = Struct(">BB HI BI H BB HI B HI HI HI BB H HI HI I BHI I HI HI B HHH")
_BASE = Struct(">HI")
_NEW = Struct(">16sBHQQBBIIBBI")
_OUTCOME = Struct(">16sQHBBQBHI")
_UPDATE = Struct(">16sQHH")
_FRACTION = Struct(">d")


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A record read: the job, where its request begins, the size of a body kept apart, if it is."""

    job: Job
    request_at: int
    blob_bytes: int | None
    deadline_ms: int


def read_record(job_id: JobId, data: bytes, context: Context) -> Stored:
    """Read a record, or its state alone. Raises CorruptRecord or StoreVersionError."""
    version = data[0] - KIND if data else 0
    if not 0 < version < 16:
        raise CorruptRecord
    if version > VERSION:
        raise StoreVersionError(f"a job has format {version}; this program reads {VERSION}")
    try:
        return (_read_long if data[1] & 8 else _read_short)(job_id, data, context)
    except (LookupError, ValueError, StructError) as error:
        raise CorruptRecord from error


def _read_short(job_id: JobId, data: bytes, context: Context) -> Stored:
    _, bits, c1, c2, _, _, limit, name_size, trace_size = _SHORT.unpack_from(data)
    base = created = c1 << 32 | c2
    start = 17
    if bits & 128:  # it was accepted after a pause
        high, low = _BASE.unpack_from(data, start)
        base, start = high << 32 | low, 23
    name = start + name_size
    trace = name + trace_size
    if trace > len(data) or bits & 71:
        raise CorruptRecord
    job = Job(
        job_id,
        data[start:name].decode(),
        State.QUEUED,
        PRIORITIES[bits >> 4 & 3],
        0,
        limit,
        0,
        0,
        0,
        "",
        1,
        created,
        created,
        expires_ms=base + context.ttl_ms + context.paused_ms,
        traceparent=data[name:trace].decode(),
    )
    return Stored(job, trace, None, 0)


def _read_long(job_id: JobId, data: bytes, context: Context) -> Stored:
    # fmt: off
    (_, bits, c1, c2, _, _, limit, name_size, trace_size, b1, b2, worker_size, e1, e2, w1, w2,
     d1, d2, crashes, releases, attempt, s1, s2, x1, x2, size, n0, n1, n2, revision, u1, u2,
     f1, f2, runs, error_size, progress_size, history_size) = _LONG.unpack_from(data)
    # fmt: on
    name = 92 + name_size
    trace = name + trace_size
    worker = trace + worker_size
    error = worker + error_size
    progress = error + progress_size
    end = progress + history_size
    if end > len(data):
        raise CorruptRecord
    state, started, finished = STATES[bits & 7], s1 << 32 | s2, f1 << 32 | f2
    job = Job(
        job_id,
        data[92:name].decode(),
        state,
        PRIORITIES[bits >> 4 & 3],
        attempt,
        limit,
        crashes,
        releases,
        n0 << 48 | n1 << 32 | n2,
        data[trace:worker].decode(),
        revision,
        c1 << 32 | c2,
        u1 << 32 | u2,
        w1 << 32 | w2,
        started,
        finished,
        0
        if started and not finished
        else _expires(state, started, finished, e1 << 32 | e2, b1 << 32 | b2, context),
        x1 << 32 | x2,
        _read_progress(data[error:progress]) if progress_size else None,
        read_error(data[worker:error]) if error_size else None,
        read_attempts(data[progress:end]) if runs else (),
        bool(bits & 64),
        data[name:trace].decode() if trace_size else "",
    )
    return Stored(job, end, size if bits & 128 else None, d1 << 32 | d2)


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
    return Progress(_FRACTION.unpack_from(data)[0], str(data[8:], "utf-8"))


def encode_progress(progress: Progress) -> bytes:
    """Return the stored form of a job's progress."""
    return _FRACTION.pack(progress.fraction) + progress.message[:500].encode("utf-8", "replace")


def encode_new(jobs: Sequence[NewJob]) -> tuple[bytes, bytes]:
    """Return the two arguments of the script `enqueue`."""
    items: list[bytes] = []
    parts: list[bytes] = []
    for new in jobs:
        request = new.request
        body = len(request.body)
        inline = body <= INLINE_BODY
        name, trace = new.name.encode(), trace_of(request).encode()
        tail = encode_request(request, inline=inline)
        key = fingerprint = b""
        if new.idempotency is not None:
            key, fingerprint = new.idempotency.key.encode(), new.idempotency.fingerprint
        items.append(
            _NEW.pack(
                new.id,
                new.priority,
                new.max_attempts,
                new.delay_ms,
                new.expires_ms,
                len(name),
                len(trace),
                len(tail),
                0 if inline else body,
                len(key),
                len(fingerprint),
                body,
            )
        )
        parts += (name, trace, tail, b"" if inline else request.body, key, fingerprint)
    return b"".join(items), b"".join(parts)


def encode_outcomes(outcomes: Iterable[Outcome]) -> list[bytes]:
    """Return the arguments of the script `settle`: items, payload, and each worker once."""
    items: list[bytes] = []
    parts: list[bytes] = []
    places: dict[str, int] = {}
    complete = OutcomeKind.COMPLETE
    for outcome in outcomes:
        claim = outcome.claim
        place = places.setdefault(claim.worker, len(places))
        code = message = result = b""
        flags = 0
        if outcome.kind is complete:
            if outcome.result is not None:
                result = encode_result(outcome.result)
        else:
            flags = outcome.started | outcome.final << 1
            if outcome.error is not None:
                code, message = encode_error(outcome.error)
                flags |= 8 | outcome.error.retryable << 2
        items.append(
            _OUTCOME.pack(
                claim.job_id,
                claim.number,
                place,
                outcome.kind,
                flags,
                outcome.delay_ms,
                len(code),
                len(message),
                len(result),
            )
        )
        parts += (code, message, result)
    return [b"".join(items), b"".join(parts), *(worker.encode() for worker in places)]


def encode_updates(updates: Iterable[tuple[Claim, Progress]]) -> list[bytes]:
    """Return the arguments of the script `progress`: items, payload, and each worker once."""
    items, parts = [], []
    places: dict[str, int] = {}
    for claim, progress in updates:
        place = places.setdefault(claim.worker, len(places))
        data = encode_progress(progress)
        items.append(_UPDATE.pack(claim.job_id, claim.number, place, len(data)))
        parts.append(data)
    return [b"".join(items), b"".join(parts), *(worker.encode() for worker in places)]
