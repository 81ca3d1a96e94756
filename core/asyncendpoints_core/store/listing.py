"""What reads of stored jobs take and return: filters, pages, and one job with its request."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from asyncendpoints_core.errors import InvalidCursor
from asyncendpoints_core.jobs.records import Job, Request
from asyncendpoints_core.store.replies import Found

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.states import State

Cursor = TypeVar("Cursor", bound=msgspec.Struct)


class JobFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which jobs a listing shows: those that have all that is given. `error` is an error's code;
    since_ms ≤ created < until_ms.
    """

    job: str = ""
    tags: tuple[str, ...] = ()
    key: str = ""
    schedule: str = ""
    error: str = ""
    since_ms: int = 0
    until_ms: int = 0

    def matches(self, job: Job) -> bool:
        """Whether a listing shows `job`."""
        attributes = job.attributes
        return (
            self.job in ("", job.name)
            and set(self.tags) <= set(attributes.tags)
            and self.key in ("", attributes.key)
            and self.schedule in ("", attributes.schedule)
            and self.error in ("", job.error.code if job.error else None)
            and self.since_ms <= job.created_ms
            and (not self.until_ms or job.created_ms < self.until_ms)
        )

    def listing(self, state: State | None) -> str:
        """Return what the cursors of this listing have in common, and no others."""
        of = state or ""
        if self == ALL_JOBS:
            return of
        digest = hashlib.blake2b(msgspec.msgpack.encode(self), digest_size=9).digest()
        return f"{of}:{base64.b64encode(digest).decode()}"


ALL_JOBS = JobFilter()
MAX_EXAMINED = 1_000
"""How many records a call of `list` with a filter looks at."""


class Inspected(msgspec.Struct, frozen=True):
    """The reply to one look-up with the request; its body is empty unless it was asked for.

    `deadline_ms` is the end of a running job's execution timeout, else 0. `waiting_for` is the
    limit that holds a queued job back now, such as key-concurrency; None when none does.
    """

    found: Found
    request: Request | None = None
    body_bytes: int = 0
    deadline_ms: int = 0
    waiting_for: str | None = None


_LIMITED = {"k": "key", "j": "job", "t": "total"}
_LIMITS = {"c": "concurrency", "r": "rate"}


def held_back(by: str) -> str | None:
    """Return the name of a limit that the stores give as two letters, None for no limit."""
    return f"{_LIMITED[by[0]]}-{_LIMITS[by[1]]}" if by else None


class Page(msgspec.Struct, frozen=True):
    """One page of a listing; `cursor` (`[A-Za-z0-9_-]+`) continues it, None on the last page."""

    jobs: tuple[Job, ...]
    cursor: str | None


class ListingCursor(msgspec.Struct, array_like=True, frozen=True):
    """Where the next page begins: in a section, below a number and an id, or at its start.

    A job that changed since the listing began (`begun_ms`) may have been on an earlier page, so
    later pages skip it. `listing` is that of JobFilter.
    """

    listing: str
    section: int
    begun_ms: int
    number: str
    job_id: bytes

    @classmethod
    def read(cls, cursor: str, listing: str, sections: int) -> Self:
        """Read the cursor of a listing with so many sections. Raises InvalidCursor."""
        found = decode_cursor(cursor, cls)
        below = re.fullmatch("[0-9]{1,20}", found.number) and len(found.job_id) == 16
        own = found.listing == listing and 0 <= found.section < sections
        if not own or (found.number and not below):
            raise InvalidCursor
        return found

    @property
    def key(self) -> tuple[int, bytes] | None:
        """The number and the id, None at the start of the section."""
        return (int(self.number), self.job_id) if self.number else None


def encode_cursor(cursor: msgspec.Struct) -> str:
    """Return where a page goes on as callers see it."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def decode_cursor(cursor: str, kind: type[Cursor]) -> Cursor:
    """Read a cursor; InvalidCursor for what `encode_cursor` does not make of any `kind`."""
    try:
        data = base64.urlsafe_b64decode((cursor + "=" * (-len(cursor) % 4)).encode("ascii"))
        found = msgspec.msgpack.decode(data, type=kind)
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise InvalidCursor from None
    if encode_cursor(found) != cursor:
        raise InvalidCursor
    return found
