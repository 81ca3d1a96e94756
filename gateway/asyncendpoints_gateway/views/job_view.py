"""The JSON of a job, as every client sees it, and its entity tag."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Attempt, Job, JobError

_PRIORITIES = tuple(priority.name.lower() for priority in sorted(Priority))
_STATES = {state: state.value for state in State}


class Links(msgspec.Struct):
    """Where to go from a job: `cancel` is for DELETE, `retry` for POST."""

    self: str
    result: str
    cancel: str
    retry: str


class ErrorView(msgspec.Struct):
    """A job's error."""

    code: str
    message: str
    retryable: bool


class ProgressView(msgspec.Struct):
    """How far a job is."""

    fraction: float
    message: str


class AttemptView(msgspec.Struct, rename="camel"):
    """One ended run."""

    number: int
    started_at: str | None
    ended_at: str | None
    outcome: str
    error: ErrorView | None


class JobView(msgspec.Struct, rename="camel"):
    """A job as clients see it: every field is always there, null when unset."""

    id: str
    name: str
    state: str
    attempt: int
    max_attempts: int
    crashes: int
    priority: str
    progress: ProgressView | None
    error: ErrorView | None
    attempts: list[AttemptView]
    created_at: str | None
    not_before: str | None
    started_at: str | None
    completed_at: str | None
    updated_at: str | None
    expires_at: str | None
    cancel_requested_at: str | None
    links: Links


_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """Return a view, or a list or mapping of views, as JSON."""
    return _encoder.encode(value)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return rfc3339(seconds * 1000)[:-4]


def timestamp(ms: int) -> str | None:
    """Return a time as RFC 3339 in UTC with milliseconds, None when it is unset (0).

    A gateway writes thousands of times that lie within a few seconds: only the milliseconds differ.
    """
    return f"{_second(ms // 1000)}{ms % 1000:03d}Z" if ms else None


def encode_job(job: Job, base: str, here: str | None = None) -> bytes:
    """Return the job as JSON; `here` is its own path, if that is known already.

    A job that was just created, the commonest by far, is written out directly: all that can differ
    between two of these is filled into one template.
    """
    if job.revision != 1 or job.attempt or job.error or job.progress or job.started_ms:
        return _encoder.encode(view(job, base))
    here = here or f"{base}/jobs/{ids.text(job.id)}"  # needs no escape in JSON
    job_id, created = here[-36:], timestamp(job.created_ms)
    state = "Queued" if job.state is State.QUEUED else job.state.value
    due, ends = job.not_before_ms, job.expires_at_ms
    return (
        f'{{"id":"{job_id}","name":{_quoted(job.name)},"state":"{state}","attempt":0,'
        f'"maxAttempts":{job.max_attempts},"crashes":{job.crashes},'
        f'"priority":"{_PRIORITIES[job.priority]}","progress":null,"error":null,"attempts":[],'
        f'"createdAt":"{created}","notBefore":{_time(due)},"startedAt":null,"completedAt":null,'
        f'"updatedAt":"{timestamp(job.updated_ms)}","expiresAt":{_time(ends)},'
        f'"cancelRequestedAt":{_time(job.cancel_requested_ms)},{_links(here)}}}'
    ).encode()


def _time(ms: int) -> str:
    return f'"{_second(ms // 1000)}{ms % 1000:03d}Z"' if ms else "null"


def _links(here: str) -> str:
    return (
        f'"links":{{"self":"{here}","result":"{here}/result","cancel":"{here}",'
        f'"retry":"{here}/retry"}}'
    )


@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    return _encoder.encode(text).decode()


def view(job: Job, base: str) -> JobView:
    """Return what clients see of `job`; links begin with `base`."""
    job_id = ids.text(job.id)
    here = f"{base}/jobs/{job_id}"
    progress = job.progress
    created = timestamp(job.created_ms)
    return JobView(
        job_id,
        job.name,
        _STATES[job.state],
        job.attempt,
        job.max_attempts,
        job.crashes,
        _PRIORITIES[job.priority],
        None if progress is None else ProgressView(progress.fraction, progress.message),
        error_view(job.error),
        [_attempt(attempt) for attempt in job.attempts] if job.attempts else [],
        created,
        timestamp(job.not_before_ms),
        timestamp(job.started_ms),
        timestamp(job.completed_ms),
        created if job.updated_ms == job.created_ms else timestamp(job.updated_ms),
        timestamp(job.expires_at_ms),
        timestamp(job.cancel_requested_ms),
        Links(here, f"{here}/result", here, f"{here}/retry"),
    )


def error_view(error: JobError | None) -> ErrorView | None:
    """Return what clients see of an error."""
    return None if error is None else ErrorView(error.code, error.message, error.retryable)


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempt.number,
        timestamp(attempt.started_ms),
        timestamp(attempt.ended_ms),
        attempt.outcome,
        error_view(attempt.error),
    )
