"""What a running handler sees of its job; every value is made from the claim when it is read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from asyncendpoints_core.common.any_case import Headers
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import MAX_PROGRESS_CHARS, Progress
from asyncendpoints_worker.handlers.enqueueing import new_child

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from asyncendpoints_worker.handlers.attempt import RunningAttempt


class _Reported:
    """What `progress` returns: awaiting it lets other tasks run once, nothing more."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        yield


_REPORTED = _Reported()


class JobContext:
    """One attempt at a job, as its handler sees it. Its members may be used from any thread."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: RunningAttempt) -> None:
        self._attempt = attempt

    @property
    def id(self) -> str:
        """The job's id, a UUID in text."""
        return ids.text(self._attempt.claimed.job.id)

    @property
    def name(self) -> str:
        """The job's name."""
        return self._attempt.claimed.job.name

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1; a crash or a drain does not use one up."""
        return self._attempt.claimed.job.attempt

    @property
    def max_attempts(self) -> int:
        """The maximum number of attempts."""
        return self._attempt.claimed.job.max_attempts

    @property
    def claim(self) -> int:
        """The fencing token: it only grows, so your own store can refuse an outdated holder."""
        return self._attempt.claimed.claim.number

    @property
    def method(self) -> str:
        """The request's method."""
        return self._attempt.claimed.request.method

    @property
    def path(self) -> str:
        """The request's path."""
        return self._attempt.claimed.request.path

    @property
    def content_type(self) -> str:
        """The request's Content-Type, empty if it had none."""
        return self._attempt.claimed.request.content_type

    @property
    def body(self) -> bytes:
        """The request's body, unchanged."""
        return self._attempt.claimed.request.body

    @property
    def headers(self) -> Headers:
        """The headers that were stored: the safe ones and those that the route lists."""
        return Headers(self._attempt.claimed.request.headers)

    @property
    def route_params(self) -> Mapping[str, str]:
        """The value of each `{name}` of the route's path."""
        return MappingProxyType(dict(self._attempt.claimed.request.route_params))

    @property
    def query_params(self) -> dict[str, list[str]]:
        """The query string, decoded: every value of each name, in order."""
        return parse_qs(self._attempt.claimed.request.query, keep_blank_values=True)

    @property
    def deadline(self) -> datetime:
        """When the execution timeout ends this attempt."""
        return datetime.fromtimestamp(self._attempt.claimed.deadline_ms / 1000, UTC)

    @property
    def traceparent(self) -> str:
        """The W3C trace context of the request, empty if it had none."""
        return self._attempt.claimed.job.traceparent

    @property
    def schedule(self) -> str:
        """The name of the schedule that created the job, empty for a request's."""
        return self._attempt.claimed.job.attributes.schedule

    @property
    def scheduled_at(self) -> datetime | None:
        """The time at which the schedule was due, in UTC; None for a request's job."""
        ms = self._attempt.claimed.job.attributes.scheduled_ms
        return datetime.fromtimestamp(ms / 1000, UTC) if ms else None

    @property
    def parent(self) -> str:
        """The id of the job whose handler enqueued this one, empty for any other."""
        parent = self._attempt.claimed.job.attributes.parent
        return "" if parent is None else ids.text(parent)

    @property
    def key(self) -> str:
        """The job's key, empty if it has none."""
        return self._attempt.claimed.job.attributes.key

    @property
    def tags(self) -> tuple[str, ...]:
        """The job's tags."""
        return self._attempt.claimed.job.attributes.tags

    @property
    def cancel_requested(self) -> bool:
        """Whether the attempt should end: canceled, timed out, or its worker is shutting down."""
        return self._attempt.stop is not None

    def raise_if_canceled(self) -> None:
        """Raise CancelledError once `cancel_requested`; for plain functions, between steps."""
        if self._attempt.stop is not None:
            raise asyncio.CancelledError

    def progress(self, fraction: float, message: str = "") -> _Reported:
        """Report progress: `fraction` in [0, 1] (else ValueError), `message` cut at 500 characters.

        It returns at once and never fails; what it returns may be awaited or ignored. Clients
        see it within 250 ms; of several reports in less time only the last one is sent.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress needs a fraction between 0 and 1, not {fraction!r}")
        text = str(message)[:MAX_PROGRESS_CHARS].encode(errors="replace").decode()
        self._attempt.report(Progress(float(fraction), text))
        return _REPORTED

    def enqueue(
        self,
        name: str,
        body: Any = None,
        *,
        delay: float = 0,
        priority: str | None = None,
        key: str | None = None,
        tags: Iterable[str] = (),
        content_type: str | None = None,
    ) -> str:
        """Enqueue a job of this endpoint and return its id.

        It is created in the step that completes this attempt, if and only if it completes: an
        attempt that fails, is retried or loses its claim creates nothing. `body` is sent as a
        client does: bytes and text as they are, all else as JSON, None as an empty body;
        `content_type` says otherwise. `delay` is in seconds, `priority` high, normal or low.

        Raises ValueError for a job that the endpoint does not have, for more than 100 jobs or 1 MiB
        of bodies an attempt, and for arguments that a request could not have; RuntimeError when the
        attempt has ended.
        """
        attempt = self._attempt
        new = new_child(
            attempt.rules,
            attempt.claimed,
            name,
            body,
            delay=delay,
            priority=priority,
            key=key,
            tags=tags,
            content_type=content_type,
        )
        attempt.enqueue(new)
        return ids.text(new.id)
