"""Actions on many jobs: begin, go on, end."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import ErrorCode, Priority
from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.store.actions import (
    KEPT_MS,
    LOOK,
    MAX_KEPT,
    MAX_PASSES,
    SHARE,
    Action,
    ActionKind,
    ActionState,
    BeginStatus,
    Begun,
    NewAction,
    sections_of,
)
from asyncendpoints_core.store.memory import admission, client_verbs, transitions, uniqueness
from asyncendpoints_core.store.memory.entries import Progress
from asyncendpoints_core.store.memory.record import Record
from asyncendpoints_core.store.replies import RedriveStatus

if TYPE_CHECKING:
    from asyncendpoints_core.store.memory.data import Data
    from asyncendpoints_core.store.memory.ordered import Key, Ordered


def begin(data: Data, new: NewAction, now: int) -> Begun:
    """Begin one; see Store.begin_action."""
    if repeated := data.actions.get(new.id):
        return Begun(BeginStatus.STARTED, repeated.view())
    if bound := new.idempotency:
        for earlier in data.actions.values():
            if (old := earlier.new.idempotency) and old.key == bound.key:
                same = old.fingerprint == bound.fingerprint
                status = BeginStatus.REPLAYED if same else BeginStatus.MISMATCH
                return Begun(status, earlier.view())
    running = find(data, None)
    if running is not None and not new.dry_run:
        return Begun(BeginStatus.BUSY, running.view())
    known = list(data.actions.items())
    for number, (action_id, old_one) in enumerate(known):
        surplus = len(known) - number >= MAX_KEPT
        if old_one is not running and (old_one.begun_ms <= now - KEPT_MS or surplus):
            del data.actions[action_id]
    progress = Progress(new, now, stepped_ms=now, matched=len(new.ids))
    data.actions[new.id] = progress
    return Begun(BeginStatus.STARTED, progress.view())


def find(data: Data, action_id: JobId | None) -> Progress | None:
    """Return an action; None: the one that is running."""
    if action_id is not None:
        return data.actions.get(action_id)
    for progress in data.actions.values():
        if progress.state is ActionState.RUNNING and not progress.new.dry_run:
            return progress
    return None


def abort(data: Data, action_id: JobId, now: int) -> Action | None:
    """End one before its end; see Store.abort_action."""
    progress = data.actions.get(action_id)
    if progress is not None and progress.state is ActionState.RUNNING:
        progress.finish(ActionState.ABORTED, now)
    return progress.view() if progress else None


def step(data: Data, action_id: JobId, now: int) -> Action | None:
    """Look at some jobs and act on those that match; see Store.step_action."""
    progress = data.actions.get(action_id)
    if progress is None or progress.state is not ActionState.RUNNING:
        return progress.view() if progress else None
    progress.stepped_ms, progress.waiting = now, False
    keys = _next(data, progress)
    seen: set[JobId] = set()
    for key in keys:
        job_id = JobId(key[-1])
        record = None if job_id in seen else data.load(job_id, now)
        seen.add(job_id)
        taken = False
        if isinstance(record, Record) and _takes(data, progress, record, now):
            taken = True
            if not progress.new.dry_run and not _act(data, progress, record, now):
                progress.waiting = True
                break
        if progress.new.ids:
            progress.taken_ids += 1
            progress.skipped += not taken
        else:
            progress.matched += taken
            progress.found += taken
            progress.below = key
    if 0 < len(keys) < LOOK and not progress.waiting:
        progress.section, progress.below = progress.section + 1, None
    if not keys:
        progress.finish(ActionState.DONE, now)
    if progress.waiting and data.closed:
        progress.finish(ActionState.ABORTED, now)
    return progress.view()


def _next(data: Data, progress: Progress) -> list[Key]:
    """Return the next keys to look at, none at the end; see step_action.lua."""
    new = progress.new
    if new.ids:
        start = progress.taken_ids
        return [(job_id,) for job_id in new.ids[start : start + LOOK]]
    sections = sections_of(new.kind, new.state)
    if data.gate.on and "normal" in sections:
        sections = *(name for name in sections if name not in _LINES), "keyed"
    while True:
        if progress.section < len(sections):
            order = _order(data, sections[progress.section])
            if keys := list(islice(order.descending(progress.below), LOOK)):
                return keys
            progress.section += 1
        elif _again(progress):
            progress.section, progress.found = 0, 0
            progress.passes += 1
        else:
            return []
        progress.below = None


def _again(progress: Progress) -> bool:
    new = progress.new
    moved = new.kind is ActionKind.CANCEL and not new.dry_run and progress.found > 0
    return moved and progress.passes < MAX_PASSES


_LINES: Final = frozenset(priority.name.lower() for priority in Priority)


def _order(data: Data, section: str) -> Ordered:
    known = {
        "scheduled": data.scheduled,
        "suspects": data.suspects,
        "running": data.running,
        "keyed": data.gate.order,
        **{priority.name.lower(): data.ready[priority] for priority in Priority},
        **{state.value.lower(): data.finished[state] for state in FINAL},
    }
    return known[section]


def _takes(data: Data, progress: Progress, record: Record, now: int) -> bool:
    """Whether the action may take a job: it was as it had to be before the action began."""
    new, begun = progress.new, progress.begun_ms
    if record.created_ms > begun:
        return False
    if new.kind is not ActionKind.CANCEL:
        if not record.final or record.completed_ms > begun:
            return False
        if new.kind is ActionKind.RETRY and not _retryable(record):
            return False
    elif record.final or record.cancel_requested_ms:
        return False
    elif new.state is not None:
        running = record.state is State.IN_PROGRESS
        if (record.started_ms if running else record.updated_ms) > begun:
            return False
    return bool(new.ids) or new.only.matches(data.job(record, now))


def _retryable(record: Record) -> bool:
    corrupt = record.error is not None and record.error.code == ErrorCode.CORRUPT
    return record.state in (State.FAILED, State.CANCELED) and not corrupt


def _act(data: Data, progress: Progress, record: Record, now: int) -> bool:
    """Act on a job; return whether the action can go on."""
    if progress.new.kind is ActionKind.CANCEL:
        client_verbs.cancel(data, record.id, now)
    elif progress.new.kind is ActionKind.PURGE:
        data.remove(record.id, now)
    else:
        status = admission.redrive_status(data, record, now, SHARE)
        if status in (RedriveStatus.FULL, RedriveStatus.CLOSED):
            return False
        if status is not RedriveStatus.REQUEUED:
            progress.skipped += 1
            return True
        transitions.redrive(data, record, now)
        uniqueness.take(data, record, now)
    progress.done += 1
    return True
