"""Which jobs a request is about: the filters of listings and of actions on many jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import JobFilter

MAX_TEXT: Final = 255
MAX_TAGS: Final = 10
EXAMPLE: Final = "2026-01-31T08:00:00Z"


class Filter(msgspec.Struct, forbid_unknown_fields=True):
    """Jobs that have all that is given. `since` and `until` are times of creation."""

    state: State | None = None
    job: str = ""
    tag: list[str] = []
    key: str = ""
    error: str = ""
    schedule: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def checked(self) -> JobFilter:
        """Return the filter for the store. Raises ValueError, which names the member."""
        for name in ("job", "key", "error", "schedule"):
            _check(name, getattr(self, name))
        if len(self.tag) > MAX_TAGS:
            raise ValueError(f"tag: at most {MAX_TAGS} are allowed")
        for tag in self.tag:
            _check("tag", tag)
            if not tag or "," in tag:
                raise ValueError("tag: a tag is not empty and has no comma")
        return JobFilter(
            self.job,
            tuple(self.tag),
            self.key,
            self.schedule,
            self.error,
            _milliseconds("since", self.since),
            _milliseconds("until", self.until),
        )


def _check(name: str, text: str) -> None:
    if len(text) > MAX_TEXT or "\0" in text:
        raise ValueError(f"{name}: must have at most {MAX_TEXT} characters, and no NUL")


def _milliseconds(name: str, moment: datetime | None) -> int:
    if moment is None:
        return 0
    try:
        if moment.tzinfo is not None and (ms := round(moment.timestamp() * 1_000)) > 0:
            return ms
    except OverflowError:
        pass
    raise ValueError(f"{name}: must be a time with its zone, such as {EXAMPLE}")
