"""The arguments of the scripts that take many items: the fixed fields of all, then their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, OutcomeKind
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.redis.codec import (
    INLINE_BODY,
    encode_attributes,
    encode_error,
    encode_progress,
    encode_request,
    encode_result,
    trace_of,
)
from asyncendpoints_core.store.redis.python_layout import arranger, packer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.jobs.records import Claim, NewJob, Outcome, Progress

_pack_new = packer(
    messages.NEW_JOB,
    "id priority on_conflict max_attempts delay_ms ttl_ms name_size trace_size attributes_size"
    " content_size blob_size key_size fingerprint_size body_size",
)
_arrange_new = arranger(messages.NEW_JOB, "content blob key fingerprint")
_arrange_content = arranger(tables.JOB, "name trace attributes request")
_pack_outcome = packer(
    messages.OUTCOME,
    "id claim worker_index kind flags delay_ms code_size message_size result_size",
)
_arrange_outcome = arranger(messages.OUTCOME, "code message result")
_pack_update = packer(messages.UPDATE, "id claim worker_index progress_size")
_FLAGS: Final = {bits.name: bits.mask for bits in messages.OUTCOME.bits}
_STARTED, _FINAL = _FLAGS["started"], _FLAGS["final"]
_RETRYABLE, _HAS_ERROR = _FLAGS["retryable"], _FLAGS["has_error"]


def is_plain(new: NewJob) -> bool:
    """Return whether a job has no attributes. Comparing objects by their fields costs more."""
    return new.attributes is NO_ATTRIBUTES or new.attributes == NO_ATTRIBUTES


def encode_new(jobs: Sequence[NewJob]) -> tuple[bytes, bytes]:
    """Return the two arguments of the script `enqueue`."""
    items: list[bytes] = []
    parts: list[bytes] = []
    for new in jobs:
        request = new.request
        body = len(request.body)
        inline = body <= INLINE_BODY
        name, trace = new.name.encode(), trace_of(request).encode()
        encoded = encode_request(request, inline=inline)
        attributes = b"" if is_plain(new) else encode_attributes(new.attributes)
        key = fingerprint = b""
        content = b"".join(_arrange_content(name, trace, attributes, encoded))
        if new.idempotency is not None:
            key, fingerprint = new.idempotency.key.encode(), new.idempotency.fingerprint
        blob = b"" if inline else request.body
        items.append(
            _pack_new(
                new.id,
                new.priority,
                new.on_conflict + 1 if attributes and new.attributes.lock is not None else 0,
                new.max_attempts,
                new.delay_ms,
                new.ttl_ms,
                len(name),
                len(trace),
                len(attributes),
                len(content),
                len(blob),
                len(key),
                len(fingerprint),
                body,
            )
        )
        parts += _arrange_new(content, blob, key, fingerprint)
    return b"".join(items), b"".join(parts)


def encode_outcomes(outcomes: Iterable[Outcome]) -> list[bytes]:
    """Return the arguments of the script `settle`: items, payload, and each worker once."""
    items: list[bytes] = []
    parts: list[bytes] = []
    workers: dict[str, int] = {}
    complete = OutcomeKind.COMPLETE
    for outcome in outcomes:
        claim = outcome.claim
        index = workers.setdefault(claim.worker, len(workers))
        code = message = result = b""
        flags = 0
        if outcome.kind is complete:
            if outcome.result is not None:
                result = encode_result(outcome.result)
            parts.append(result)
        else:
            flags = outcome.started * _STARTED | outcome.final * _FINAL
            if outcome.error is not None:
                code, message = encode_error(outcome.error)
                flags |= _HAS_ERROR | outcome.error.retryable * _RETRYABLE
            parts += _arrange_outcome(code, message, result)
        items.append(
            _pack_outcome(
                claim.job_id,
                claim.number,
                index,
                outcome.kind,
                flags,
                outcome.delay_ms,
                len(code),
                len(message),
                len(result),
            )
        )
    return [b"".join(items), b"".join(parts), *(worker.encode() for worker in workers)]


def encode_with_children(outcomes: Sequence[Outcome]) -> list[bytes]:
    """Return the arguments of the script `settle_with_children`."""
    items, parts, *workers = encode_outcomes(outcomes)
    counts = bytes(len(outcome.children) for outcome in outcomes)
    children = [child for outcome in outcomes for child in outcome.children]
    return [items, parts, counts, *encode_new(children), *workers]


def encode_updates(updates: Iterable[tuple[Claim, Progress]]) -> list[bytes]:
    """Return the arguments of the script `progress`: items, payload, and each worker once."""
    items: list[bytes] = []
    parts: list[bytes] = []
    workers: dict[str, int] = {}
    for claim, progress in updates:
        index = workers.setdefault(claim.worker, len(workers))
        data = encode_progress(progress)
        items.append(_pack_update(claim.job_id, claim.number, index, len(data)))
        parts.append(data)
    return [b"".join(items), b"".join(parts), *(worker.encode() for worker in workers)]
