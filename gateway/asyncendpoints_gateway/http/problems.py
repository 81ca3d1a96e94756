"""Every way a request can be refused: problems (RFC 9457) with what they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncendpoints_core.common.problem_types import (
    BLANK,
    MEDIA_TYPE,
    PRECONDITION_FAILED,
    STORE_RETRY_SECONDS,
    TABLE,
    encode,
)
from asyncendpoints_gateway.http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Mapping


class Problem(Exception):
    """A refused request. `members` are extension members of the JSON object (RFC 9457 §3.2).

    `close`: the connection cannot be used for another request.
    """

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
        close: bool = False,
    ) -> None:
        """Refuse with the problem `name` of the table, or BLANK; `detail` is for humans."""
        super().__init__(detail)
        self.name = name
        self.kind = PRECONDITION_FAILED if name == BLANK else TABLE[name]
        self.detail = detail
        self.headers = headers or {}
        self.members = members or {}
        self.close = close

    def fields(self) -> dict[str, Any]:
        """Return what makes this problem again in another process: name, detail, members."""
        return {"name": self.name, "detail": self.detail, "members": self.members}

    def body(self) -> bytes:
        """Return the problem as JSON."""
        return encode(self.name, self.kind, self.detail, self.members)

    def response(self) -> Response:
        """Return the problem as a response."""
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **self.headers,
        }
        return Response(self.kind.status, headers, self.body(), self.close)


def precondition_failed() -> Problem:
    """Return the 412 for a job that has none of the versions in If-Match."""
    return Problem(BLANK, "the job has changed: its ETag is none of those in If-Match")


def store_unavailable(detail: str = "the store is not available; try again") -> Problem:
    """Return the 503 for a store that cannot be reached."""
    return Problem("store-unavailable", detail, headers={"Retry-After": str(STORE_RETRY_SECONDS)})


def endpoint_closed() -> Problem:
    """Return the 503 for an endpoint that is being deleted."""
    return store_unavailable("the endpoint is closed: it is being deleted and accepts no new jobs")


def internal() -> Problem:
    """Return the 500 for an internal error; its cause is in the log only."""
    return Problem("internal", "internal error; see the gateway's log")


def method_not_allowed(allow: str) -> Problem:
    """Return the 405 with the methods that the path supports."""
    return Problem("method-not-allowed", f"allowed methods: {allow}", headers={"Allow": allow})


def not_found() -> Problem:
    """Return the 404 for an unknown path."""
    return Problem("not-found", "no route matches this path")


def job_not_found() -> Problem:
    """Return the 404 for a job."""
    return Problem("job-not-found", "there is no job with this id")
