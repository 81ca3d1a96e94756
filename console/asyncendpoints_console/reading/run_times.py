"""How long jobs of one name ran, of the newest that completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import JobFilter

if TYPE_CHECKING:
    from asyncendpoints_console.target import Target

NEWEST: Final = 100


async def run_times(target: Target, name: str) -> dict[str, Any] | None:
    """Return the median, the 95th percentile and the longest of the last attempts' seconds, and of
    how many jobs: the newest that completed, at most 100 among the newest 1,000 of all names. None
    without any.
    """
    page = await target.store.list(State.COMPLETED, NEWEST, None, JobFilter(job=name))
    times = sorted(job.completed_ms - job.started_ms for job in page.jobs if job.started_ms)
    if not times:
        return None

    def quantile(part: float) -> float:
        return times[min(len(times) - 1, int(part * len(times)))] / 1_000

    return {
        "count": len(times),
        "p50": quantile(0.5),
        "p95": quantile(0.95),
        "longest": times[-1] / 1_000,
    }
