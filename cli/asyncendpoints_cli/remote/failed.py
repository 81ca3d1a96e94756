"""What failed, read page by page: groups by job and error code, and the causes within them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_console.reading.failures import MESSAGES, alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_cli.remote.client import Endpoint

PAGES: Final = 100
"""How many pages are read at most, each of 1,000 failures."""


def read(endpoint: Endpoint) -> dict[str, Any]:
    """Return the failures of an endpoint as the API shows one page, of all pages together."""
    found: dict[str, Any] = endpoint.get("/failures")
    cursor = found.get("nextCursor")  # an older console has one page only
    for _ in range(PAGES - 1):
        if cursor is None:
            break
        page = endpoint.get("/failures", cursor=cursor)
        _add(found["items"], page["items"])
        found["examined"] += page["examined"]
        found["complete"] = page["complete"]
        cursor = page["nextCursor"]
    found["items"].sort(key=lambda item: -item["count"])
    return found


def _add(items: list[dict[str, Any]], more: Sequence[dict[str, Any]]) -> None:
    """Add the groups of an older page to those of newer ones."""
    known = {(item["job"], item["error"]): item for item in items}
    for item in more:
        group = known.get((item["job"], item["error"]))
        if group is None:
            items.append(item)
            continue
        group["count"] += item["count"]
        causes = {alike(each["newest"]["message"]): each for each in group["messages"]}
        for each in item["messages"]:
            same = causes.get(alike(each["newest"]["message"]))
            if same is None:
                group["messages"].append(each)
            else:
                same["count"] += each["count"]
        group["messages"].sort(key=lambda cause: -cause["count"])


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
    return sorted(rows, key=lambda row: -row["count"])
