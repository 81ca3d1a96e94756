"""The arguments of `settle` and `progress`: the fixed fields of all items, then their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.records import OutcomeKind
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store.redis.codec import encode_error, encode_progress, encode_result
from asyncendpoints_core.store.redis.enqueue import encode_new
from asyncendpoints_core.store.redis.python_layout import arranger, packer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.jobs.records import Claim, Outcome, Progress

_pack_outcome = packer(
    messages.OUTCOME,
    "id claim worker_index kind flags delay_ms code_size message_size result_size",
)
_arrange_outcome = arranger(messages.OUTCOME, "code message result")
_pack_update = packer(messages.UPDATE, "id claim worker_index progress_size")
_FLAGS: Final = {bits.name: bits.mask for bits in messages.OUTCOME.bits}
_STARTED, _FINAL = _FLAGS["started"], _FLAGS["final"]
_RETRYABLE, _HAS_ERROR = _FLAGS["retryable"], _FLAGS["has_error"]


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
