"""The answers about a job that several views give: the job, its result, or why there is none."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.states import State
from asyncendpoints_gateway.http.headers import matches_etag
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.server.fast_path.response import Reply
from asyncendpoints_gateway.views import job_view

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job, Result
    from asyncendpoints_core.store.protocol import Found
    from asyncendpoints_gateway.context import Context

JSON: Final = "application/json"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_CACHE: Final = "private, no-cache"
# Bytes that a client chose, served from our origin: a browser must not run them.
_HARMLESS: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


def existing(found: Found) -> Job:
    """Return the job that was found, or raise the 410 or 404."""
    if found.job is not None:
        return found.job
    raise gone() if found.gone else missing()


def missing() -> Problem:
    """Return the 404 for a job."""
    return Problem("job-not-found", "no job has this id")


def gone() -> Problem:
    """Return the 410 for a job that was removed by its retention or a purge."""
    return Problem("job-gone", "the job was kept for its retention and has been removed")


def location(context: Context, job_id: JobId) -> str:
    """Return a job's URL path."""
    return f"{context.config.base}/jobs/{ids.text(job_id)}"


def job_body(context: Context, job: Job) -> bytes:
    """Return the job as JSON."""
    return job_view.encode_job(job, context.config.base)


def accepted(
    context: Context, job: Job, ahead: int, headers: Mapping[str, str] = _NONE
) -> web.Response:
    """Return the 202 for a job that will be done: where it is and when to look."""
    return Reply(202, *accepted_parts(context, job, ahead, headers))


def accepted_parts(
    context: Context, job: Job, ahead: int, headers: Mapping[str, str]
) -> tuple[Mapping[str, str], bytes]:
    """Return headers and body of the 202; `headers` are added.

    A job that is as new as its answer has the store's time in it.
    """
    now = job.updated_ms if job.revision == 1 else None
    base = context.config.base
    here = f"{base}/jobs/{ids.text(job.id)}"
    about = {
        "Content-Type": JSON,
        "Location": here,
        "Retry-After": context.retry_after(job, ahead, now),
        **headers,
    }
    return about, job_view.encode_job(job, base, here)


def job_response(
    context: Context, found: Found, if_none_match: list[str] | None = None
) -> web.Response:
    """Return the 200 with the job, or the 304 when the client has it already."""
    job = existing(found)
    tag = str(job.revision)
    headers = {"ETag": f'"{tag}"', "Cache-Control": _CACHE, "Vary": "Accept"}
    if not job.final:
        headers["Retry-After"] = context.retry_after(job, found.ahead)
    if if_none_match and matches_etag(if_none_match, tag):
        return Reply(status=304, headers=headers)
    headers["Content-Type"] = JSON
    return Reply(body=job_body(context, job), headers=headers)


def result_response(
    context: Context, found: Found, result: Result | None, if_none_match: list[str] | None = None
) -> web.Response:
    """Return the result, the 202 while there is none yet, or raise the 409 of a job without one."""
    job = existing(found)
    if not job.final:
        return Reply(
            status=202,
            body=job_body(context, job),
            headers={"Content-Type": JSON, "Retry-After": context.retry_after(job, found.ahead)},
        )
    if job.state is not State.COMPLETED:
        raise unsuccessful(job)
    if result is None:
        raise gone()
    tag = str(job.revision)
    headers = {"ETag": f'"{tag}"', "Cache-Control": _CACHE, **_HARMLESS}
    if if_none_match and matches_etag(if_none_match, tag):
        return Reply(status=304, headers=headers)
    headers["Content-Type"] = _printable(result.content_type) or "application/octet-stream"
    if result.filename:
        headers["Content-Disposition"] = _attachment(result.filename)
    return Reply(body=result.body, headers=headers)


def unsuccessful(job: Job) -> Problem:
    """Return the 409 for a job that ended without a result, with its error."""
    members = {"error": job_view.error_view(job.error), "job": ids.text(job.id)}
    if job.state is State.FAILED:
        return Problem("job-failed", "the job failed and has no result", members=members)
    return Problem("job-canceled", "the job was canceled and has no result", members=members)


def _printable(value: str) -> str:
    """Return a header's value without what could end it."""
    return "".join(c for c in value if c.isascii() and c.isprintable())


def _attachment(filename: str) -> str:
    """Return the Content-Disposition for a file name in any script (RFC 6266 §4.3)."""
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\%/' else "_" for c in filename
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
