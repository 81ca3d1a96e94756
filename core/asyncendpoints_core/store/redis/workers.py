"""The verbs of workers: register, claim, settle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.ids import JobId
from asyncendpoints_core.jobs import Claim, ClaimedJob
from asyncendpoints_core.store.protocol import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    ClaimBatch,
    Settled,
    SettleStatus,
    WorkerInfo,
)
from asyncendpoints_core.store.redis.caller import Caller
from asyncendpoints_core.store.redis.codec import Context, decode_request
from asyncendpoints_core.store.redis.records import STATES, encode_outcomes, read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs import Outcome

_SETTLED: Final = {
    ord("a"): SettleStatus.APPLIED,
    ord("d"): SettleStatus.ALREADY,
    ord("s"): SettleStatus.STALE,
    ord("g"): SettleStatus.GONE,
}
_encode = msgspec.msgpack.Encoder().encode


class WorkerVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def register(self, worker: WorkerInfo) -> None:
        """Begin a worker's lease."""
        if not await self._caller.run("register", worker.id.encode(), _encode(worker)):
            raise WorkerGone(f"worker {worker.id} has gone before")

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        """Take up to `limit` jobs."""
        args = (b"%d" % request, b"%d" % min(limit, MAX_BATCH), b"%d" % MAX_BATCH_BYTES)
        raw, word, *rest = await self._caller.run("claim", worker.encode(), *args, again=False)
        if word == b"gone":
            raise WorkerGone(f"worker {worker} has no lease")
        flags, due, ids, *records = rest
        jobs = self._claimed(worker, ids, iter(records), Context.read(raw))
        return ClaimBatch(
            jobs,
            more=flags[0] == 49,
            next_due_ms=int(due) if due[0] != 45 else None,
            drain=flags[1] == 49,
            alone=flags[2] == 49,
            refused="" if word == b"ok" else word.decode(),
        )

    def _claimed(
        self, worker: str, ids: bytes, records: Any, context: Context
    ) -> tuple[ClaimedJob, ...]:
        jobs = []
        for at in range(0, len(ids), 16):
            job_id, data = JobId(ids[at : at + 16]), next(records)
            stored = read_record(job_id, data, context)
            job = stored.job
            blob = next(records) if stored.blob_bytes else None
            request = decode_request(data[stored.request_at :], job.traceparent, blob)
            claim = Claim(job_id, job.claim, worker)
            jobs.append(ClaimedJob(claim, job, request, stored.deadline_ms))
        return tuple(jobs)

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        """Apply outcomes."""
        if not outcomes:
            return []
        reply = await self._caller.run("settle", *encode_outcomes(outcomes))
        return [
            Settled(
                _SETTLED[reply[at]], STATES[reply[at + 1] - 48] if reply[at + 1] != 45 else None
            )
            for at in range(0, len(reply), 2)
        ]
