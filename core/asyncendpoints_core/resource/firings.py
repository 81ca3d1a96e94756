"""Makes the jobs of schedules: at their times, and when a person requests one."""

from __future__ import annotations

import json
from dataclasses import dataclass

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Attributes, NewJob, Priority, Request
from asyncendpoints_core.jobs.schedules import Concurrency, Firing
from asyncendpoints_core.resource.schedules import Schedule


@dataclass(frozen=True, slots=True)
class PreparedSchedule:
    """A schedule, with what is the same for each of its jobs."""

    schedule: Schedule
    hash: str
    body: bytes

    @classmethod
    def of(cls, schedule: Schedule) -> PreparedSchedule:
        """Prepare `schedule`."""
        text = "" if schedule.body is None else json.dumps(schedule.body, ensure_ascii=False)
        return cls(schedule, schedule.hash, text.encode())

    def firing(self, due_ms: int, seen_ms: int, max_attempts: int, now_ms: int) -> Firing:
        """Return the firing of the time `due_ms`; times up to `seen_ms` are over."""
        schedule = self.schedule
        times, deadline = schedule.times, schedule.starting_deadline_seconds
        return Firing(
            schedule=schedule.name,
            hash=self.hash,
            due_ms=due_ms,
            next_ms=times.next(due_ms),
            seen_ms=seen_ms,
            job=self._job(due_ms, max_attempts, now_ms),
            missed=times.count(seen_ms, due_ms),
            deadline_ms=0 if deadline is None else due_ms + round(deadline * 1_000),
            concurrency=Concurrency(schedule.concurrency_policy),
        )

    def requested(self, max_attempts: int, now_ms: int) -> Firing:
        """Return a firing now, which is none of the schedule's times."""
        return Firing(
            schedule=self.schedule.name,
            hash=self.hash,
            due_ms=0,
            next_ms=0,
            seen_ms=0,
            job=self._job(now_ms, max_attempts, now_ms),
            concurrency=Concurrency(self.schedule.concurrency_policy),
        )

    def _job(self, scheduled_ms: int, max_attempts: int, now_ms: int) -> NewJob:
        schedule = self.schedule
        content_type = "application/json" if self.body else ""
        return NewJob(
            id=ids.new(now_ms),
            name=schedule.job,
            request=Request("POST", "", content_type=content_type, body=self.body),
            max_attempts=max_attempts,
            priority=Priority[schedule.priority.upper()],
            attributes=Attributes(
                tags=schedule.tags,
                key=schedule.key or "",
                schedule=schedule.name,
                scheduled_ms=scheduled_ms,
            ),
        )
