"""The verbs of clients: create jobs, look at them, end them."""

from __future__ import annotations

from struct import iter_unpack
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.ids import JobId
from asyncendpoints_core.jobs import Job, Result
from asyncendpoints_core.states import State
from asyncendpoints_core.store.protocol import Enqueued, EnqueueStatus, Found
from asyncendpoints_core.store.redis.caller import Caller
from asyncendpoints_core.store.redis.codec import Context, decode_result, trace_of
from asyncendpoints_core.store.redis.records import encode_new, read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs import NewJob

_STATUS: Final = {
    "c": EnqueueStatus.CREATED,
    "e": EnqueueStatus.CREATED,
    "r": EnqueueStatus.REPLAYED,
    "R": EnqueueStatus.REPLAYED,
    "m": EnqueueStatus.MISMATCH,
    "f": EnqueueStatus.FULL,
    "x": EnqueueStatus.CLOSED,
}


def created(new: NewJob, context: Context) -> Job:
    """Return the job that the script made of `new`."""
    now = context.now_ms
    due = now + new.delay_ms if new.delay_ms else 0
    ends = now + new.expires_ms if new.expires_ms else (due or now) + context.ttl_ms
    return Job(
        new.id,
        new.name,
        State.SCHEDULED if due else State.QUEUED,
        new.priority,
        0,
        new.max_attempts,
        0,
        0,
        0,
        "",
        1,
        now,
        now,
        due,
        expires_ms=ends,
        traceparent=trace_of(new.request),
    )


class JobVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Create jobs."""
        if not jobs:
            return []
        raw, statuses, aheads, *heads = await self._caller.run("enqueue", *encode_new(jobs))
        context, rest = Context.read(raw), iter(heads)
        answers = []
        for new, status, (ahead,) in zip(
            jobs, statuses.decode(), iter_unpack(">I", aheads), strict=True
        ):
            job = None
            if status == "c":
                job = created(new, context)
            elif status in "er":
                head = next(rest)
                job = read_record(JobId(head[:16]), head[16:], context).job
            answers.append(Enqueued(_STATUS[status], job, ahead))
        return answers

    async def get(self, ids: Sequence[JobId]) -> list[Found]:
        """Look jobs up."""
        if not ids:
            return []
        raw, aheads, *heads = await self._caller.run("get", b"".join(ids))
        context = Context.read(raw)
        return [
            self._found(job_id, head, ahead, context)
            for job_id, head, (ahead,) in zip(ids, heads, iter_unpack(">I", aheads), strict=True)
        ]

    @staticmethod
    def _found(job_id: JobId, head: bytes, ahead: int, context: Context) -> Found:
        if len(head) < 2:
            return Found(gone=head == b"g")
        return Found(read_record(job_id, head, context).job, ahead=ahead)

    async def result(self, job_id: JobId) -> tuple[Found, Result | None]:
        """Look one job up with its result."""
        raw, aheads, head, result = await self._caller.run("result", job_id)
        found = self._found(job_id, head, int.from_bytes(aheads, "big"), Context.read(raw))
        return found, decode_result(result) if result else None
