"""Every way a request can be refused: one table of problems (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from asyncendpoints_gateway.http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Mapping


URN: Final = "urn:asyncendpoints:problem:"
MEDIA_TYPE: Final = "application/problem+json"
STORE_RETRY_SECONDS: Final = 2
"""Retry-After of a 503: the time a failover of Redis usually takes."""


class Kind(NamedTuple):
    """The fixed part of a problem."""

    status: int
    title: str


TABLE: Final[Mapping[str, Kind]] = {
    "malformed-body": Kind(400, "The body cannot be read"),
    "invalid-header": Kind(400, "The request line or a header is not valid"),
    "invalid-query": Kind(400, "The path or the query is not valid"),
    "unauthorized": Kind(401, "A valid bearer token is required"),
    "forbidden": Kind(403, "This is not allowed"),
    "not-found": Kind(404, "Not found"),
    "job-not-found": Kind(404, "There is no such job"),
    "method-not-allowed": Kind(405, "Method not allowed"),
    "job-failed": Kind(409, "The job failed"),
    "job-canceled": Kind(409, "The job was canceled"),
    "job-final": Kind(409, "The job's state does not allow this"),
    "not-retryable": Kind(409, "Only a failed or canceled job can be retried"),
    "job-gone": Kind(410, "The job has been removed"),
    "body-too-large": Kind(413, "The body is too large"),
    "uri-too-long": Kind(414, "The request's URI is too long"),
    "unsupported-media-type": Kind(415, "The body's media type or encoding is not supported"),
    "invalid-body": Kind(422, "The body does not match the schema"),
    "idempotency-mismatch": Kind(422, "The idempotency key was used for another request"),
    "queue-full": Kind(429, "The queue is full"),
    "headers-too-large": Kind(431, "The request's headers are too large"),
    "internal": Kind(500, "Internal error"),
    "not-implemented": Kind(501, "The method or the transfer coding is not implemented"),
    "store-unavailable": Kind(503, "The queue is unavailable"),
    "version-not-supported": Kind(505, "The HTTP version is not supported"),
}


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
        """Refuse with the problem `name` of the table; `detail` is for humans."""
        super().__init__(detail)
        self.name = name
        self.kind = TABLE[name]
        self.detail = detail
        self.headers = headers or {}
        self.members = members or {}
        self.close = close

    def fields(self) -> dict[str, Any]:
        """Return what makes this problem again in another process: name, detail, members."""
        return {"name": self.name, "detail": self.detail, "members": self.members}

    def body(self) -> bytes:
        """Return the problem as JSON."""
        return msgspec.json.encode(
            {
                "type": URN + self.name,
                "title": self.kind.title,
                "status": self.kind.status,
                "detail": self.detail,
                **self.members,
            }
        )

    def response(self) -> Response:
        """Return the problem as a response."""
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **self.headers,
        }
        return Response(self.kind.status, headers, self.body(), self.close)


def store_unavailable(detail: str = "the store is not available; try again") -> Problem:
    """Return the 503 for a store that cannot be reached."""
    return Problem("store-unavailable", detail, headers={"Retry-After": str(STORE_RETRY_SECONDS)})


def endpoint_closed() -> Problem:
    """Return the 503 for an endpoint that is being deleted."""
    return store_unavailable("the endpoint is being deleted and accepts no new jobs")


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
