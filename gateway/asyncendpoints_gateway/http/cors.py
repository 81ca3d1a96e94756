"""Cross-origin requests (the Fetch standard's CORS protocol), for the origins that are allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from asyncendpoints_gateway.http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncendpoints_gateway.http.messages import Headers

EXPOSED: Final = (
    "Location, Retry-After, ETag, Preference-Applied, Idempotent-Replayed, Job-Existing, "
    "Job-Webhook, Content-Disposition, WWW-Authenticate"
)
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
ALLOWED_HEADERS: Final = (
    "Accept",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Job-Delay",
    "Job-Expires",
    "Job-Priority",
    "Job-Tags",
    "Job-Webhook",
    "Last-Event-ID",
    "Prefer",
    "X-Async-Request-Id",
    "traceparent",
    "tracestate",
)
"""Request headers that a page may send, in addition to those that the routes keep."""
MAX_AGE_SECONDS: Final = 600


def serialized(origin: str) -> str:
    """Return an allowed origin as browsers write it: in lower case, without its default port
    (RFC 6454 §6.1).
    """
    origin = origin.lower()
    port = ":443" if origin.startswith("https:") else ":80"
    return origin.removesuffix(port)


class Cors:
    """The CORS headers of responses. Without origins there are none."""

    def __init__(self, origins: frozenset[str], kept: Iterable[str]) -> None:
        """Allow `origins` ("*" is every origin), and sending the `kept` headers."""
        self._origins = origins
        names = {name.lower() for name in ALLOWED_HEADERS}.union(kept)
        self._allowed_headers = ", ".join(sorted(names))

    @property
    def enabled(self) -> bool:
        """Whether any origin is allowed."""
        return bool(self._origins)

    def headers(self, request_headers: Headers) -> dict[str, str]:
        """Return the headers of every response to this request."""
        if not self._origins:
            return {}
        if "*" in self._origins:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
        origin = request_headers.get("Origin", "")
        if origin not in self._origins:
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED,
            "Vary": "Origin",
        }

    def preflight(self, request_headers: Headers) -> Response | None:
        """Return the response to a preflight of an allowed origin, None for any other request.

        Browsers send a preflight without a token, so it precedes authentication; the response does
        not depend on the routes.
        """
        if not self._origins or "Access-Control-Request-Method" not in request_headers:
            return None
        headers = self.headers(request_headers)
        if "Access-Control-Allow-Origin" not in headers:
            return None
        del headers["Access-Control-Expose-Headers"]
        headers["Access-Control-Allow-Methods"] = METHODS
        headers["Access-Control-Allow-Headers"] = self._allowed_headers
        headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
        headers["Allow"] = METHODS
        return Response(204, headers)


def with_headers(response: Response, headers: Mapping[str, str]) -> Response:
    """Return the response with `headers` added; Vary is a list and keeps what it has."""
    merged = {**response.headers, **headers}
    given, added = response.headers.get("Vary"), headers.get("Vary")
    if given and added:
        merged["Vary"] = given if added in given.split(", ") else f"{given}, {added}"
    return replace(response, headers=merged)
