"""Reading: pages of jobs in a stable order, and the live figures."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.store.listing import (
    ALL_JOBS,
    MAX_EXAMINED,
    JobFilter,
    ListingCursor,
    Page,
    encode_cursor,
)
from asyncendpoints_core.store.memory import schedules
from asyncendpoints_core.store.memory.data import PAUSED, SUSPENDED
from asyncendpoints_core.store.memory.record import Record
from asyncendpoints_core.store.replies import Stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints_core.store.memory.data import Data
    from asyncendpoints_core.store.memory.ordered import Key

_SECTIONS: Final[tuple[frozenset[State], ...]] = (
    frozenset({State.IN_PROGRESS}),
    frozenset({State.QUEUED}),
    frozenset({State.SCHEDULED}),
    FINAL,
)


def _section(data: Data, section: int, state: State | None, below: Key | None) -> Iterator[Key]:
    """Yield the keys of one section, newest first."""
    states = _SECTIONS[section] if state is None else frozenset({state})
    if State.IN_PROGRESS in states:
        return data.running.descending(below)
    if State.SCHEDULED in states:
        return data.scheduled.descending(below)
    if State.QUEUED in states:
        # Suspects are ordered by the time they may run, not by position: sorted here, they are few.
        suspects = sorted(data.suspect_positions(), reverse=True)
        lines = [data.gate.order] if data.gate.on else data.ready.values()
        queues = [line.descending(below) for line in lines]
        exclusive = iter([key for key in suspects if below is None or key < below])
        return heapq.merge(*queues, exclusive, reverse=True)
    finals = [data.finished[final].descending(below) for final in State if final in states]
    return heapq.merge(*finals, reverse=True)


def page(
    data: Data, state: State | None, limit: int, cursor: str | None, only: JobFilter, now: int
) -> Page:
    """Return one page; see Store.list."""
    listing = only.listing(state)
    sections = range(len(_SECTIONS)) if state is None else range(1)
    start = ListingCursor.read(cursor, listing, len(sections)) if cursor is not None else None
    filtered, looked = only != ALL_JOBS, 0
    jobs: list[Any] = []
    last: tuple[int, Key] | None = None
    begun = start.begun_ms if start else now
    for section in sections:
        if start and section < start.section:
            continue
        below = start.key if start and section == start.section else None
        for key in _section(data, section, state, below):
            record = data.load(key[-1], now)
            job = None
            if isinstance(record, Record) and not (start and record.updated_ms > begun):
                job = data.job(record, now)
            if job is not None and only.matches(job):
                if len(jobs) == limit and last is not None:
                    where = ListingCursor(listing, last[0], begun, str(last[1][0]), last[1][1])
                    return Page(tuple(jobs), encode_cursor(where))
                jobs.append(job)
                last = section, key
            looked += 1
            if filtered and looked == MAX_EXAMINED:
                where = ListingCursor(listing, section, begun, str(key[0]), key[1])
                return Page(tuple(jobs), encode_cursor(where))
    return Page(tuple(jobs), None)


def _due(data: Data, now: int) -> Iterator[int]:
    for key in data.scheduled.first(100):
        record = data.load(key[-1], now) if data.pauses else None
        if not (isinstance(record, Record) and data.stopped(record.name)):
            yield key[0]


def stats(data: Data, now: int) -> Stats:
    """Return the live figures; see Store.stats."""
    heads = [order.peek() for order in (*data.ready.values(), data.suspects, data.gate.order)]
    oldest = [data.load(key[-1], now) for key in heads if key is not None]
    unreachable = {
        name
        for name, worker in data.workers.items()
        if worker.draining or worker.cordoned_until > now
    }
    counts = dict.fromkeys(State, 0)
    for states in data.counts.values():
        for state, count in states.items():
            counts[state] += count
    return Stats(
        now_ms=now,
        counts=counts,
        by_name={name: dict(states) for name, states in sorted(data.counts.items())},
        totals=dict(data.totals),
        waits=dict(data.waits),
        suspects=len(data.suspects),
        oldest_ms=min((r.ready_ms for r in oldest if isinstance(r, Record)), default=0),
        due_ms=tuple(_due(data, now)),
        bytes=data.bytes,
        held=len(data.running),
        held_active=sum(len(held) for name, held in data.held.items() if name not in unreachable),
        workers=len(data.workers),
        suspended=SUSPENDED in data.stopped_by,
        paused=PAUSED in data.stopped_by,
        paused_jobs=tuple(sorted(filter(data.stopped, data.pauses))),
        closed=data.closed,
        schedules=schedules.states(data),
        within_limits=data.gate.startable(counts[State.QUEUED], len(data.suspects), now),
    )
