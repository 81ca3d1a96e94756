"""Jobs as the operations API shows them: as clients see them, and who runs them and what for."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_console.reading.hidden import hide, hide_path, hide_query
from asyncendpoints_console.refusals import Refusal, store_unavailable
from asyncendpoints_core.errors import RecordError
from asyncendpoints_core.jobs import ids, job_view
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job, Request, Result
    from asyncendpoints_core.store.listing import Inspected, JobFilter
    from asyncendpoints_core.store.replies import (
        CancelStatus,
        DeleteStatus,
        PromoteStatus,
        RedriveStatus,
    )

PAGE: Final = 500
SEARCHED: Final = 1_000
"""How many jobs a page looks at for the end of an id."""


def path_of(target: Target) -> str:
    """Return the API's path of an endpoint."""
    return f"/api/v1/endpoints/{target.key}"


async def page(
    target: Target, state: State | None, only: JobFilter, limit: int, cursor: str | None
) -> dict[str, Any]:
    """Return a page of jobs, without headers, queries, parameters and bodies of their requests."""
    found = await target.store.list(state, limit, cursor, only)
    return {"items": await _listed(target, found.jobs), "nextCursor": found.cursor}


async def page_with_id_end(
    target: Target, state: State | None, only: JobFilter, end: str, cursor: str | None
) -> dict[str, Any]:
    """Return those of the next 1,000 jobs of a listing whose ids end so: none, maybe, and there is
    a next page.
    """
    found: list[Job] = []
    for _ in range(SEARCHED // PAGE):
        page = await target.store.list(state, PAGE, cursor, only)
        found += [job for job in page.jobs if ids.text(job.id).endswith(end)]
        cursor = page.cursor
        if cursor is None:
            break
    return {"items": await _listed(target, found), "nextCursor": cursor}


async def _listed(target: Target, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    looked_up = await target.store.inspect([job.id for job in jobs])
    leases, stopped = await _leases(target, jobs), await _stops(target, jobs)
    items = []
    for job, inspected in zip(jobs, looked_up, strict=True):
        item = _job(target, job, inspected, leases) | stopped(job)
        if item["request"] is not None:
            item["request"] |= {"query": None, "params": None, "headers": None}
        items.append(item)
    return items


async def one(target: Target, job_id: JobId) -> dict[str, Any]:
    """Return one job. Raises Refusal without it."""
    [inspected] = await target.store.inspect([job_id])
    job = existing(inspected)
    stopped = await _stops(target, [job])
    item = _job(target, job, inspected, await _leases(target, [job])) | stopped(job)
    if job.state is State.COMPLETED:
        with suppress(RecordError):  # its size is unknown
            _, result = await target.store.result(job_id)
            if result is not None:
                item["resultBytes"] = len(result.body)
    return item


def existing(inspected: Inspected) -> Job:
    """Return the job that was looked up. Raises Refusal without it."""
    if inspected.found.job is None:
        if inspected.found.unreadable:
            raise unreadable()
        raise gone() if inspected.found.gone else missing()
    return inspected.found.job


def refuse_absent(
    status: CancelStatus | RedriveStatus | PromoteStatus | DeleteStatus,
) -> None:
    """Raise the refusal of a job that there is not, or that this version cannot read."""
    if status == "unreadable":
        raise unreadable()
    if status == "gone":
        raise gone()
    if status == "missing":
        raise missing()


def unreadable() -> Refusal:
    """Return the 503 for a job whose record this version cannot read."""
    return store_unavailable("the job's record cannot be read by this version")


def missing() -> Refusal:
    """Return the 404 for a job."""
    return Refusal("job-not-found", "there is no job with this id")


def gone() -> Refusal:
    """Return the 410 for a job."""
    return Refusal("job-gone", "the job has been removed after its retention or by a purge")


async def _leases(target: Target, jobs: Sequence[Job]) -> dict[str, int]:
    if not any(job.state is State.IN_PROGRESS for job in jobs):
        return {}
    return {worker.info.id: worker.lease_ms for worker in await target.store.workers()}


async def _stops(target: Target, jobs: Sequence[Job]) -> Callable[[Job], dict[str, bool]]:
    """Return what says whether a job waits for the end of a pause, and of a suspension."""
    waiting = (State.QUEUED, State.SCHEDULED)
    if not any(job.state in waiting for job in jobs):
        return lambda _: {"paused": False, "suspended": False}
    stats = await target.store.stats()

    def stopped(job: Job) -> dict[str, bool]:
        waits = job.state in waiting
        paused = stats.paused or job.name in stats.paused_jobs
        return {"paused": waits and paused, "suspended": waits and stats.suspended}

    return stopped


def _job(
    target: Target, job: Job, inspected: Inspected, leases: Mapping[str, int]
) -> dict[str, Any]:
    here = f"{path_of(target)}/jobs/{ids.text(job.id)}"
    running, queued = job.state is State.IN_PROGRESS, job.state is State.QUEUED
    limit = inspected.waiting_for
    item: dict[str, Any] = msgspec.to_builtins(job_view.view(job, here))
    item["links"] |= {"cancel": f"{here}/cancel", "body": f"{here}/body"}
    return item | {
        "worker": job.worker or None,
        "claim": job.claim or None,
        "deadline": job_view.timestamp(inspected.deadline_ms if running else 0),
        "leaseEndsAt": job_view.timestamp(leases.get(job.worker, 0) if running else 0),
        "suspect": job.suspect,
        "traceparent": job.traceparent or None,
        "waitingFor": limit,
        "position": inspected.found.position.ahead if queued and limit is None else None,
        "request": _request(inspected.request, inspected.body_bytes),
        "resultBytes": None,
    }


def _request(request: Request | None, size: int) -> dict[str, Any] | None:
    if request is None:
        return None
    return {
        "method": request.method,
        "path": hide_path(request.path, request.route_params),
        "query": hide_query(request.query),
        "params": hide(request.route_params),
        "headers": hide(request.headers),
        "contentType": request.content_type,
        "bytes": size,
    }


async def body(target: Target, job_id: JobId) -> tuple[Job, Request]:
    """Return a job and its request with the body. Raises Refusal without them."""
    [inspected] = await target.store.inspect([job_id], bodies=True)
    job = existing(inspected)
    if inspected.request is None:
        raise Refusal("job-gone", "the request of this job cannot be read")
    return job, inspected.request


async def result(target: Target, job_id: JobId) -> tuple[Job, Result]:
    """Return a job and its result. Raises Refusal without them."""
    try:
        found, value = await target.store.result(job_id)
    except RecordError:
        text = "the job completed, but its stored result cannot be read"
        raise Refusal("internal", text) from None
    if found.job is None:
        raise gone() if found.gone else missing()
    if value is None:
        state = found.job.state.value
        raise Refusal("job-failed", f"the job is {state} and has no result")
    return found.job, value
