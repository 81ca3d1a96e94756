"""The verbs of clients: look at jobs, end them, run them again. enqueue.py creates them."""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncendpoints_core.errors import RecordError, StoreUnavailable
from asyncendpoints_core.jobs.ids import JobId, text
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store.listing import Inspected, held_back
from asyncendpoints_core.store.positions import Position
from asyncendpoints_core.store.redis.codec import Context, decode_request, decode_result
from asyncendpoints_core.store.redis.python_layout import CorruptRecord, NewerRecord, struct_of
from asyncendpoints_core.store.redis.records import read_job, read_made, read_run
from asyncendpoints_core.store.replies import (
    Canceled,
    CancelStatus,
    DeleteStatus,
    Found,
    PromoteStatus,
    Redriven,
    RedriveStatus,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

    from asyncendpoints_core.jobs.records import Job, Result
    from asyncendpoints_core.store.redis.caller import Caller

_CANCELED: Final = {
    ord("c"): CancelStatus.CANCELED,
    ord("r"): CancelStatus.REQUESTED,
    ord("f"): CancelStatus.FINAL,
    ord("p"): CancelStatus.CHANGED,
    ord("b"): CancelStatus.UNREADABLE,
    ord("v"): CancelStatus.UNREADABLE,
    ord("m"): CancelStatus.MISSING,
    ord("g"): CancelStatus.GONE,
}
_REDRIVEN: Final = {
    ord("q"): RedriveStatus.REQUEUED,
    ord("n"): RedriveStatus.NOT_RETRYABLE,
    ord("f"): RedriveStatus.FULL,
    ord("x"): RedriveStatus.CLOSED,
    ord("u"): RedriveStatus.DUPLICATE,
    ord("p"): RedriveStatus.CHANGED,
    ord("b"): RedriveStatus.UNREADABLE,
    ord("v"): RedriveStatus.UNREADABLE,
    ord("m"): RedriveStatus.MISSING,
    ord("g"): RedriveStatus.GONE,
}
_DELETED: Final = {
    ord("d"): DeleteStatus.DELETED,
    ord("n"): DeleteStatus.NOT_FINAL,
    ord("p"): DeleteStatus.CHANGED,
    ord("b"): DeleteStatus.UNREADABLE,
    ord("v"): DeleteStatus.UNREADABLE,
    ord("m"): DeleteStatus.MISSING,
    ord("g"): DeleteStatus.GONE,
}
_PROMOTED: Final = {
    ord("p"): PromoteStatus.PROMOTED,
    ord("n"): PromoteStatus.NOT_SCHEDULED,
    ord("v"): PromoteStatus.UNREADABLE,
    ord("m"): PromoteStatus.MISSING,
    ord("g"): PromoteStatus.GONE,
}
_POSITION: Final = struct_of(messages.POSITION.fields)
# A script's answer for a record that it cannot read, which is quarantined.
_UNREADABLE: Final = ord("b")
_T = TypeVar("_T")


async def read_or_quarantine(
    caller: Caller, job_id: JobId, head: bytes, position: Position, context: Context
) -> Found:
    """Read a job; quarantine one that cannot be read, and return its replacement."""
    # At first only what the scripts cannot read: another process may have replaced it by now.
    for whole in (False, True):
        try:
            return Found(read_job(job_id, head, context), position=position)
        except NewerRecord:
            return Found(unreadable=True)
        except CorruptRecord:
            await caller.quarantine([job_id], whole=whole)
        raw, _, head = await caller.run("get", job_id)
        if len(head) < 2:
            return Found()
        context = Context.read(raw)
    job = _read_or_none(job_id, head, context)
    return Found(job, position=position, unreadable=job is None)


def positions_of(packed: bytes) -> Iterator[Position]:
    """Return the positions in a reply."""
    return starmap(Position, _POSITION.iter_unpack(packed))


class JobVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def get(self, ids: Sequence[JobId]) -> list[Found]:
        """Look jobs up."""
        if not ids:
            return []
        raw, positions, *heads = await self._caller.run("get", b"".join(ids))
        context = Context.read(raw)
        return [
            await self._found(job_id, head, position, context)
            for job_id, head, position in zip(ids, heads, positions_of(positions), strict=True)
        ]

    async def _found(
        self, job_id: JobId, head: bytes, position: Position, context: Context
    ) -> Found:
        if not head:
            return Found()
        if head == b"g":
            return Found(gone=True)
        return await read_or_quarantine(self._caller, job_id, head, position, context)

    async def result(self, job_id: JobId) -> tuple[Found, Result | None]:
        """Look one job up with its result. Raises RecordError for one that cannot be read."""
        raw, packed, head, data = await self._caller.run("result", job_id)
        (position,) = positions_of(packed)
        found = await self._found(job_id, head, position, Context.read(raw))
        try:
            return found, decode_result(data) if data else None
        except CorruptRecord:
            raise RecordError(f"the result of job {text(job_id)} cannot be read") from None

    async def inspect(self, ids: Sequence[JobId], *, bodies: bool = False) -> list[Inspected]:
        """Look jobs up with their requests."""
        if not ids:
            return []
        raw, positions, *flat = await self._caller.run(
            "inspect", b"".join(ids), b"1" if bodies else b"0"
        )
        context = Context.read(raw)
        entries = zip(*(flat[field::5] for field in range(5)), strict=True)
        answers = []
        for job_id, entry, position in zip(ids, entries, positions_of(positions), strict=True):
            found = await self._found(job_id, entry[0], position, context)
            try:
                answers.append(_inspected(found, entry, context))
            except (CorruptRecord, NewerRecord):
                answers.append(Inspected(found))
        return answers

    async def cancel(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[Canceled]:
        """Cancel waiting jobs, request the cancel of running ones."""
        if not ids:
            return []
        (raw, *entries), resent = await self._caller.execute(
            "cancel", b"".join(ids), _named(revisions)
        )
        context = Context.read(raw)
        answers = []
        for job_id, entry in zip(ids, entries, strict=True):
            status, job = _CANCELED[entry[0]], _job(job_id, entry, context)
            if len(entry) > 1 and job is None:
                status = CancelStatus.UNREADABLE
            # Its reply was lost: the first time made it final, or another caller did.
            if resent and status is CancelStatus.FINAL and job and job.state is State.CANCELED:
                status = CancelStatus.CANCELED
            answers.append(Canceled(status, job))
        return await self._again(_unreadable(ids, entries), ids, answers, self.cancel, revisions)

    async def redrive(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[Redriven]:
        """Queue Failed or Canceled jobs again."""
        if not ids:
            return []
        (raw, positions, *entries), resent = await self._caller.execute(
            "redrive", b"".join(ids), _named(revisions), durably=True
        )
        context = Context.read(raw)
        answers = []
        for job_id, entry, position in zip(ids, entries, positions_of(positions), strict=True):
            status, job = _REDRIVEN[entry[0]], _job(job_id, entry, context)
            if len(entry) > 1 and job is None:
                status = RedriveStatus.UNREADABLE
            if resent and status is RedriveStatus.NOT_RETRYABLE and job and not job.final:
                status = RedriveStatus.REQUEUED
            if resent and status is RedriveStatus.CHANGED:  # by the lost call, or before it
                raise StoreUnavailable("the reply was lost, and the job has changed since")
            answers.append(Redriven(status, job, position))
        return await self._again(_unreadable(ids, entries), ids, answers, self.redrive, revisions)

    async def promote(self, ids: Sequence[JobId]) -> list[PromoteStatus]:
        """Queue Scheduled jobs now."""
        if not ids:
            return []
        letters, resent = await self._caller.execute("promote", b"".join(ids))
        answers = [_PROMOTED[letter] for letter in letters]
        if resent:  # the first time may have done it
            late = PromoteStatus.NOT_SCHEDULED
            answers = [PromoteStatus.PROMOTED if each is late else each for each in answers]
        return answers

    async def delete(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[DeleteStatus]:
        """Remove final jobs now."""
        if not ids:
            return []
        letters, resent = await self._caller.execute("delete", b"".join(ids), _named(revisions))
        answers = [_DELETED[letter] for letter in letters]
        if resent:
            gone = DeleteStatus.GONE
            answers = [DeleteStatus.DELETED if answer is gone else answer for answer in answers]
        unreadable = [i for i, letter in zip(ids, letters, strict=True) if letter == _UNREADABLE]
        return await self._again(unreadable, ids, answers, self.delete, revisions)

    async def _again(
        self,
        unreadable: list[JobId],
        ids: Sequence[JobId],
        answers: list[_T],
        verb: Callable[..., Awaitable[list[_T]]],
        revisions: Collection[int] | None,
    ) -> list[_T]:
        """Quarantine what the script could not read, and repeat the verb for these jobs alone: for
        the others it has been carried out.
        """
        if not await self._caller.quarantine(unreadable):
            return answers
        later = dict(zip(unreadable, await verb(unreadable, revisions=revisions), strict=True))
        return [later.get(job_id, answer) for job_id, answer in zip(ids, answers, strict=True)]


def _named(revisions: Collection[int] | None) -> bytes:
    """Return revisions as lib/other_revision.lua reads them."""
    return b"" if revisions is None else b",%s," % ",".join(map(str, revisions)).encode()


def _inspected(found: Found, entry: Sequence[Any], context: Context) -> Inspected:
    if found.job is None:
        return Inspected(found)
    head, request, size, body, limit = entry
    made, deadline = read_made(head), 0
    if found.job.state is State.IN_PROGRESS:
        _, deadline = read_run(found.job.id, made, head[made.end :], context)
    return Inspected(
        found,
        decode_request(request, made.traceparent, body),
        int(size),
        deadline,
        held_back(limit.decode()),
    )


def _unreadable(ids: Sequence[JobId], entries: list[bytes]) -> list[JobId]:
    return [i for i, entry in zip(ids, entries, strict=True) if entry[0] == _UNREADABLE]


def _job(job_id: JobId, entry: bytes, context: Context) -> Job | None:
    return _read_or_none(job_id, entry[1:], context) if len(entry) > 1 else None


def _read_or_none(job_id: JobId, data: bytes, context: Context) -> Job | None:
    try:
        return read_job(job_id, data, context)
    except (CorruptRecord, NewerRecord):
        return None
