"""The JSON of a job, as every client sees it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import NO_ATTRIBUTES, Job, Priority
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Attempt, JobError, Progress

_PRIORITIES = tuple(priority.name.lower() for priority in sorted(Priority))
_NORMAL, _QUEUED = Priority.NORMAL, State.QUEUED
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


@lru_cache(maxsize=64)
def timestamp(ms: int) -> str | None:
    """Return a time as RFC 3339 in UTC with milliseconds, None when it is unset (0).

    The jobs of one batch have the same times, and most others lie within a few seconds.
    """
    return f"{_second(ms // 1000)}{ms % 1000:03d}Z" if ms else None


def encode_job(job: Job, here: str) -> bytes:
    """Return the job as JSON; `here` is its URL path, which ends in its id."""
    if (
        job.revision != 1
        or job.attributes is not NO_ATTRIBUTES
        or job.priority is not _NORMAL
        or job.state is not _QUEUED
        or job.not_before_ms
        or job.updated_ms != job.created_ms
        or not job.expires_at_ms
    ):
        return _encoder.encode(view(job, here))
    # Most 202s. Only the id and two times differ from one such job to the next.
    name = here[-36:]
    created, expires = timestamp(job.created_ms), timestamp(job.expires_at_ms)
    a, b, c, d, e, f, g, h, i = _pieces(here[:-36], job.name, job.max_attempts)
    return (
        f"{a}{name}{b}{created}{c}{created}{d}{expires}{e}{name}{f}{name}{g}{name}{h}{name}{i}"
    ).encode()


@lru_cache(maxsize=256)
def _pieces(base: str, name: str, max_attempts: int) -> list[str]:
    """Return the JSON of a job that was just created, split where its id and its times belong."""
    mark = "<>"  # in no URL, and in no name
    new = Job(
        JobId(bytes(16)),
        name,
        State.QUEUED,
        Priority.NORMAL,
        attempt=0,
        max_attempts=max_attempts,
        crashes=0,
        releases=0,
        claim=0,
        worker="",
        revision=1,
        created_ms=0,
        updated_ms=0,
    )
    shown = view(new, base + mark)
    shown.id = shown.created_at = shown.updated_at = shown.expires_at = mark
    return _encoder.encode(shown).decode().split(mark)


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
