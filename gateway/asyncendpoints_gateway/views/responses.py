"""The responses about a job that several views give: the job, its result, or why there is none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from asyncendpoints_core.errors import RecordError
from asyncendpoints_core.jobs import ids, job_view
from asyncendpoints_core.jobs.states import State
from asyncendpoints_gateway.http.headers import matches_etag
from asyncendpoints_gateway.http.messages import JSON, Response
from asyncendpoints_gateway.http.problems import Problem, job_not_found, store_unavailable
from asyncendpoints_gateway.intake.retry_after import Sampler, whole_seconds
from asyncendpoints_gateway.intake.store_policy import StorePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job, Result
    from asyncendpoints_core.store.positions import Position
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Found

log = logging.getLogger("asyncendpoints.gateway")

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_CACHE: Final = "private, no-cache"
# A result's bytes come from a client and are served from this origin: browsers must not run them.
_UNTRUSTED: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


def existing(found: Found) -> Job:
    """Return the job that was found, or raise the 503, 410 or 404."""
    if found.job is not None:
        return found.job
    if found.unreadable:
        raise unreadable()
    raise gone() if found.gone else job_not_found()


def unreadable() -> Problem:
    """Return the 503 for a job whose record this version cannot read."""
    return store_unavailable("the job's record cannot be read by this version of the gateway")


async def stored_result(store: Store, job_id: JobId) -> tuple[Found, Result | None]:
    """Read a job with its result. Raises the 500 for one that cannot be read: a further request
    reads the same bytes.
    """
    try:
        return await store.result(job_id)
    except RecordError as error:
        log.error("%s", error)
        text = "the job completed, but its stored result cannot be read"
        raise Problem("internal", text) from None


def gone(headers: Mapping[str, str] | None = None) -> Problem:
    """Return the 410 for a job that was removed after its retention or by a purge."""
    text = "the job has been removed after its retention or by a purge"
    return Problem("job-gone", text, headers=headers)


@dataclass(frozen=True, slots=True)
class JobResponses:
    """Builds responses whose links begin with `base`.

    `sampler` estimates their Retry-After; `policy` has the queue's limits.
    """

    base: str
    sampler: Sampler
    policy: StorePolicy

    def location(self, job: Job) -> str:
        """Return a job's URL path."""
        return f"{self.base}/jobs/{ids.text(job.id)}"

    def _retry_after(self, job: Job, position: Position, now_ms: int | None = None) -> str:
        limits = self.policy.current.limits
        return str(self.sampler.retry_after(job, position, limits, now_ms))

    def body(self, job: Job) -> bytes:
        """Return the job as JSON."""
        return job_view.encode_job(job, self.location(job))

    def accepted(
        self, job: Job, position: Position, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Response:
        """Return the 202 for a job that is not final: its location and when to poll."""
        return Response(202, *self.accepted_parts(job, position, headers))

    def accepted_parts(
        self, job: Job, position: Position, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bytes]:
        """Return headers and body of the 202; `headers` are added."""
        # A job that was just created carries the store's present time.
        now = job.updated_ms if job.revision == 1 else None
        here = self.location(job)
        merged = {
            "Content-Type": JSON,
            "Location": here,
            "Retry-After": self._retry_after(job, position, now),
            **headers,
        }
        return merged, job_view.encode_job(job, here)

    def job(self, found: Found, if_none_match: list[str]) -> Response:
        """Return the 200 with the job, or the 304 when the client has this revision."""
        job = existing(found)
        tag = str(job.revision)
        headers = {"ETag": f'"{tag}"', "Cache-Control": _CACHE, "Vary": "Accept"}
        if not job.final:
            headers["Retry-After"] = self._retry_after(job, found.position)
        if if_none_match and matches_etag(if_none_match, tag):
            return Response(304, headers)
        headers["Content-Type"] = JSON
        return Response(200, headers, self.body(job))

    def result(
        self, found: Found, result: Result | None, if_none_match: list[str] | None = None
    ) -> Response:
        """Return the result, the 202 of a job that is not final, or raise the 409 without one."""
        job = existing(found)
        if not job.final:
            headers = {
                "Content-Type": JSON,
                "Retry-After": self._retry_after(job, found.position),
            }
            return Response(202, headers, self.body(job))
        if job.state is not State.COMPLETED:
            raise _unsuccessful(job)
        if result is None:
            raise gone()
        tag = str(job.revision)
        headers = {"ETag": f'"{tag}"', "Cache-Control": _CACHE, **_UNTRUSTED}
        if if_none_match and matches_etag(if_none_match, tag):
            return Response(304, headers)
        headers["Content-Type"] = _printable(result.content_type) or "application/octet-stream"
        if result.filename:
            headers["Content-Disposition"] = _attachment(result.filename)
        return Response(200, headers, result.body)

    def duplicate(self, job: Job, why: str = "an equal job is not finished") -> Problem:
        """Return the 409 for a submission in the place of which there is `job`."""
        return Problem(
            "duplicate-job",
            why,
            headers={"Location": self.location(job)},
            members={"job": ids.text(job.id)},
        )

    def queue_full(self) -> Problem:
        """Return the 429; its Retry-After estimates when the next job leaves the queue."""
        seconds = whole_seconds(self.sampler.estimate.until_next())
        policy = self.policy.current
        limits = f"{policy.max_depth} jobs or {policy.max_bytes} bytes"
        return Problem(
            "queue-full",
            f"queue limit reached ({limits}); retry after {seconds} s",
            headers={"Retry-After": str(seconds)},
        )

    def key_queue_full(self, key: str, position: Position) -> Problem:
        """Return the 429 of a key; its Retry-After estimates when its next job, which has that
        position, leaves the queue.
        """
        estimate, limits = self.sampler.estimate, self.policy.current.limits
        seconds = whole_seconds(estimate.until_next_of(key, position, limits))
        return Problem(
            "key-queue-full",
            f"queue limit of this key reached; retry after {seconds} s",
            headers={"Retry-After": str(seconds)},
        )


def _unsuccessful(job: Job) -> Problem:
    """Return the 409 for a job that ended without a result, with its error."""
    members = {"error": job_view.error_view(job.error), "job": ids.text(job.id)}
    if job.state is State.FAILED:
        return Problem("job-failed", "the job failed and has no result", members=members)
    return Problem("job-canceled", "the job was canceled and has no result", members=members)


def _printable(value: str) -> str:
    """Return a header's value without the characters that could end it."""
    return "".join(c for c in value if c.isascii() and c.isprintable())


def _attachment(filename: str) -> str:
    """Return the Content-Disposition for a file name in any script (RFC 6266 §4.3)."""
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\%/' else "_" for c in filename
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
