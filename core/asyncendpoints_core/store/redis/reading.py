"""The verbs that read: pages of a listing, live figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.listing import (
    ALL_JOBS,
    MAX_EXAMINED,
    JobFilter,
    ListingCursor,
    Page,
    encode_cursor,
)
from asyncendpoints_core.store.redis.codec import Context
from asyncendpoints_core.store.redis.control import PAUSED, SUSPENDED
from asyncendpoints_core.store.redis.python_layout import CorruptRecord, NewerRecord
from asyncendpoints_core.store.redis.records import STATES, read_job
from asyncendpoints_core.store.redis.schedules import read_schedules
from asyncendpoints_core.store.replies import TOTALS, Stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.redis.caller import Caller

_ID_SIZE: Final = tables.IDS.size
# Of a listing without a filter, which ends with the page: how many records one script looks at.
LOOK: Final = 2_000
_ALWAYS: Final = 2**52
SECTIONS: Final = ("running", "queued", "scheduled", "final")
_OF_STATE: Final = {
    State.IN_PROGRESS: "running",
    State.QUEUED: "queued",
    State.SCHEDULED: "scheduled",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.CANCELED: "canceled",
}


class ReadVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def list(
        self, state: State | None, limit: int, cursor: str | None, only: JobFilter = ALL_JOBS
    ) -> Page:
        """Read one page: section after section until it is full."""
        listing = only.listing(state)
        sections = SECTIONS if state is None else (_OF_STATE[state],)
        start = ListingCursor.read(cursor, listing, len(sections)) if cursor is not None else None
        section = start.section if start else 0
        number, below = (start.number, start.job_id) if start else ("", b"")
        began, begun = (b"%d" % start.begun_ms, start.begun_ms) if start else (b"", 0)
        jobs: list[Job] = []
        last: tuple[int, str, bytes] | None = None
        left = LOOK if only == ALL_JOBS else MAX_EXAMINED
        words = (only.job, only.key, only.schedule, only.error)
        times = (b"%d" % only.since_ms, b"%d" % (only.until_ms or _ALWAYS))
        wanted = [*map(str.encode, words), *times, *map(str.encode, only.tags)]
        while section < len(sections):
            name, want = sections[section].encode(), b"%d" % (limit + 1 - len(jobs))
            begin = (name, want, began, number.encode(), below, b"%d" % left)
            raw, end, end_id, looked, *found = await self._caller.run("list", *begin, *wanted)
            context = Context.read(raw)
            begun = begun or context.now_ms
            for entry in found:
                score, _, data = entry.partition(b" ")
                job = _read(data, context)
                if job is None:
                    continue
                if len(jobs) == limit and last is not None:
                    where = ListingCursor(listing, last[0], begun, last[1], last[2])
                    return Page(tuple(jobs), encode_cursor(where))
                jobs.append(job)
                last = section, score.decode(), data[:_ID_SIZE]
            number, below = end.decode(), end_id
            if not number:
                section += 1
            if only != ALL_JOBS and (left := left - looked) <= 0 and section < len(sections):
                where = ListingCursor(listing, section, begun, number, below)
                return Page(tuple(jobs), encode_cursor(where))
        return Page(tuple(jobs), None)

    async def stats(self) -> Stats:
        """Read the live figures."""
        numbers, counts, totals, due, schedules, stopped = await self._caller.run("stats")
        now, queued, scheduled, running, completed, failed, canceled, *rest = numbers
        suspects, oldest, size, active, workers, stopped_by, closed, held_ms, within_limits = rest
        by_name: dict[str, dict[State, int]] = {}
        for field, value in _pairs(counts):
            name = field[1:].decode()
            by_name.setdefault(name, dict.fromkeys(State, 0))[STATES[field[0] - 48]] = int(value)
        counters = {field.decode(): int(value) for field, value in _pairs(totals)}
        return Stats(
            now_ms=now,
            counts={
                State.QUEUED: queued,
                State.SCHEDULED: scheduled,
                State.IN_PROGRESS: running,
                State.COMPLETED: completed,
                State.FAILED: failed,
                State.CANCELED: canceled,
            },
            by_name=dict(sorted(by_name.items())),
            totals={name: counters.get(name, 0) for name in TOTALS},
            waits=_waits(counters),
            suspects=suspects,
            oldest_ms=oldest,
            due_ms=tuple(due),
            bytes=size,
            held=running,
            held_active=active,
            workers=workers,
            suspended=bool(stopped_by & SUSPENDED),
            paused=bool(stopped_by & PAUSED),
            paused_jobs=tuple(sorted(name.decode() for name in stopped)),
            closed=bool(closed),
            features_held_ms=held_ms,
            schedules=read_schedules(_pairs(schedules)),
            within_limits=within_limits,
        )


def _read(data: bytes, context: Context) -> Job | None:
    try:
        return read_job(JobId(data[:_ID_SIZE]), data[_ID_SIZE:], context)
    except (CorruptRecord, NewerRecord):
        return None


def _waits(counters: Mapping[str, int]) -> dict[int, int]:
    """Return the buckets that lua/lib/waits.lua counts in."""
    named = ((name.removeprefix("w"), count) for name, count in counters.items())
    return {int(bucket): count for bucket, count in named if bucket.isdecimal()}


def _pairs(flat: list[bytes]) -> zip[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
