"""What a running handler sees of its job, made from the claim only as far as it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import MAX_PROGRESS_CHARS, Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from asyncendpoints_worker.engine.slots import Slot


class Headers(Mapping[str, str]):
    """Request headers; names are looked up in any case."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        """Wrap `values`, whose names are in lower case."""
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"Headers({sorted(self._values)})"  # names only: values may be secrets


class _Reported:
    """What `progress` returns: awaiting it lets other jobs run once, and that is all."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        yield


_REPORTED = _Reported()


class JobContext:
    """One attempt at a job, as its handler sees it. Every member may be used from any thread."""

    __slots__ = ("_slot",)

    def __init__(self, slot: Slot) -> None:
        """Show the job in `slot`."""
        self._slot = slot

    @property
    def id(self) -> str:
        """The job's id, a UUID in text."""
        return ids.text(self._slot.claimed.job.id)

    @property
    def name(self) -> str:
        """The job's name."""
        return self._slot.claimed.job.name

    @property
    def attempt(self) -> int:
        """Which run this is, from 1; a crash or a drain does not use one up."""
        return self._slot.claimed.job.attempt

    @property
    def max_attempts(self) -> int:
        """How many runs the job has at most."""
        return self._slot.claimed.job.max_attempts

    @property
    def claim(self) -> int:
        """The fencing token: it only grows, so a store of yours can refuse an older holder."""
        return self._slot.claimed.claim.number

    @property
    def method(self) -> str:
        """The request's method."""
        return self._slot.claimed.request.method

    @property
    def path(self) -> str:
        """The request's path."""
        return self._slot.claimed.request.path

    @property
    def content_type(self) -> str:
        """The request's Content-Type, empty when it had none."""
        return self._slot.claimed.request.content_type

    @property
    def body(self) -> bytes:
        """The request's body as it came."""
        return self._slot.claimed.request.body

    @property
    def headers(self) -> Headers:
        """The headers that were kept: the safe ones and those that the route names."""
        return Headers(self._slot.claimed.request.headers)

    @property
    def route_params(self) -> Mapping[str, str]:
        """What stood in the path for each `{name}` of the route."""
        return MappingProxyType(dict(self._slot.claimed.request.route_params))

    @property
    def query_params(self) -> dict[str, list[str]]:
        """The query string, decoded: every value of each name, in order."""
        return parse_qs(self._slot.claimed.request.query, keep_blank_values=True)

    @property
    def deadline(self) -> datetime:
        """When the execution timeout ends this attempt."""
        return datetime.fromtimestamp(self._slot.claimed.deadline_ms / 1000, UTC)

    @property
    def traceparent(self) -> str:
        """The W3C trace context of the request, empty when there was none."""
        return self._slot.claimed.job.traceparent

    @property
    def cancel_requested(self) -> bool:
        """Whether the attempt should end: canceled, out of time, or its worker is closing."""
        return self._slot.stop is not None

    def raise_if_canceled(self) -> None:
        """Raise CancelledError once `cancel_requested`; for plain functions between two steps."""
        if self._slot.stop is not None:
            raise asyncio.CancelledError

    def progress(self, fraction: float, message: str = "") -> _Reported:
        """Show how far the job is: `fraction` in [0, 1] (else ValueError), a message cut at 500.

        It returns at once and never fails; what it returns may be awaited or dropped. A client
        sees it within 250 ms; of several reports in less time only the last one is sent.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress needs a fraction between 0 and 1, not {fraction!r}")
        text = str(message)[:MAX_PROGRESS_CHARS].encode(errors="replace").decode()
        self._slot.report(Progress(float(fraction), text))
        return _REPORTED
