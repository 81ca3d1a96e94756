"""Jobs as the store returns them, for the gateway's unit tests."""

from typing import Any

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Job, Priority
from asyncendpoints_core.jobs.states import State

NOW = 1_790_000_000_000


def job(**changes: Any) -> Job:
    """Return a job that was created at NOW and is queued, with changes."""
    values: dict[str, Any] = {
        "id": ids.new(NOW),
        "name": "build",
        "state": State.QUEUED,
        "priority": Priority.NORMAL,
        "attempt": 0,
        "max_attempts": 4,
        "crashes": 0,
        "releases": 0,
        "claim": 0,
        "worker": "",
        "revision": 1,
        "created_ms": NOW,
        "updated_ms": NOW,
    }
    return Job(**{**values, **changes})
