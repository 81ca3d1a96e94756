"""The job as the gateway shows it. Members that this version does not know are kept in `raw`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

FINAL: Final = frozenset({"Completed", "Failed", "Canceled"})
"""The states in which a job has ended."""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why an attempt or a job failed."""

    code: str
    message: str
    retryable: bool

    @classmethod
    def parse(cls, value: Any) -> JobError | None:
        """Return the error of the JSON object `value`, None for null."""
        if not isinstance(value, dict):
            return None
        return cls(
            str(value.get("code")), str(value.get("message")), value.get("retryable") is True
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `fraction` is from 0 to 1."""

    fraction: float
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished attempt."""

    number: int
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    error: JobError | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job at one moment. `state` is Queued, Scheduled, InProgress, Completed, Failed or Canceled.

    `version` is its ETag, which changes with it; "" in a list. Times are aware, in UTC.
    """

    id: str
    name: str
    state: str
    attempt: int
    max_attempts: int
    crashes: int
    priority: str
    progress: Progress | None
    error: JobError | None
    attempts: tuple[Attempt, ...]
    created_at: datetime | None
    not_before: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None
    cancel_requested_at: datetime | None
    tags: tuple[str, ...]
    key: str | None
    parent: str | None
    schedule: str | None
    version: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL

    @classmethod
    def parse(cls, value: Any, version: str = "") -> Job:
        """Return the job of the JSON object `value`; KeyError, TypeError, ValueError if it is none.

        Members that a gateway of an older version does not send have their empty values.
        """
        progress = value.get("progress")
        return cls(
            id=value["id"],
            name=value["name"],
            state=value["state"],
            attempt=value.get("attempt", 0),
            max_attempts=value.get("maxAttempts", 0),
            crashes=value.get("crashes", 0),
            priority=value.get("priority", "normal"),
            progress=progress and Progress(progress["fraction"], progress["message"]),
            error=JobError.parse(value.get("error")),
            attempts=tuple(_attempt(one) for one in value.get("attempts") or ()),
            created_at=_time(value, "createdAt"),
            not_before=_time(value, "notBefore"),
            started_at=_time(value, "startedAt"),
            completed_at=_time(value, "completedAt"),
            updated_at=_time(value, "updatedAt"),
            expires_at=_time(value, "expiresAt"),
            cancel_requested_at=_time(value, "cancelRequestedAt"),
            tags=tuple(value.get("tags") or ()),
            key=value.get("key"),
            parent=value.get("parent"),
            schedule=value.get("schedule"),
            version=version,
            raw=value,
        )


def _time(value: Mapping[str, Any], name: str) -> datetime | None:
    text = value.get(name)
    return datetime.fromisoformat(text) if text else None


def _attempt(value: Mapping[str, Any]) -> Attempt:
    return Attempt(
        number=value["number"],
        started_at=_time(value, "startedAt"),
        ended_at=_time(value, "endedAt"),
        outcome=value["outcome"],
        error=JobError.parse(value.get("error")),
    )
