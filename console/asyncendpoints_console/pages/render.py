"""Renders the pages: templates, what they show of times and texts, and their policy."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from asyncendpoints_core.common.time_source import parse_rfc3339
from asyncendpoints_core.jobs.cron import zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHOWN_BYTES: Final = 65_536
"""How much of an input or a result a page shows."""
ASSETS: Final[Mapping[str, str]] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
}
_LOCKED: Final = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src data:; "
POLICY: Final = (
    _LOCKED + "connect-src 'self'; form-action 'self'; script-src 'self'; style-src 'self'"
)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


@cache
def asset(name: str) -> str:
    """Return a file of the folder static."""
    folder = files("asyncendpoints_console.pages") / "static"
    return (folder / name).read_text(encoding="utf-8")


def span(seconds: float) -> str:
    """Return a length of time in one or two units."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    for limit, unit, name in ((120, 1, "s"), (2 * _HOUR, _MINUTE, "min"), (2 * _DAY, _HOUR, "h")):
        if seconds < limit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // _DAY)} d"


def visible(text: str) -> str:
    """Return text of clients and handlers with control and direction characters made visible."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text  # nearly all of them, and logs are long
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def shown_text(body: bytes) -> str:
    """Return bytes as the text that they are, or say that they are none."""
    cut = body[:SHOWN_BYTES]
    try:
        text = cut.decode("utf-8", "strict" if len(cut) == len(body) else "ignore")
    except UnicodeDecodeError:
        return f"({len(body)} bytes that are not text)"
    more = f"\n… and {len(body) - SHOWN_BYTES} more bytes" if len(body) > SHOWN_BYTES else ""
    return visible(text) + more


class Pages:
    """The templates; ages are by `now_ms`."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._environment = Environment(
            loader=PackageLoader("asyncendpoints_console.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            age=self._age,
            ago=self._ago,
            due=self._due,
            local=_local,
            remaining=self._remaining,
            rate=_rate,
            seconds=span,
            took=_took,
            visible=visible,
            waited=_waited,
        )

    def page(self, template: str, values: Mapping[str, Any], status: int = 200) -> web.Response:
        """Return a page."""
        text = self._environment.get_template(template).render(values)
        return web.Response(
            status=status,
            text=text,
            content_type="text/html",
            headers={"Content-Security-Policy": POLICY, "Vary": "Accept"},
        )

    def login(self, detail: str) -> web.Response:
        """Return the page that opens a session. It needs nothing else of this listener."""
        style, script = asset("console.css"), asset("login.js")
        template = self._environment.get_template("login.html")
        text = template.render(style=style, script=script, detail=detail)
        policy = (
            f"{_LOCKED}connect-src 'self'; form-action 'none'; "
            f"script-src {_hash(script)}; style-src {_hash(style)}"
        )
        headers = {"Content-Security-Policy": policy, "WWW-Authenticate": "Bearer"}
        return web.Response(status=401, text=text, content_type="text/html", headers=headers)

    def _seconds_since(self, time: str) -> float:
        return (self._now_ms() - parse_rfc3339(time)) / 1_000

    def _age(self, time: str) -> str:
        return span(self._seconds_since(time))

    def _ago(self, time: str) -> str:
        seconds = self._seconds_since(time)
        return f"{span(seconds)} ago" if seconds >= 1 else "now"

    def _remaining(self, time: str) -> str:
        seconds = self._seconds_since(time)
        return f"in {span(-seconds)}" if seconds < 0 else f"{span(seconds)} ago"

    def _due(self, time: str) -> str:
        return self._remaining(time) if self._seconds_since(time) < 0 else "due"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _local(time: str, zone_name: str) -> str:
    """Return a time as clocks show it in that time zone."""
    moment = datetime.fromtimestamp(parse_rfc3339(time) / 1_000, zone(zone_name))
    return f"{moment:%a} {moment.day} {moment:%b, %H:%M}"


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}/s" if value >= 100 else f"{value:.3g}/s"


def _waited(job: Mapping[str, Any]) -> str:
    """Return how long a job was due before its last attempt started, "" if it waits again."""
    if not job["startedAt"] or job["state"] in ("Queued", "Scheduled"):
        return ""
    due = max(parse_rfc3339(each) for each in (job["createdAt"], job["notBefore"]) if each)
    return span((parse_rfc3339(job["startedAt"]) - due) / 1_000)


def _took(item: Mapping[str, Any]) -> str:
    """Return how long a job, or an attempt of it, ran."""
    ended = item.get("endedAt") or item.get("completedAt")
    if not ended or not item["startedAt"]:
        return "–"
    return span((parse_rfc3339(ended) - parse_rfc3339(item["startedAt"])) / 1_000)
