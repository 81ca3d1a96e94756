"""Records the calls of a store in a file, for proofs of what the system promises.

Off unless the setting `history_folder` names a folder. Each call is one JSON object on a line of
`FOLDER/ROLE-PID-….jsonl`, written in one system call when the reply is known, so that it survives
a SIGKILL. docs/reliability.md describes the fields; tests/support/history checks the files.
"""

from __future__ import annotations

import functools
import json
import os
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncendpoints_core.jobs.ids import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Claim, Job, NewJob, Outcome, Progress
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import (
        Canceled,
        ClaimBatch,
        DeleteStatus,
        Enqueued,
        Recovery,
        Redriven,
        Released,
        Settled,
        SettleStatus,
        WorkerInfo,
    )

S = TypeVar("S", bound="Store")
Fields = dict[str, Any]


def record_history(store: S, folder: Path | None, role: str) -> S:
    """Return `store`; if there is a folder, every call of the verbs below is recorded in it."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{role}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        for verb, describe in DESCRIPTIONS.items():
            setattr(store, verb, _recorded(getattr(store, verb), verb, describe, file))
    return store


def _recorded(
    call: Callable[..., Awaitable[Any]], verb: str, describe: Callable[..., Fields], file: int
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(call)
    async def recorded(*arguments: Any, **options: Any) -> Any:
        fields: Fields = {"verb": verb, "at": time.time_ns() // 1_000_000}
        fields["begun"] = time.monotonic_ns()
        reply, error = None, None
        try:
            reply = await call(*arguments, **options)
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            fields["ended"] = time.monotonic_ns()
            if error is not None:
                fields["error"] = error
            fields |= describe(reply, *arguments, **options)
            os.write(file, json.dumps(fields, separators=(",", ":")).encode() + b"\n")
        return reply

    return recorded


def _pairs(asked: Sequence[Any], reply: Sequence[Any] | None) -> Iterable[tuple[Any, Any]]:
    """Pair each item of a batch with its reply, None if the call failed."""
    return zip(asked, reply if reply is not None else [None] * len(asked), strict=True)


def _claim(claim: Claim) -> Fields:
    return {"job": text(claim.job_id), "claim": claim.number, "worker": claim.worker}


def _state(job: Job | None) -> str | None:
    return None if job is None else job.state.value


def _enqueue(reply: list[Enqueued] | None, jobs: Sequence[NewJob]) -> Fields:
    return {
        "items": [
            {
                "job": text(new.id),
                "name": new.name,
                "key": new.idempotency and new.idempotency.key,
                "priority": int(new.priority),
                "delay_ms": new.delay_ms,
                "status": answer and answer.status.value,
                "is": text(answer.job.id) if answer and answer.job else None,
            }
            for new, answer in _pairs(jobs, reply)
        ]
    }


def _claimed(reply: ClaimBatch | None, worker: str, request: int, *_: object) -> Fields:
    items = [
        {"job": text(each.claim.job_id), "claim": each.claim.number, "attempt": each.job.attempt}
        for each in (reply.jobs if reply else ())
    ]
    return {"worker": worker, "request": request, "items": items}


def _settle(reply: list[Settled] | None, outcomes: Sequence[Outcome]) -> Fields:
    return {
        "items": [
            {
                **_claim(outcome.claim),
                "kind": outcome.kind.name,
                "started": outcome.started,
                "status": answer and answer.status.value,
                "state": answer and answer.state and answer.state.value,
                **_children(outcome),
            }
            for outcome, answer in _pairs(outcomes, reply)
        ]
    }


def _children(outcome: Outcome) -> Fields:
    children = [text(child.id) for child in outcome.children]
    return {"children": children} if children else {}


def _progress(
    reply: list[SettleStatus] | None, updates: Sequence[tuple[Claim, Progress]]
) -> Fields:
    return {
        "items": [
            {**_claim(claim), "fraction": progress.fraction, "status": status and status.value}
            for (claim, progress), status in _pairs(updates, reply)
        ]
    }


def _per_job(
    reply: Sequence[Canceled | Redriven] | None, ids: Sequence[JobId], **_: object
) -> Fields:
    return {
        "items": [
            {
                "job": text(job_id),
                "status": answer and answer.status.value,
                "state": answer and _state(answer.job),
            }
            for job_id, answer in _pairs(ids, reply)
        ]
    }


def _delete(reply: Sequence[DeleteStatus] | None, ids: Sequence[JobId], **_: object) -> Fields:
    return {
        "items": [
            {"job": text(job_id), "status": status and status.value}
            for job_id, status in _pairs(ids, reply)
        ]
    }


def _register(_: None, worker: WorkerInfo) -> Fields:
    return {"worker": worker.id, "pod": worker.pod}


def _release_worker(
    reply: Released | None,
    worker: str,
    cause: str,
    started: Sequence[JobId] | None = None,
    how: str = "",
) -> Fields:
    named = None if started is None else [text(job_id) for job_id in started]
    counts = {
        field: getattr(reply, field)
        for field in ("requeued", "charged", "suspected", "failed", "canceled")
        if reply is not None
    }
    return {"worker": worker, "cause": str(cause), "started": named, "how": how, **counts}


def _reconcile(reply: int | None, worker: str, held: Sequence[Claim]) -> Fields:
    return {"worker": worker, "released": reply, "items": [_claim(claim) for claim in held]}


def _recover(reply: Recovery | None) -> Fields:
    if reply is None:
        return {}
    return {
        "expired": list(reply.expired),
        "leases_extended": reply.leases_extended,
        "overdue": [_claim(each.claim) for each in reply.overdue],
        "orphaned": [_claim(claim) for claim in reply.orphaned],
    }


DESCRIPTIONS: Final[dict[str, Callable[..., Fields]]] = {
    "enqueue": _enqueue,
    "register": _register,
    "claim": _claimed,
    "claim_next": _claimed,
    "settle": _settle,
    "progress": _progress,
    "cancel": _per_job,
    "redrive": _per_job,
    "delete": _delete,
    "release_worker": _release_worker,
    "reconcile": _reconcile,
    "recover": _recover,
}
