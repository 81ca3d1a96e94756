"""The JSON of a job, as every client sees it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Attempt, Job, JobError, Progress

_PRIORITIES = tuple(priority.name.lower() for priority in sorted(Priority))
_STATES = {state: state.value for state in State}


class Links(msgspec.Struct):
    """URL paths of a job: `cancel` is for DELETE, `retry` for POST."""

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
    """A job's progress."""

    fraction: float
    message: str


class AttemptView(msgspec.Struct, rename="camel"):
    """One finished attempt."""

    number: int
    started_at: str | None
    ended_at: str | None
    outcome: str
    error: ErrorView | None


class JobView(msgspec.Struct, rename="camel"):
    """A job as clients see it: every field is always present, null when unset."""

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
    tags: tuple[str, ...]
    key: str | None
    parent: str | None
    schedule: str | None
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

    Most times lie within a few seconds of each other, so whole seconds are cached.
    """
    return f"{_second(ms // 1000)}{ms % 1000:03d}Z" if ms else None


def encode_job(job: Job, here: str) -> bytes:
    """Return the job as JSON; `here` is its URL path, which ends in its id."""
    return _encoder.encode(view(job, here))


def view(job: Job, here: str) -> JobView:
    """Return the job as clients see it; `here` is its URL path, which ends in its id."""
    progress, attributes = job.progress, job.attributes
    created = timestamp(job.created_ms)
    return JobView(
        here[-36:],
        job.name,
        _STATES[job.state],
        job.attempt,
        job.max_attempts,
        job.crashes,
        _PRIORITIES[job.priority],
        None if progress is None else _progress(job.state, progress),
        error_view(job.error),
        [_attempt(attempt) for attempt in job.attempts] if job.attempts else [],
        created,
        timestamp(job.not_before_ms),
        timestamp(job.started_ms),
        timestamp(job.completed_ms),
        created if job.updated_ms == job.created_ms else timestamp(job.updated_ms),
        timestamp(job.expires_at_ms),
        timestamp(job.cancel_requested_ms),
        attributes.tags,
        attributes.key or None,
        None if attributes.parent is None else ids.text(attributes.parent),
        attributes.schedule or None,
        Links(here, f"{here}/result", here, f"{here}/retry"),
    )


def _progress(state: State, progress: Progress) -> ProgressView:
    """Return progress as clients see it: what is completed is done, whatever was last reported."""
    done = state is State.COMPLETED
    return ProgressView(1.0 if done else progress.fraction, progress.message)


def error_view(error: JobError | None) -> ErrorView | None:
    """Return an error as clients see it."""
    return None if error is None else ErrorView(error.code, error.message, error.retryable)


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempt.number,
        timestamp(attempt.started_ms),
        timestamp(attempt.ended_ms),
        attempt.outcome,
        error_view(attempt.error),
    )
