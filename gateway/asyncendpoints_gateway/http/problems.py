"""Every way a request can be refused: one table of problems (RFC 9457), and how they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from asyncendpoints_gateway.server.fast_path.response import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping


URN: Final = "urn:asyncendpoints:problem:"
MEDIA_TYPE: Final = "application/problem+json"
STORE_RETRY_SECONDS: Final = 2
"""What a 503 tells clients to wait: the time a failover of Redis usually takes."""


class Kind(NamedTuple):
    """The fixed part of a problem."""

    status: int
    title: str


TABLE: Final[Mapping[str, Kind]] = {
    "malformed-body": Kind(400, "The body cannot be read"),
    "invalid-header": Kind(400, "The request line or a header is not valid"),
    "invalid-query": Kind(400, "The path or the query is not valid"),
    "unauthorized": Kind(401, "A valid bearer token is needed"),
    "forbidden": Kind(403, "This is not allowed"),
    "not-found": Kind(404, "There is nothing here"),
    "job-not-found": Kind(404, "There is no such job"),
    "method-not-allowed": Kind(405, "This path does not take this method"),
    "job-failed": Kind(409, "The job failed"),
    "job-canceled": Kind(409, "The job was canceled"),
    "job-final": Kind(409, "The job's state does not allow this"),
    "not-retryable": Kind(409, "Only a failed or canceled job can be retried"),
    "job-gone": Kind(410, "The job has been removed"),
    "body-too-large": Kind(413, "The body is too large"),
    "uri-too-long": Kind(414, "The request's URI is too long"),
    "unsupported-media-type": Kind(415, "The body's media type or encoding is not taken"),
    "invalid-body": Kind(422, "The body does not match the schema"),
    "idempotency-mismatch": Kind(422, "The idempotency key belongs to another request"),
    "queue-full": Kind(429, "The queue is full"),
    "headers-too-large": Kind(431, "The request's headers are too large"),
    "internal": Kind(500, "Something went wrong here"),
    "store-unavailable": Kind(503, "The queue cannot be reached"),
}


class Problem(Exception):
    """A refusal on its way to the client. `members` are extension members of the JSON object.

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
        """Refuse with the problem `name` of the table; `detail` is for people."""
        super().__init__(detail)
        self.name = name
        self.kind = TABLE[name]
        self.detail = detail
        self.headers = headers or {}
        self.members = members or {}
        self.close = close

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

    def response(self) -> Reply:
        """Return the problem as an HTTP response."""
        response = Reply(
            status=self.kind.status,
            body=self.body(),
            headers={
                "Content-Type": MEDIA_TYPE,
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                **self.headers,
            },
        )
        if self.close:
            response.force_close()
        return response


def store_unavailable(detail: str = "the store did not answer; try again") -> Problem:
    """Return the 503 for a store that cannot be reached."""
    return Problem("store-unavailable", detail, headers={"Retry-After": str(STORE_RETRY_SECONDS)})


def internal() -> Problem:
    """Return the 500 for a defect of ours, which says nothing about it."""
    return Problem("internal", "the gateway's log has the details")


def method_not_allowed(allow: str) -> Problem:
    """Return the 405 with the methods that the path takes."""
    return Problem("method-not-allowed", f"this path takes {allow}", headers={"Allow": allow})


def not_found() -> Problem:
    """Return the 404 for a path that nothing has."""
    return Problem("not-found", "no route has this path")
