"""Texts of jobs for a terminal: control characters are shown, never executed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.common.time_source import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping


def escaped(value: object) -> str:
    """Return text in which C0, C1, bidirectional and other invisible characters are escaped."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def age(timestamp: str | None) -> str:
    """Return how long ago a time of the API was, such as "35s", "12m", "3h", "9d"."""
    if timestamp is None:
        return ""
    return seconds(time.time() - moment(timestamp))


def moment(timestamp: str) -> float:
    """Return a time of the API as seconds since the epoch."""
    return parse_rfc3339(timestamp) / 1000


def seconds(count: float) -> str:
    """Return a duration in one unit."""
    count = max(0.0, count)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if count >= 2 * size:
            return f"{int(count // size)}{unit}"
    return f"{count:.1f}s" if count < 10 else f"{int(count)}s"


def ran(job: Mapping[str, Any]) -> str:
    """Return how long the last or running attempt of a job took so far."""
    if job["startedAt"] is None:
        return ""
    end = moment(job["completedAt"]) if job["completedAt"] else time.time()
    return seconds(end - moment(job["startedAt"])) if job["state"] != "Scheduled" else ""


def progress(job: Mapping[str, Any]) -> str:
    """Return the progress of a job as a percentage with its message."""
    found = job["progress"]
    if found is None:
        return ""
    return f"{found['fraction']:.0%} {escaped(found['message'])}".rstrip()


def waits(job: Mapping[str, Any]) -> str:
    """Return what a waiting job waits for."""
    if job["state"] not in ("Queued", "Scheduled"):
        return ""
    for stopped in ("suspended", "paused"):
        if job.get(stopped):  # an older console does not say so
            return stopped
    if job["state"] == "Scheduled":
        return f"due in {seconds(moment(job['notBefore']) - time.time())}"
    if job["waitingFor"]:
        return f"held by the limit {job['waitingFor']}"
    ahead = job["position"]
    return "" if ahead is None else f"{ahead} before it" if ahead else "next"


def reason(job: Mapping[str, Any]) -> str:
    """Return the error of a job in one line."""
    error = job["error"]
    return "" if error is None else f"{escaped(error['code'])}: {escaped(error['message'])}"
