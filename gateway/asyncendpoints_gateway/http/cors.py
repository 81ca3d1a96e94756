"""Cross-origin requests (the Fetch standard's CORS protocol), for the origins that are allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_gateway.server.fast_path.response import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web
    from multidict import CIMultiDictProxy

EXPOSED: Final = "Location, Retry-After, ETag, Preference-Applied, Idempotent-Replayed"
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
TAKEN: Final = (
    "Accept",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Job-Delay",
    "Job-Expires",
    "Job-Priority",
    "Last-Event-ID",
    "Prefer",
    "X-Async-Request-Id",
)
"""Request headers that a page may send, beside those that the routes keep."""
MAX_AGE_SECONDS: Final = 600


class Cors:
    """What is told to browsers. Without origins nothing is."""

    def __init__(self, origins: frozenset[str], kept: Iterable[str]) -> None:
        """Allow `origins` ("*" is every one), and sending the `kept` headers."""
        self._origins = origins
        self._taken = ", ".join(sorted({*(name.lower() for name in TAKEN), *kept}))

    @property
    def enabled(self) -> bool:
        """Whether there are origins that are allowed."""
        return bool(self._origins)

    def headers(self, request_headers: CIMultiDictProxy[str]) -> dict[str, str]:
        """Return what every answer to this request carries."""
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

    def preflight(self, request_headers: CIMultiDictProxy[str]) -> web.Response | None:
        """Return the answer to a preflight of an allowed origin, None if it is none.

        Browsers send it without a token, so it comes before authentication; it tells nothing of
        the routes.
        """
        if not self._origins or "Access-Control-Request-Method" not in request_headers:
            return None
        headers = self.headers(request_headers)
        if "Access-Control-Allow-Origin" not in headers:
            return None
        del headers["Access-Control-Expose-Headers"]
        headers["Access-Control-Allow-Methods"] = METHODS
        headers["Access-Control-Allow-Headers"] = self._taken
        headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
        headers["Allow"] = METHODS
        return Reply(status=204, headers=headers)


def add(response: web.StreamResponse, headers: Mapping[str, str]) -> None:
    """Put the headers on an answer; Vary is a list and keeps what it has."""
    for name, value in headers.items():
        if name == "Vary" and "Vary" in response.headers:
            given = response.headers["Vary"]
            if value not in given.split(", "):
                response.headers["Vary"] = f"{given}, {value}"
        else:
            response.headers[name] = value
