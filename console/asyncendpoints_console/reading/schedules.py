"""Schedules as the operations API shows them: what the resource says, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.schedules import ScheduleState

if TYPE_CHECKING:
    from asyncendpoints_console.target import Target
    from asyncendpoints_core.resource.schedules import Schedule


async def schedules(target: Target) -> dict[str, Any]:
    """Return the schedules of the resource, by name."""
    stats = await target.store.stats()
    states = {state.name: state for state in stats.schedules}
    found = sorted(target.endpoint.spec.schedules, key=lambda one: one.name)
    return {"items": [_schedule(one, states.get(one.name), stats.now_ms) for one in found]}


def _schedule(schedule: Schedule, state: ScheduleState | None, now_ms: int) -> dict[str, Any]:
    known = state or ScheduleState(schedule.name, "", 0)
    following = 0 if schedule.suspend else schedule.times.next(now_ms)
    return {
        "name": schedule.name,
        "job": schedule.job,
        "cron": schedule.cron,
        "timeZone": schedule.time_zone,
        "suspended": schedule.suspend,
        "concurrencyPolicy": schedule.concurrency_policy,
        "startingDeadlineSeconds": schedule.starting_deadline_seconds,
        "priority": schedule.priority,
        "key": schedule.key,
        "tags": list(schedule.tags),
        "nextTime": timestamp(following),
        "lastTime": timestamp(known.fired_ms),
        "missed": known.missed,
        "missedAt": timestamp(known.missed_ms),
        "skipped": known.skipped,
        "skippedAt": timestamp(known.skipped_ms),
    }
