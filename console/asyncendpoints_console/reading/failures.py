"""What failed: final failures grouped by job and error code, and by what their messages say."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.jobs.records import Job

PAGE: Final = 500
EXAMINED: Final = 1_000
"""How many failures one request of the API examines."""
MESSAGES: Final = 3
"""How many messages of a group are shown to persons."""
COMPARED: Final = 200
"""How many characters of messages are compared, without their numbers and ids."""
# What differs between messages of one cause: numbers, ids, hashes, addresses. No part can begin
# within a word, and none has two ways to match the same text: the time is linear.
_VARIABLE: Final = re.compile(
    r"(?<![0-9a-z])(?:"
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
    r"|[0-7][0-9a-hjkmnp-tv-z]{25}"  # a ULID
    r"|0x[0-9a-f]+"
    r"|(?=[a-f]*[0-9])[0-9a-f]{4,}"
    r"|[0-9a-f]{8,}"
    r")(?![0-9a-z])|[0-9]+",
    re.ASCII | re.IGNORECASE,
)


def alike(message: str) -> str:
    """Return what messages of one cause have in common: how they begin, without numbers and ids."""
    return _VARIABLE.sub("#", message[: 2 * COMPARED])[:COMPARED]


async def newest(
    target: Target, *, since_ms: int = 0, cursor: str | None = None, most: int = EXAMINED
) -> tuple[list[Job], str | None]:
    """Return the newest Failed jobs after `cursor`, at most `most`: at least those that ended since
    `since_ms`; and where to go on. Raises InvalidCursor.
    """
    found: list[Job] = []
    while len(found) < most:
        page = await target.store.list(State.FAILED, min(PAGE, most - len(found)), cursor)
        found += page.jobs
        cursor = page.cursor
        if cursor is None or (found and found[-1].completed_ms <= since_ms):
            break
    return found, cursor


async def failures(
    target: Target,
    cursor: str | None = None,
    *,
    most: int = EXAMINED,
    messages: int | None = None,
) -> dict[str, Any]:
    """Return final failures grouped by job and error code, the most frequent first.

    `complete` is false if there are more than were examined, of which the newest are; `nextCursor`
    then continues with the others. `messages`: how many of each group, None for all.
    """
    groups, after = _Groups(), cursor
    while groups.examined < most:
        jobs, after = await newest(target, cursor=after, most=min(PAGE, most - groups.examined))
        groups.add(jobs)
        if after is None:
            break
        await asyncio.sleep(0)  # a store in memory does not let others run
    total = (await target.store.stats()).counts[State.FAILED]
    complete = after is None or (cursor is None and groups.examined >= total)
    return {
        "items": groups.items(messages),
        "examined": groups.examined,
        "total": total,
        "complete": complete,
        "nextCursor": None if complete else after,
    }


class _Groups:
    """Failures by job and error code, and then by what their messages have in common."""

    def __init__(self) -> None:
        self.examined = 0
        self._causes: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._alike: dict[str, str] = {}

    def add(self, jobs: Sequence[Job]) -> None:
        """Count jobs that ended before those that were added."""
        self.examined += len(jobs)
        for job in jobs:
            code = job.error.code if job.error is not None else ""
            causes = self._causes.setdefault((job.name, code), {})
            message = _message(job)
            key = self._alike.get(message)
            if key is None:
                key = self._alike[message] = alike(message)
            if key in causes:
                causes[key]["count"] += 1
            else:
                causes[key] = {"count": 1, "newest": _newest(job)}

    def items(self, messages: int | None) -> list[dict[str, Any]]:
        """Return the groups with so many of their messages, the most frequent first."""
        items = [
            {
                "job": name,
                "error": code,
                "count": sum(cause["count"] for cause in causes.values()),
                "newest": next(iter(causes.values()))["newest"],
                "messages": most_frequent(causes.values())[:messages],
            }
            for (name, code), causes in self._causes.items()
        ]
        return most_frequent(items)


def most_frequent(counted: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what has a `count`, the largest first."""
    return sorted(counted, key=lambda each: -int(each["count"]))


def _newest(job: Job) -> dict[str, Any]:
    return {
        "id": ids.text(job.id),
        "completedAt": timestamp(job.completed_ms),
        "message": _message(job),
    }


def _message(job: Job) -> str:
    return job.error.message if job.error is not None else ""
