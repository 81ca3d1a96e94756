"""Refused requests of the operations API, as problems (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.problem_types import STORE_RETRY_SECONDS, TABLE, Kind, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEMS: Final[Mapping[str, Kind]] = {
    **TABLE,
    "action-running": Kind(409, "An action on many jobs is running"),
    "not-dead": Kind(409, "Only a dead delivery can be replayed"),
    "receiver-gone": Kind(409, "The webhook of the delivery gets no more events"),
    "schedule-busy": Kind(409, "An earlier job of the schedule is not finished"),
}
"""The types of problems: those of the gateway, and the operations API's own."""


class Refusal(Exception):
    """A refused request: `name` is in PROBLEMS, `detail` is for humans."""

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
        self.status = PROBLEMS[name].status
        self.detail = detail
        self.title = PROBLEMS[name].title
        self.headers = headers or {}
        self._members = members or {}

    def body(self) -> bytes:
        """Return the problem as JSON."""
        return encode(self.name, PROBLEMS[self.name], self.detail, self._members)


def forbidden(detail: str) -> Refusal:
    """Return the 403."""
    return Refusal("forbidden", detail)


def unauthorized() -> Refusal:
    """Return the 401 for a request without a valid token or session."""
    text = "send Authorization: Bearer TOKEN with a view or operate token"
    return Refusal("unauthorized", text, headers={"WWW-Authenticate": "Bearer"})


def invalid_cursor() -> Refusal:
    """Return the 400 for a cursor that no page of this listing gave."""
    return Refusal("invalid-query", "cursor must be the nextCursor of a page of the same listing")


def store_unavailable(detail: str = "the queue cannot be reached; try again") -> Refusal:
    """Return the 503 for a queue that cannot be reached."""
    return Refusal("store-unavailable", detail, headers={"Retry-After": str(STORE_RETRY_SECONDS)})
