"""What failed: final failures grouped by job and error code, and by what their messages say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_console.refusals import invalid_cursor
from asyncendpoints_core.errors import InvalidCursor
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.jobs.records import Job

PAGE: Final = 500
EXAMINED: Final = 1_000
"""How many failures one request of the API examines."""
MESSAGES: Final = 3
"""How many messages of a group are shown."""
# What differs between messages of one cause: numbers, ids, hashes, addresses.
_VARIABLE: Final = re.compile(r"\b(?:0x)?[0-9a-f]{8,}(?:-[0-9a-f]+)*\b|\d+", re.ASCII)


def alike(message: str) -> str:
    """Return what messages of one cause have in common: the text without its numbers and ids."""
    return _VARIABLE.sub("#", message)


async def newest(
    target: Target, *, since_ms: int = 0, cursor: str | None = None, most: int = EXAMINED
) -> tuple[list[Job], str | None]:
    """Return the newest Failed jobs after `cursor`, at most `most`: at least those that ended since
    `since_ms`; and where to go on. Raises Refusal for a cursor of another listing.
    """
    found: list[Job] = []
    while len(found) < most:
        try:
            page = await target.store.list(State.FAILED, min(PAGE, most - len(found)), cursor)
        except InvalidCursor:
            raise invalid_cursor() from None
        found += page.jobs
        cursor = page.cursor
        if cursor is None or (found and found[-1].completed_ms <= since_ms):
            break
    return found, cursor


async def failures(
    target: Target, cursor: str | None = None, most: int = EXAMINED
) -> dict[str, Any]:
    """Return final failures grouped by job and error code, the most frequent first.

    `complete` is false if there are more than were examined, of which the newest are; `nextCursor`
    then continues with the others.
    """
    jobs, after = await newest(target, cursor=cursor, most=most)
    total = (await target.store.stats()).counts[State.FAILED]
    complete = after is None or (cursor is None and len(jobs) >= total)
    return {
        "items": _groups(jobs),
        "examined": len(jobs),
        "total": total,
        "complete": complete,
        "nextCursor": None if complete else after,
    }


def _groups(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        code = job.error.code if job.error is not None else ""
        groups.setdefault((job.name, code), []).append(job)
    items: list[dict[str, Any]] = [
        {
            "job": name,
            "error": code,
            "count": len(members),
            "newest": _newest(members[0]),
            "messages": _messages(members),
        }
        for (name, code), members in groups.items()
    ]
    items.sort(key=lambda item: -int(item["count"]))
    return items


def _messages(members: Sequence[Job]) -> list[dict[str, Any]]:
    """Return the most frequent messages of a group; those that differ in numbers are one."""
    causes: dict[str, list[Job]] = {}
    for job in members:
        causes.setdefault(alike(_message(job)), []).append(job)
    most = sorted(causes.values(), key=len, reverse=True)[:MESSAGES]
    return [{"count": len(jobs), "newest": _newest(jobs[0])} for jobs in most]


def _newest(job: Job) -> dict[str, Any]:
    return {
        "id": ids.text(job.id),
        "completedAt": timestamp(job.completed_ms),
        "message": _message(job),
    }


def _message(job: Job) -> str:
    return job.error.message if job.error is not None else ""
