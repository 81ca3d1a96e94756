"""The requests about jobs: list, show, download, cancel, retry, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_console.api import queries
from asyncendpoints_console.api.call import attachment, json_response
from asyncendpoints_console.reading import jobs
from asyncendpoints_console.refusals import Refusal, store_unavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.store.replies import (
    CancelStatus,
    DeleteStatus,
    PromoteStatus,
    RedriveStatus,
)

if TYPE_CHECKING:
    from aiohttp import web

    from asyncendpoints_console.api.call import Call
    from asyncendpoints_core.jobs.ids import JobId


async def listing(call: Call) -> web.Response:
    """GET jobs."""
    query = call.query
    queries.check_known(query, queries.OF_JOBS)
    page = await jobs.page(
        call.target,
        queries.state(query),
        queries.only(query),
        queries.limit(query),
        queries.cursor(query),
    )
    return json_response(page)


async def show(call: Call) -> web.Response:
    """GET jobs/{id}."""
    return json_response(await jobs.one(call.target, call.job_id))


async def body(call: Call) -> web.Response:
    """GET jobs/{id}/body."""
    call.may_read_bodies()
    job, request = await jobs.body(call.target, call.job_id)
    text = ids.text(job.id)
    call.record("read-body", job=text)
    return attachment(request.body, request.content_type, f"{job.name}-{text}-body")


async def result(call: Call) -> web.Response:
    """GET jobs/{id}/result."""
    call.may_read_bodies()
    job, value = await jobs.result(call.target, call.job_id)
    text = ids.text(job.id)
    call.record("read-result", job=text)
    filename = value.filename or f"{job.name}-{text}-result"
    return attachment(value.body, value.content_type, filename)


async def cancel(call: Call) -> web.Response:
    """POST jobs/{id}/cancel."""
    call.may_change()
    job_id = call.job_id
    [answer] = await call.target.store.cancel([job_id])
    jobs.refuse_absent(answer.status)
    if answer.status is CancelStatus.FINAL:
        raise Refusal("job-final", "the job is final and cannot be canceled")
    call.record("cancel", job=ids.text(job_id))
    status = 200 if answer.status is CancelStatus.CANCELED else 202
    return json_response(await jobs.one(call.target, job_id), status)


async def retry(call: Call) -> web.Response:
    """POST jobs/{id}/retry."""
    call.may_change()
    job_id = call.job_id
    [answer] = await call.target.store.redrive([job_id])
    jobs.refuse_absent(answer.status)
    match answer.status:
        case RedriveStatus.NOT_RETRYABLE:
            raise Refusal("not-retryable", "the job is neither Failed nor Canceled")
        case RedriveStatus.DUPLICATE:
            raise Refusal("duplicate-job", "an equal job is not finished")
        case RedriveStatus.FULL:
            raise queue_full()
        case RedriveStatus.CLOSED:
            raise store_unavailable()
    call.record("retry", job=ids.text(job_id))
    return await accepted(call, job_id)


async def run_now(call: Call) -> web.Response:
    """POST jobs/{id}/run-now."""
    call.may_change()
    job_id = call.job_id
    [status] = await call.target.store.promote([job_id])
    jobs.refuse_absent(status)
    if status is PromoteStatus.NOT_SCHEDULED:
        raise Refusal("job-final", "the job is not Scheduled")
    call.record("run-now", job=ids.text(job_id))
    return await accepted(call, job_id)


async def accepted(call: Call, job_id: JobId) -> web.Response:
    """Return the 202 with a job that is to run."""
    location = f"{jobs.path_of(call.target)}/jobs/{ids.text(job_id)}"
    return json_response(await jobs.one(call.target, job_id), 202, {"Location": location})


def queue_full() -> Refusal:
    """Return the 429."""
    return Refusal("queue-full", "the queue limit is reached", headers={"Retry-After": "10"})


async def delete(call: Call) -> web.Response:
    """DELETE jobs/{id}."""
    call.may_change()
    job_id = call.job_id
    [status] = await call.target.store.delete([job_id])
    jobs.refuse_absent(status)
    if status is DeleteStatus.NOT_FINAL:
        raise Refusal("job-final", "only a final job can be deleted; cancel this one first")
    call.record("delete", job=ids.text(job_id))
    return json_response({"id": ids.text(job_id), "deleted": True})
