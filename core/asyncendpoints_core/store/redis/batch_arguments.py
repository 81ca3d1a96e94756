"""The arguments of the scripts that take many items: fixed-size parts first, then all the bytes."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.records import OutcomeKind, Progress
from asyncendpoints_core.store.redis.codec import (
    INLINE_BODY,
    encode_error,
    encode_request,
    encode_result,
    trace_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.jobs.records import Claim, NewJob, Outcome

_NEW: Final = Struct(">16sBHQQBBIIBBI")
_OUTCOME: Final = Struct(">16sQHBBQBHI")
_UPDATE: Final = Struct(">16sQHH")
_FRACTION: Final = Struct(">d")


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
                new.ttl_ms,
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
