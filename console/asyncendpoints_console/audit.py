"""The audit: each change, and each reading of a body, as a log line and one of the last records."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.common.time_source import rfc3339

if TYPE_CHECKING:
    from asyncendpoints_console.access import Role
    from asyncendpoints_core.common.time_source import TimeSource

log = logging.getLogger("asyncendpoints.console")

KEPT: Final = 1_000
MAX_USER: Final = 100


class Audit:
    """The records of one listener, by endpoint."""

    def __init__(self, time: TimeSource) -> None:
        self._time = time
        self._records: dict[str, deque[dict[str, Any]]] = {}

    def record(
        self, endpoint: str, action: str, role: Role, user: str, *, count: int = 1, **target: str
    ) -> dict[str, Any]:
        """Record an action; `target` names what it was done to: a job, or a filter. Return the
        record, whose count may be corrected later.
        """
        claimed = one_line(user)[:MAX_USER]
        log.info(
            "%s by %s on %s",
            action,
            role.value,
            endpoint,
            extra={"action": action, "role": role.value, "claimed_user": claimed, "count": count}
            | {f"target_{name}": value for name, value in target.items()},
        )
        entry: dict[str, Any] = {
            "time": rfc3339(self._time.now_ms()),
            "role": role.value,
            "claimedUser": claimed or None,
            "action": action,
            "count": count,
            **target,
        }
        self._records.setdefault(endpoint, deque(maxlen=KEPT)).append(entry)
        return entry

    def records(self, endpoint: str) -> list[dict[str, Any]]:
        """Return the records of an endpoint, newest first."""
        return list(reversed(self._records.get(endpoint, ())))
