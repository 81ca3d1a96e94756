"""Refused requests of the operations API, as problems (RFC 9457) of the common table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncendpoints_core.common.problem_types import STORE_RETRY_SECONDS, TABLE, encode

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(Exception):
    """A refused request: `name` is in the table of problem types, `detail` is for humans."""

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        """Refuse with further headers and members of the problem."""
        super().__init__(detail)
        self.name = name
        self.status = TABLE[name].status
        self.detail = detail
        self.title = TABLE[name].title
        self.headers = headers or {}
        self._members = members or {}

    def body(self) -> bytes:
        """Return the problem as JSON."""
        return encode(self.name, TABLE[self.name], self.detail, self._members)


def forbidden(detail: str) -> Refusal:
    """Return the 403."""
    return Refusal("forbidden", detail)


def unauthorized() -> Refusal:
    """Return the 401 for a request without a valid token or session."""
    text = "send Authorization: Bearer TOKEN with a view or operate token"
    return Refusal("unauthorized", text, headers={"WWW-Authenticate": "Bearer"})


def store_unavailable() -> Refusal:
    """Return the 503 for a queue that cannot be reached."""
    return Refusal(
        "store-unavailable",
        "the queue cannot be reached; try again",
        headers={"Retry-After": str(STORE_RETRY_SECONDS)},
    )
