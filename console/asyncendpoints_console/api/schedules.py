"""The requests about schedules: list them, and have one create a job now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_console.api.call import json_response
from asyncendpoints_console.api.jobs import accepted, queue_full
from asyncendpoints_console.reading import schedules
from asyncendpoints_console.refusals import Refusal, store_unavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.schedules import FireStatus
from asyncendpoints_core.resource.firings import PreparedSchedule

if TYPE_CHECKING:
    from aiohttp import web

    from asyncendpoints_console.api.call import Call
    from asyncendpoints_core.resource.schedules import Schedule


async def listing(call: Call) -> web.Response:
    """GET schedules."""
    return json_response(await schedules.schedules(call.target))


async def run(call: Call) -> web.Response:
    """POST schedules/{schedule}/run: 202 with a job as the schedule creates it, whatever is due."""
    call.may_change()
    schedule = _schedule(call)
    max_attempts = call.target.endpoint.spec.policy().retry.max_attempts
    firing = PreparedSchedule.of(schedule).requested(max_attempts, call.site.time.now_ms())
    status = FireStatus.OUTDATED
    while status is FireStatus.OUTDATED:  # there are more earlier jobs than one call looks at
        status = (await call.target.store.fire(firing)).status
    match status:
        case FireStatus.SKIPPED:
            detail = "concurrencyPolicy is Forbid, and an earlier job is not finished"
            raise Refusal("schedule-busy", detail)
        case FireStatus.FULL:
            raise queue_full()
        case FireStatus.OTHER:
            raise store_unavailable("the schedule's definition is not in force yet; try again")
        case FireStatus.CLOSED:
            raise store_unavailable("the endpoint is being deleted")
    call.record("run", schedule=schedule.name, created=ids.text(firing.job.id))
    return await accepted(call, firing.job.id)


def _schedule(call: Call) -> Schedule:
    name = call.request.match_info["schedule"]
    for schedule in call.target.endpoint.spec.schedules:
        if schedule.name == name:
            return schedule
    raise Refusal("not-found", "there is no such schedule")
