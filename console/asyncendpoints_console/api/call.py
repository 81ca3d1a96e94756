"""A request of the operations API once it is allowed, and the responses to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from aiohttp import web

from asyncendpoints_console.access import check_mutation
from asyncendpoints_console.refusals import Refusal, forbidden
from asyncendpoints_console.site import ROLE, Site
from asyncendpoints_console.target import Target
from asyncendpoints_core.jobs import ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

    from asyncendpoints_core.jobs.ids import JobId

USER_HEADER: Final = "Console-User"
"""The name of the user as the client claims it, for the audit."""
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """An allowed request about one endpoint."""

    request: web.Request
    target: Target
    site: Site

    @property
    def query(self) -> MultiMapping[str]:
        """The parameters of the query."""
        return self.request.query

    @property
    def job_id(self) -> JobId:
        """The job's id in the path. Raises the 404 for what is no id."""
        return self._id("job-not-found", "job")

    @property
    def action_id(self) -> JobId:
        """The id of an action in the path. Raises the 404 for what is no id."""
        return self._id("not-found", "action")

    def _id(self, problem: str, what: str) -> JobId:
        found = ids.parse(self.request.match_info["id"])
        if found is None:
            raise Refusal(problem, f"there is no {what} with this id")
        return found

    def may_change(self) -> None:
        """Refuse a request that may not change anything (403)."""
        read_only = self.site.read_only or self.target.read_only
        check_mutation(self.request.headers, self.request[ROLE], read_only=read_only)

    def may_read_bodies(self) -> None:
        """Refuse to show a body where that is disabled (403)."""
        if not self.target.bodies:
            raise forbidden("this console does not show bodies")

    async def json(self) -> dict[str, Any]:
        """Return the body, an object; an empty one for no body. Raises the 400."""
        raw = await self.request.read()
        try:
            found = msgspec.json.decode(raw) if raw else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refusal("malformed-body", "the body is not JSON") from None
        if not isinstance(found, dict):
            raise Refusal("malformed-body", "the body must be a JSON object")
        return found

    def record(self, action: str, *, count: int = 1, **target: str) -> dict[str, Any]:
        """Record in the audit what was done; return the record."""
        role, user = self.request[ROLE], self.request.headers.get(USER_HEADER, "")
        return self.site.audit.record(self.target.key, action, role, user, count=count, **target)


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return JSON."""
    body = msgspec.json.encode(value)
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)


def attachment(body: bytes, content_type: str, filename: str) -> web.Response:
    """Return bytes of a client or a handler, which no browser may run or show.

    `content_type` is what they were said to be, in a header of its own.
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in filename)
    said = "".join(c for c in content_type if c.isascii() and c.isprintable())
    return web.Response(
        body=body,
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": (
                f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(plain)}"
            ),
            "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
            "Job-Content-Type": said,
        },
    )
