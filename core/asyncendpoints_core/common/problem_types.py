"""The table of problem types (RFC 9457) that HTTP APIs of this system answer with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

URN: Final = "urn:asyncendpoints:problem:"
BLANK: Final = "about:blank"
"""The type of a problem that says no more than its status (RFC 9457 §4.2.1): of every 412."""
MEDIA_TYPE: Final = "application/problem+json"


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
    "refused": Kind(403, "The application refused the request"),
    "not-found": Kind(404, "Not found"),
    "job-not-found": Kind(404, "There is no such job"),
    "method-not-allowed": Kind(405, "Method not allowed"),
    "job-failed": Kind(409, "The job failed"),
    "job-canceled": Kind(409, "The job was canceled"),
    "job-final": Kind(409, "The job's state does not allow this"),
    "duplicate-job": Kind(409, "An equal job is not finished"),
    "not-retryable": Kind(409, "Only a failed or canceled job can be retried"),
    "job-gone": Kind(410, "The job has been removed"),
    "body-too-large": Kind(413, "The body is too large"),
    "uri-too-long": Kind(414, "The request's URI is too long"),
    "unsupported-media-type": Kind(415, "The body's media type or encoding is not supported"),
    "invalid-body": Kind(422, "The body does not match the schema"),
    "invalid-key": Kind(422, "The key of the job is not valid"),
    "idempotency-mismatch": Kind(422, "The idempotency key was used for another request"),
    "key-queue-full": Kind(429, "The queue of this key is full"),
    "queue-full": Kind(429, "The queue is full"),
    "headers-too-large": Kind(431, "The request's headers are too large"),
    "internal": Kind(500, "Internal error"),
    "not-implemented": Kind(501, "The method or the transfer coding is not implemented"),
    "store-unavailable": Kind(503, "The queue is unavailable"),
    "version-not-supported": Kind(505, "The HTTP version is not supported"),
}

PRECONDITION_FAILED: Final = Kind(412, "Precondition Failed")

STORE_RETRY_SECONDS: Final = 2
"""Retry-After of a 503: the time a failover of Redis usually takes."""


def encode(name: str, kind: Kind, detail: str, members: Mapping[str, Any]) -> bytes:
    """Return a problem as JSON; `members` are its extension members."""
    return msgspec.json.encode(
        {
            "type": name if name == BLANK else URN + name,
            "title": kind.title,
            "status": kind.status,
            "detail": detail,
            **members,
        }
    )
