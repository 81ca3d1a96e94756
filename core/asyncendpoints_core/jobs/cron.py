"""The times of a cron expression in a time zone, as milliseconds since the epoch. Pure.

Five fields or an alias such as @hourly, read by cronsim. Changes of the clocks are treated as
Debian's cron does: with a fixed hour and minute, a time that does not exist is the end of the gap,
and one that occurs twice is its first occurrence; with a wildcard in one of them, elapsed time
counts. For the latter, cronsim is asked for times of the wall clock alone: with a time zone it goes
on by whole hours, and loses times where the clocks change by half an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from heapq import heappop, heappush
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MAX_COUNT: Final = 1_000
"""Up to so many times are counted."""

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
# How far back the latest time is searched, step by step: few times are visited, however dense or
# rare they are. 29 February is at most eight years from the next.
_WINDOWS: Final = (_HOUR_MS, _DAY_MS, 31 * _DAY_MS, 366 * _DAY_MS, 9 * 366 * _DAY_MS)
_A_LEAP_YEAR: Final = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression and its time zone, both valid: `check_expression`, `zone`."""

    expression: str
    time_zone: str = "Etc/UTC"

    def after(self, ms: int) -> Iterator[int]:
        """Yield the times after `ms`, each once, in order."""
        expression = _five_fields(self.expression)
        start = datetime.fromtimestamp(ms // 1_000, zone(self.time_zone))
        elapsed = any(field.startswith("*") for field in expression.split()[:2])
        last = ms
        for time in _elapsed(expression, start) if elapsed else CronSim(expression, start):
            # Several times in one gap are the same moment, and in an hour that occurs twice the
            # iteration starts in its first occurrence.
            at = int(time.timestamp()) * 1_000
            if at > last:
                last = at
                yield at

    def next(self, ms: int) -> int:
        """Return the first time after `ms`, 0 if there is none."""
        return next(self.after(ms), 0)

    def latest(self, after: int, until: int) -> int:
        """Return the last time after `after` and not after `until`, 0 if there is none."""
        for window in _WINDOWS:
            start = max(after, until - window)
            found = max(takewhile(lambda at: at <= until, self.after(start)), default=0)
            if found or start == after:
                return found
        return 0

    def count(self, after: int, before: int) -> int:
        """Return how many times are between `after` and `before`, both excluded: MAX_COUNT at
        most.
        """
        between = takewhile(lambda at: at < before, self.after(after))
        return sum(1 for _ in islice(between, MAX_COUNT))


def _elapsed(expression: str, start: datetime) -> Iterator[datetime]:
    """Yield each occurrence of the wall clock's times, in order: two where they are repeated."""
    first = start.replace(tzinfo=None, fold=0)
    if start.fold == 0:  # what is before `start` on the wall clock may occur again after it
        first -= max(_repeated(start), timedelta())
    again: list[datetime] = []
    for wall in CronSim(expression, first):
        time = wall.replace(tzinfo=start.tzinfo)
        repeated = _repeated(time)
        while again and again[0].timestamp() <= time.timestamp():
            yield heappop(again)
        if repeated > timedelta():
            heappush(again, time.replace(fold=1))
        if repeated >= timedelta():
            yield time
    yield from sorted(again)


def _repeated(time: datetime) -> timedelta:
    """Return for how long the wall clock's time is repeated, or, negative, does not exist."""
    before, after = time.replace(fold=0).utcoffset(), time.replace(fold=1).utcoffset()
    return (before or timedelta()) - (after or timedelta())


def _five_fields(expression: str) -> str:
    return ALIASES.get(expression.strip().lower(), expression)


def check_expression(expression: str) -> None:
    """Raise ValueError, with the reason, for an expression that has no times."""
    fields = _five_fields(expression).split()
    if expression.strip().startswith("@") and len(fields) == 1:
        raise ValueError(f"unknown alias; known are {', '.join(ALIASES)}")
    if len(fields) != 5:
        count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        raise ValueError(f"{count} instead of five: minute hour day month weekday")
    try:
        next(CronSim(" ".join(fields), _A_LEAP_YEAR))
    except CronSimError as error:
        raise ValueError(str(error).lower().replace("bad ", "invalid ")) from None
    except StopIteration:
        raise ValueError("it has no time in the next 50 years") from None


@cache
def zone(name: str) -> ZoneInfo:
    """Return an IANA time zone. Raises ValueError for an unknown one."""
    try:
        # Beside the zones, many systems have copies that count leap seconds, or are the machine's.
        if name.partition("/")[0] in ("posix", "right", "posixrules", "localtime"):
            raise ValueError(name)
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # OSError: a folder of zones, such as Europe
        raise ValueError(f'no time zone "{name}"') from None
