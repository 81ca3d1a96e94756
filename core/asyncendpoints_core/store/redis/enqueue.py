"""The verb that creates jobs: what its script gets, and what its reply says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.redis.codec import (
    INLINE_BODY,
    Context,
    encode_attributes,
    encode_request,
    trace_of,
)
from asyncendpoints_core.store.redis.jobs import positions_of, read_or_quarantine
from asyncendpoints_core.store.redis.python_layout import arranger, packer
from asyncendpoints_core.store.replies import Enqueued, EnqueueStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.records import NewJob
    from asyncendpoints_core.store.redis.caller import Caller

_ENQUEUED: Final = {
    "c": EnqueueStatus.CREATED,
    "e": EnqueueStatus.CREATED,
    "r": EnqueueStatus.REPLAYED,
    "R": EnqueueStatus.REPLAYED,
    "m": EnqueueStatus.MISMATCH,
    "f": EnqueueStatus.FULL,
    "k": EnqueueStatus.KEY_FULL,
    "x": EnqueueStatus.CLOSED,
    "u": EnqueueStatus.EXISTING,
    "p": EnqueueStatus.REPLACED,
    "d": EnqueueStatus.DUPLICATE,
    "w": EnqueueStatus.RECEIVERS_FULL,
}
_ID_SIZE: Final = tables.IDS.size
_pack_new = packer(
    messages.NEW_JOB,
    "id priority on_conflict max_attempts delay_ms ttl_ms name_size trace_size attributes_size"
    " content_size blob_size key_size fingerprint_size body_size",
)
_arrange_new = arranger(messages.NEW_JOB, "content blob key fingerprint")
_arrange_content = arranger(tables.JOB, "name trace attributes request")


class EnqueueVerb:
    """Part of RedisStore."""

    _caller: Caller

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Create jobs; safe to send again, by their ids."""
        plain = [new for new in jobs if is_plain(new)]
        if len(plain) == len(jobs) or await self._caller.use_features():
            return await self._enqueue(jobs, len(plain) < len(jobs))
        answers = iter(await self._enqueue(plain, False))
        refused = Enqueued(EnqueueStatus.UNSUPPORTED)
        return [next(answers) if is_plain(new) else refused for new in jobs]

    async def _enqueue(self, jobs: Sequence[NewJob], featured: bool) -> list[Enqueued]:
        if not jobs:
            return []
        arguments = encode_new(jobs)
        reply, _ = await self._caller.execute(
            "enqueue", *arguments, durably=True, featured=featured
        )
        raw, statuses, positions, *heads = reply
        context, rest = Context.read(raw), iter(heads)
        answers = []
        for new, status, position in zip(
            jobs, statuses.decode(), positions_of(positions), strict=True
        ):
            job, means = None, _ENQUEUED[status]
            if status == "c":
                job = created(new, context)
            elif status in "erupdw":
                head = next(rest)
                found = await read_or_quarantine(
                    self._caller, JobId(head[:_ID_SIZE]), head[_ID_SIZE:], position, context
                )
                job = found.job
                means = EnqueueStatus.UNREADABLE if found.unreadable else means
            answers.append(
                Enqueued(means, job, position, new.attributes.key if status == "k" else "")
            )
        return answers


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


def created(new: NewJob, context: Context) -> Job:
    """Return the job that the script made of `new`."""
    now = context.now_ms
    due = now + new.delay_ms if new.delay_ms else 0
    ends = now + new.ttl_ms if new.ttl_ms else (due or now) + context.ttl_ms
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
        expires_at_ms=ends,
        traceparent=trace_of(new.request),
        attributes=new.attributes,
    )
