"""Parsers for the request headers that the gateway uses. Pure functions over text.

Instructions (Job-*, Idempotency-Key) are refused when malformed; preferences (Prefer, Accept,
If-None-Match) are then ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.resource.routes import STORED_HEADERS
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_WAIT_SECONDS: Final = 60
MAX_KEY: Final = 255
MAX_TAGS: Final = 10

KEPT: Final = STORED_HEADERS
"""Headers stored with every job (in lower case); a route can add more."""

_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?", re.ASCII)
_PRIORITIES: Final[Mapping[str, Priority]] = {
    "high": Priority.HIGH,
    "normal": Priority.NORMAL,
    "low": Priority.LOW,
}
_WAIT: Final = re.compile(r'wait\s*=\s*(?:"([0-9]{1,9})"|([0-9]{1,9}))', re.ASCII | re.IGNORECASE)
_QVALUE: Final = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", re.ASCII)
TAG: Final = re.compile(r"[A-Za-z0-9._:/=-]{1,64}", re.ASCII)
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+", re.ASCII)
_ESCAPE: Final = re.compile(r'\\(["\\])')


def seconds_ms(name: str, value: str, *, positive: bool) -> int:
    """Return a number of seconds (`5`, `0.25`) in milliseconds."""
    if _SECONDS.fullmatch(value) is None:
        raise Problem(
            "invalid-header",
            f"{name} must be a number of seconds: up to 9 digits, up to 3 decimals",
        )
    whole, _, fraction = value.partition(".")
    ms = int(whole) * 1000 + int(fraction.ljust(3, "0") or 0)
    if positive and ms == 0:
        raise Problem("invalid-header", f"{name} must be greater than 0")
    return ms


def priority(value: str) -> Priority:
    """Return the priority of a Job-Priority, in upper or lower case."""
    found = _PRIORITIES.get(value.lower())
    if found is None:
        raise Problem("invalid-header", "Job-Priority must be high, normal or low")
    return found


def tags(value: str) -> tuple[str, ...]:
    """Return the tags of a Job-Tags, each once. A repeated header is one list (RFC 9110 §5.3)."""
    found = tuple(dict.fromkeys(part.strip(" \t") for part in value.split(",")))
    if len(found) > MAX_TAGS or not all(TAG.fullmatch(tag) for tag in found):
        raise Problem(
            "invalid-header",
            f"Job-Tags must be 1 to {MAX_TAGS} tags, separated by commas: 1 to 64 letters, digits "
            "and . _ : / = - each",
        )
    return found


def idempotency_key(value: str, name: str = "Idempotency-Key") -> str:
    """Return the key: `K` and `"K"` are the same, with 1 to 255 printable ASCII characters."""
    key = value
    if len(value) >= 2 and value[0] == value[-1] == '"':
        key = _ESCAPE.sub(r"\1", value[1:-1])  # a String of RFC 9651 §3.3.3
    if not 1 <= len(key) <= MAX_KEY or _PRINTABLE.fullmatch(key) is None:
        raise Problem(
            "invalid-header", f"{name} must have 1 to {MAX_KEY} printable ASCII characters"
        )
    return key


def prefer_wait(value: str) -> int | None:
    """Return N of the first `wait=N` in Prefer (RFC 7240 §2), at most 60, or None."""
    for part in value.split(","):
        match = _WAIT.fullmatch(part.partition(";")[0].strip())
        if match is not None:
            return min(int(match[1] or match[2]), MAX_WAIT_SECONDS)
    return None


def wants_events(accept: str) -> bool:
    """Return whether `text/event-stream` is preferred to JSON by quality (RFC 9110 §12.5.1).

    At equal quality JSON wins, unless the client names the stream and does not name JSON.
    """
    if "event-stream" not in accept.lower():
        return False
    best: dict[str, tuple[int, float]] = {}  # kind → (how specific, quality)
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        for kind, ranges in _RANGES.items():
            if media in ranges:
                rank = ranges.index(media)
                if kind not in best or rank > best[kind][0]:
                    best[kind] = (rank, quality)
    events, plain = best.get("events", (0, 0.0)), best.get("json", (0, 0.0))
    named_alone = events[0] == 2 and plain[0] < 2
    return events[1] > 0 and (events[1] > plain[1] or (events[1] == plain[1] and named_alone))


_RANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("*/*", "text/*", "text/event-stream"),
    "json": ("*/*", "application/*", "application/json"),
}


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _QVALUE.fullmatch(value.strip()) else 0.0
    return 1.0


_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


def matches_etag(values: Iterable[str], tag: str) -> bool:
    """Return whether If-None-Match matches the entity tag `tag` (unquoted); weak comparison."""
    return any(
        value.strip() == "*" or tag in (each for _, each in _TAG.findall(value)) for value in values
    )


_REVISION: Final = re.compile(r"[1-9][0-9]{0,15}")


def revisions(values: Sequence[str]) -> set[int] | None:
    """Return the revisions of a job that If-Match names, None for any; strong comparison.

    A tag that no job has, also a weak one, is left out.
    """
    if not values or any(value.strip() == "*" for value in values):
        return None
    tags = (tag for value in values for tag in _TAG.findall(value))
    return {int(tag) for weak, tag in tags if not weak and _REVISION.fullmatch(tag)}
