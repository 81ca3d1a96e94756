"""The views of one job: state, long poll, result, cancel, purge, retry; and the list of jobs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.store.protocol import CancelStatus, DeleteStatus, RedriveStatus
from asyncendpoints_gateway.http import queries
from asyncendpoints_gateway.http.headers import matches_etag
from asyncendpoints_gateway.http.problems import Problem, store_unavailable
from asyncendpoints_gateway.server.fast_path.response import Reply
from asyncendpoints_gateway.views import job_view, replies
from asyncendpoints_gateway.views.submit import queue_full

if TYPE_CHECKING:
    from aiohttp import web

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.protocol import Found
    from asyncendpoints_gateway.context import Context

log = logging.getLogger("asyncendpoints.gateway")


async def show(context: Context, request: web.BaseRequest, job_id: JobId) -> web.Response:
    """GET /jobs/{id}, with `?wait=N` a long poll."""
    seconds = queries.wait_seconds(queries.parse(request.rel_url.raw_query_string))
    if_none_match = request.headers.getall("If-None-Match", [])
    if not seconds or request.method == "HEAD":
        return replies.job_response(context, await context.get(job_id), if_none_match)
    first: int | None = None

    def satisfied(found: Found) -> bool:
        nonlocal first
        job = found.job
        if job is None or job.final:
            return True
        if if_none_match:
            return not matches_etag(if_none_match, str(job.revision))
        if first is None:
            first = job.revision
        return job.revision != first

    found, _ = await context.hub.wait(job_id, seconds, satisfied, lambda: request.transport is None)
    return replies.job_response(context, found, if_none_match)


async def result(context: Context, request: web.BaseRequest, job_id: JobId) -> web.Response:
    """GET /jobs/{id}/result."""
    found, value = await context.call(context.store.result(job_id))
    if_none_match = request.headers.getall("If-None-Match", [])
    return replies.result_response(context, found, value, if_none_match)


async def cancel(context: Context, request: web.BaseRequest, job_id: JobId) -> web.Response:
    """DELETE /jobs/{id}, with `?purge=true` the removal of a final one."""
    if queries.purge(queries.parse(request.rel_url.raw_query_string)):
        return await _purge(context, job_id)
    [answer] = await context.call(context.store.cancel([job_id]))
    if answer.status is CancelStatus.GONE:
        raise replies.gone()
    if answer.status is CancelStatus.MISSING or answer.job is None:
        raise replies.missing()
    if answer.status is CancelStatus.FINAL:
        raise Problem("job-final", f"the job is {answer.job.state.value} and cannot be canceled")
    log.info("cancel: %s", answer.status.value, extra={"job_id": ids.text(job_id)})
    body = replies.job_body(context, answer.job)
    headers = {"Content-Type": replies.JSON}
    if answer.status is CancelStatus.CANCELED:
        return Reply(body=body, headers=headers)
    headers["Retry-After"] = "1"  # a cancel reaches its handler within a second
    return Reply(status=202, body=body, headers=headers)


async def _purge(context: Context, job_id: JobId) -> web.Response:
    [status] = await context.call(context.store.delete([job_id]))
    if status is DeleteStatus.DELETED:
        log.info("purged", extra={"job_id": ids.text(job_id)})
        return Reply(status=204)
    if status is DeleteStatus.NOT_FINAL:
        raise Problem("job-final", "only a final job can be purged; cancel this one first")
    raise replies.gone() if status is DeleteStatus.GONE else replies.missing()


async def retry(context: Context, job_id: JobId) -> web.Response:
    """POST /jobs/{id}/retry."""
    [answer] = await context.call(context.store.redrive([job_id]))
    status = answer.status
    if status is RedriveStatus.REQUEUED and answer.job is not None:
        log.info("queued again", extra={"job_id": ids.text(job_id)})
        return replies.accepted(context, answer.job, answer.ahead)
    if status is RedriveStatus.NOT_RETRYABLE:
        raise Problem("not-retryable", "the job is neither Failed nor Canceled")
    if status is RedriveStatus.FULL:
        raise queue_full(context)
    if status is RedriveStatus.CLOSED:
        raise store_unavailable("the endpoint is being deleted and accepts nothing more")
    raise replies.gone() if status is RedriveStatus.GONE else replies.missing()


async def listing(context: Context, request: web.BaseRequest) -> web.Response:
    """GET /jobs."""
    if not context.config.may_list:
        raise Problem("forbidden", "this endpoint does not list its jobs")
    state, limit, cursor = queries.listing(queries.parse(request.rel_url.raw_query_string))
    try:
        page = await context.call(context.store.list(state, limit, cursor))
    except ValueError:
        raise queries.invalid_cursor() from None
    items = [job_view.view(job, context.config.base) for job in page.jobs]
    return Reply(
        body=job_view.encode({"items": items, "nextCursor": page.cursor}),
        headers={"Content-Type": replies.JSON, "Cache-Control": "no-store"},
    )
