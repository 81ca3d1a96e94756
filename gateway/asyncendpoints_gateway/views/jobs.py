"""The views of one job: state, long poll, result, cancel, purge, retry; and the list of jobs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncendpoints_core.errors import InvalidCursor
from asyncendpoints_core.jobs import ids, job_view
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import CancelStatus, DeleteStatus, RedriveStatus
from asyncendpoints_gateway.http import queries
from asyncendpoints_gateway.http.headers import matches_etag, revisions
from asyncendpoints_gateway.http.messages import JSON, Response
from asyncendpoints_gateway.http.problems import (
    Problem,
    endpoint_closed,
    job_not_found,
    precondition_failed,
)
from asyncendpoints_gateway.intake.long_poll import Hub
from asyncendpoints_gateway.intake.store_calls import StoreCalls
from asyncendpoints_gateway.views.responses import JobResponses, gone, unreadable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Result
    from asyncendpoints_core.store.replies import Found
    from asyncendpoints_gateway.http.messages import Request

    ReadResult = Callable[[JobId], Awaitable[tuple[Found, Result | None]]]

log = logging.getLogger("asyncendpoints.gateway")


@dataclass(frozen=True, slots=True)
class JobViews:
    """The views below /jobs. `may_list`: whether GET /jobs is allowed."""

    store: Store
    calls: StoreCalls
    read_result: ReadResult
    hub: Hub
    responses: JobResponses
    may_list: bool

    async def show(self, request: Request, job_id: JobId) -> Response:
        """GET /jobs/{id}, with `?wait=N` a long poll."""
        seconds = queries.wait_seconds(queries.parse(request.query))
        if_none_match = request.headers.getall("If-None-Match", [])
        if not seconds or request.method == "HEAD":
            return self.responses.job(await self.hub.get(job_id), if_none_match)
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

        found, _ = await self.hub.wait(job_id, seconds, satisfied, request.client_gone)
        return self.responses.job(found, if_none_match)

    async def result(self, request: Request, job_id: JobId) -> Response:
        """GET /jobs/{id}/result."""
        found, value = await self.read_result(job_id)
        if_none_match = request.headers.getall("If-None-Match", [])
        return self.responses.result(found, value, if_none_match)

    async def cancel(self, request: Request, job_id: JobId) -> Response:
        """DELETE /jobs/{id}, with `?purge=true` the removal of a final one."""
        if queries.purge(queries.parse(request.query)):
            return await self._purge(request, job_id)
        call = self.store.cancel([job_id], revisions=_if_match(request))
        [answer] = await self.calls.run(call)
        _refuse_absent(answer.status)
        if answer.job is None:
            raise job_not_found()
        if answer.status is CancelStatus.FINAL:
            state = answer.job.state.value
            text = f"the job is {state} and cannot be canceled"
            raise Problem("job-final", text, members={"state": state})
        log.info("cancel: %s", answer.status.value, extra={"job_id": ids.text(job_id)})
        body = self.responses.body(answer.job)
        if answer.status is CancelStatus.CANCELED:
            return Response(200, {"Content-Type": JSON}, body)
        # A running handler receives the cancellation within a second.
        return Response(202, {"Content-Type": JSON, "Retry-After": "1"}, body)

    async def _purge(self, request: Request, job_id: JobId) -> Response:
        call = self.store.delete([job_id], revisions=_if_match(request))
        [status] = await self.calls.run(call)
        _refuse_absent(status)
        if status is DeleteStatus.NOT_FINAL:
            raise Problem("job-final", "only a final job can be purged; cancel this one first")
        if status is not DeleteStatus.DELETED:
            raise job_not_found()
        log.info("purged", extra={"job_id": ids.text(job_id)})
        return Response(204)

    async def retry(self, request: Request, job_id: JobId) -> Response:
        """POST /jobs/{id}/retry."""
        call = self.store.redrive([job_id], revisions=_if_match(request))
        [answer] = await self.calls.run(call)
        _refuse_absent(answer.status)
        match answer.status:
            case RedriveStatus.NOT_RETRYABLE:
                raise Problem("not-retryable", "the job is neither Failed nor Canceled")
            case RedriveStatus.DUPLICATE:
                raise Problem("duplicate-job", "an equal job that is not finished has its lock")
            case RedriveStatus.FULL:
                raise self.responses.queue_full()
            case RedriveStatus.CLOSED:
                raise endpoint_closed()
        if answer.status is not RedriveStatus.REQUEUED or answer.job is None:
            raise job_not_found()
        log.info("requeued", extra={"job_id": ids.text(job_id)})
        return self.responses.accepted(answer.job, answer.position)

    async def list(self, request: Request) -> Response:
        """GET /jobs."""
        if not self.may_list:
            raise Problem("forbidden", "listing jobs is disabled for this endpoint")
        wanted = queries.listing(request.query)
        try:
            page = await self.calls.run(self.store.list(*wanted))
        except InvalidCursor:
            raise queries.invalid_cursor() from None
        items = [job_view.view(job, self.responses.location(job)) for job in page.jobs]
        return Response(
            200,
            {"Content-Type": JSON, "Cache-Control": "no-store"},
            job_view.encode({"items": items, "nextCursor": page.cursor}),
        )


def _refuse_absent(status: CancelStatus | DeleteStatus | RedriveStatus) -> None:
    """Raise Problem for a job that there is not, that cannot be read, or that has changed."""
    match status.value:
        case "missing":
            raise job_not_found()
        case "gone":
            raise gone()
        case "unreadable":
            raise unreadable()
        case "changed":
            raise precondition_failed()


def _if_match(request: Request) -> set[int] | None:
    return revisions(request.headers.getall("If-Match", []))
