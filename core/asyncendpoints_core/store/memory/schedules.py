"""Schedules: which definitions are in force, and the one decision whether a time creates a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.schedules import Concurrency, Fired, FireStatus
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import admission, client_verbs
from asyncendpoints_core.store.memory.entries import Schedule
from asyncendpoints_core.store.memory.record import Record

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.schedules import Firing, ScheduleState
    from asyncendpoints_core.store.memory.data import Data

KEPT_MS: Final = 86_400_000
"""How long a removed schedule is remembered."""


def configure(data: Data, now: int) -> None:
    """Bring the schedules in line with the policy: one that is new or changed begins now."""
    wanted = data.rules.schedules
    for name, entry in list(data.schedules.items()):
        if name in wanted:
            continue
        entry.removed_ms = entry.removed_ms or now
        if entry.removed_ms <= now - KEPT_MS:
            del data.schedules[name]
    for name, hash_ in wanted.items():
        entry = data.schedules.setdefault(name, Schedule())
        if entry.hash != hash_ or entry.removed_ms:
            entry.hash, entry.removed_ms = hash_, 0
            entry.last_ms = max(entry.last_ms, now)


def states(data: Data) -> tuple[ScheduleState, ...]:
    """Return the schedules of the policy, by name."""
    found = sorted(data.schedules.items())
    return tuple(entry.state(name) for name, entry in found if not entry.removed_ms)


def fire(data: Data, firing: Firing, now: int) -> Fired:
    """Decide on one time of a schedule, or on a requested job; see Store.fire."""
    entry = data.schedules.get(firing.schedule)
    if firing.job.id in data.records:
        return Fired(FireStatus.CREATED, now)
    if entry is None or entry.removed_ms or entry.hash != firing.hash:
        return Fired(FireStatus.OTHER, now)
    if not firing.due_ms:
        return Fired(_create(data, firing, now), now)
    if firing.due_ms <= entry.last_ms:
        return Fired(FireStatus.DONE, now)
    passed = firing.next_ms and firing.next_ms <= now
    if now < firing.due_ms or passed or entry.last_ms != firing.seen_ms:
        return Fired(FireStatus.OUTDATED, now)
    if firing.deadline_ms and now > firing.deadline_ms:
        _miss(entry, firing.missed + 1, now)
        return _decided(entry, firing, FireStatus.MISSED, now)
    status = _create(data, firing, now)
    if status in (FireStatus.CLOSED, FireStatus.FULL):
        return Fired(status, now)
    if firing.missed:
        _miss(entry, firing.missed, now)
    if status is FireStatus.SKIPPED:
        entry.skipped, entry.skipped_ms = entry.skipped + 1, now
    else:
        entry.fired_ms = firing.due_ms
    return _decided(entry, firing, status, now)


def _miss(entry: Schedule, times: int, now: int) -> None:
    entry.missed, entry.missed_ms = entry.missed + times, now


def _decided(entry: Schedule, firing: Firing, status: FireStatus, now: int) -> Fired:
    entry.last_ms = firing.due_ms
    return Fired(status, now)


def _create(data: Data, firing: Firing, now: int) -> FireStatus:
    if data.closed:
        return FireStatus.CLOSED
    unfinished = list(data.unfinished.get(firing.schedule, ()))
    if unfinished and firing.concurrency is Concurrency.FORBID:
        return FireStatus.SKIPPED
    replaced = unfinished if firing.concurrency is Concurrency.REPLACE else []
    waiting = [
        record
        for record in (data.load(job_id, now) for job_id in replaced)
        if isinstance(record, Record) and not record.final and record.state is not State.IN_PROGRESS
    ]
    size = len(firing.job.request.body) - sum(record.size for record in waiting)
    if admission.is_full(data, size, freed=len(waiting)):
        return FireStatus.FULL
    for job_id in replaced:
        client_verbs.cancel(data, job_id, now)
    admission.enqueue(data, firing.job, now)
    return FireStatus.CREATED
