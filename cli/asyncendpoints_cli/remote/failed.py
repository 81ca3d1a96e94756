"""What failed, read page by page: groups by job and error code, and the causes within them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_console.reading.failures import MESSAGES, alike, most_frequent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_cli.remote.client import Endpoint

PAGES: Final = 100
"""How many pages are read at most, each of 1,000 failures."""


def read(endpoint: Endpoint) -> dict[str, Any]:
    """Return the failures of an endpoint as the API shows one page, of all pages together."""
    found: dict[str, Any] = endpoint.get("/failures")
    cursor = found.get("nextCursor")  # an older console has one page only
    if cursor is None:
        return found
    groups = _Groups()
    groups.add(found["items"])
    for _ in range(PAGES - 1):
        if cursor is None:
            break
        page = endpoint.get("/failures", cursor=cursor)
        groups.add(page["items"])
        found["examined"] += page["examined"]
        found["complete"] = page["complete"]
        cursor = page["nextCursor"]
    return found | {"items": groups.items()}


class _Groups:
    """The groups of several pages, by job and error code, and their messages."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], dict[str, Any]] = {}

    def add(self, items: Sequence[dict[str, Any]]) -> None:
        """Add the groups of a page that is older than those that were added."""
        for item in items:
            key = item["job"], item["error"]
            known = self._items.setdefault(key, {**item, "count": 0, "messages": {}})
            known["count"] += item["count"]
            for each in item["messages"]:
                message = alike(each["newest"]["message"])
                same = known["messages"].setdefault(message, {**each, "count": 0})
                same["count"] += each["count"]

    def items(self) -> list[dict[str, Any]]:
        """Return the groups as the API shows those of a page."""
        return most_frequent(
            {**item, "messages": most_frequent(item["messages"].values())}
            for item in self._items.values()
        )


def causes(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each of the most frequent messages of a group, and one for the others."""
    rows = []
    for item in items:
        messages = item.get("messages", [{"count": item["count"], "newest": item["newest"]}])
        shown = messages[:MESSAGES]
        rows += [{**item, **each} for each in shown]
        others = item["count"] - sum(each["count"] for each in shown)
        if others:
            newest = {**item["newest"], "completedAt": None, "id": "", "message": "(others)"}
            rows.append({**item, "count": others, "newest": newest})
    return most_frequent(rows)
