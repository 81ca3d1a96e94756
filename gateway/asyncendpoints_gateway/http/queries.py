"""Query strings: parsed strictly for the gateway's own paths, checked for UTF-8 for routes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import JobFilter
from asyncendpoints_gateway.http.headers import MAX_TAGS, MAX_WAIT_SECONDS, TAG
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 50

# A JSON number that is not negative, however a client writes it.
_WAIT: Final = re.compile(r"[0-9]{1,400}(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,9})?", re.ASCII)
_LIMIT: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_STATES: Final[Mapping[str, State]] = {state.value: state for state in State}


def check_utf8(raw: str) -> None:
    """Raise Problem unless a raw query string (without "?") decodes to UTF-8."""
    if "%" in raw or not raw.isascii():
        _decode(raw)


def _decode(raw: str) -> str:
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise Problem("invalid-query", "the query is not UTF-8") from None


def parse(raw: str) -> dict[str, str]:
    """Return the parameters of a query; a repeated parameter of ours is refused."""
    found: dict[str, str] = {}
    for key, text in _pairs(raw):
        if key in found and key in _KNOWN:
            raise Problem("invalid-query", f"{key} is given more than once")
        found[key] = text
    return found


def _pairs(raw: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in raw.split("&")] if raw else []
    return [
        (_decode(name.replace("+", " ")), _decode(value.replace("+", " ")))
        for name, _, value in parts
    ]


_KNOWN: Final = frozenset({"wait", "purge", "state", "limit", "cursor", "job"})


def wait_seconds(query: Mapping[str, str]) -> float | None:
    """Return the seconds of `wait`, at most 60, or None when it is not given."""
    value = query.get("wait")
    if value is None:
        return None
    if _WAIT.fullmatch(value) is None:
        raise Problem("invalid-query", "wait must be a number of seconds")
    return min(float(value), float(MAX_WAIT_SECONDS))


def purge(query: Mapping[str, str]) -> bool:
    """Return the value of `purge`."""
    value = query.get("purge", "false")
    if value not in {"true", "false"}:
        raise Problem("invalid-query", "purge must be true or false")
    return value == "true"


class Listing(NamedTuple):
    """What a client wants to see of the jobs."""

    state: State | None
    limit: int
    cursor: str | None
    only: JobFilter


def listing(raw: str) -> Listing:
    """Return what the query of a listing names."""
    query = parse(raw)
    state = limit = cursor = None
    if "state" in query:
        state = _STATES.get(query["state"])
        if state is None:
            raise Problem("invalid-query", f"state must be one of {', '.join(_STATES)}")
    if "limit" in query:
        limit = int(query["limit"]) if _LIMIT.fullmatch(query["limit"]) else 0
        if not 1 <= limit <= MAX_LIMIT:
            raise Problem("invalid-query", f"limit must be a number from 1 to {MAX_LIMIT}")
    if "cursor" in query:
        cursor = query["cursor"]
        if _CURSOR.fullmatch(cursor) is None:
            raise invalid_cursor()
    return Listing(state, limit or DEFAULT_LIMIT, cursor, _filter(raw, query))


def _filter(raw: str, query: Mapping[str, str]) -> JobFilter:
    if "job" in query and not query["job"]:
        raise Problem("invalid-query", "job must be the name of a job")
    tags = tuple(dict.fromkeys(text for key, text in _pairs(raw) if key == "tag"))
    if len(tags) > MAX_TAGS or not all(TAG.fullmatch(tag) for tag in tags):
        raise Problem(
            "invalid-query",
            f"tag must be given at most {MAX_TAGS} times: 1 to 64 letters, digits and . _ : / = -",
        )
    return JobFilter(query.get("job", ""), tags)


def invalid_cursor() -> Problem:
    """Return the refusal of a cursor that is not from this listing."""
    return Problem("invalid-query", "cursor must be the nextCursor of a page of the same listing")
