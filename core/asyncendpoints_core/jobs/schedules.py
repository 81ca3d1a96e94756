"""What gateway and store exchange about schedules. Frozen; no I/O."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from asyncendpoints_core.jobs.records import NewJob


class Concurrency(StrEnum):
    """What happens while an earlier job of the schedule is unfinished."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


class Firing(msgspec.Struct, frozen=True):
    """The job of one time of a schedule, or one that a person requests.

    Times in ms since the epoch. `hash` is that of the definition that the sender has. `due_ms` is
    the time (0 = requested: the schedule's times stay as they are), `next_ms` the one after it
    (0 = none). `seen_ms` is the schedule's `last_ms` as the sender knows it, and `missed` how many
    times are between the two. `deadline_ms`: until when the job may be created (0 = until the next
    time).
    """

    schedule: str
    hash: str
    due_ms: int
    next_ms: int
    seen_ms: int
    job: NewJob
    missed: int = 0
    deadline_ms: int = 0
    concurrency: Concurrency = Concurrency.ALLOW


class FireStatus(StrEnum):
    """What became of a schedule's time. The first three are decisions: the time is over."""

    CREATED = "created"  # also when the same job is sent again
    MISSED = "missed"  # it was past its deadline
    SKIPPED = "skipped"  # Forbid, and an earlier job is unfinished
    DONE = "done"  # decided before
    OTHER = "other"  # the policy has another definition of this schedule, or none
    OUTDATED = "outdated"  # not due yet, or another time is: read the state again
    FULL = "full"  # try again
    CLOSED = "closed"  # try again


class Fired(msgspec.Struct, frozen=True):
    """The reply to one firing; `now_ms` is the store's time."""

    status: FireStatus
    now_ms: int


class ScheduleState(msgspec.Struct, frozen=True):
    """A schedule of the policy. Times in ms since the epoch, 0 = never.

    `hash`: of its definition. `last_ms`: times up to this one are over. `fired_ms`: the last time
    that created a job. `missed`, `skipped`: how many created none, since there is the schedule;
    `missed_ms`, `skipped_ms`: when that was last noticed.
    """

    name: str
    hash: str
    last_ms: int
    fired_ms: int = 0
    missed: int = 0
    missed_ms: int = 0
    skipped: int = 0
    skipped_ms: int = 0
