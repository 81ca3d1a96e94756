"""What registered workers report about themselves: jobs without a handler, and crashes. Pure."""

from collections.abc import Collection, Iterable
from typing import Final

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.replies import WorkerState

CRASH_SHOWN_MS: Final = 600_000
"""How long a crash of a worker's process is shown."""


def jobs_without_handler(
    endpoint: AsyncEndpoint, workers: Iterable[WorkerState], pods: Collection[str]
) -> tuple[str, ...]:
    """Return the jobs of routes and schedules that no worker of the present template handles; none
    while no such worker says what it handles, as in HTTP mode.

    `pods` are the UIDs of the pods with that template. Others are being replaced: what they handle
    is neither missing nor there to stay.
    """
    current = (worker.info for worker in workers if worker.info.pod in pods)
    handled = {name for info in current for name in info.handlers}
    if not handled:
        return ()
    return tuple(sorted(endpoint.spec.job_names - handled))


def recent_crashes(workers: Iterable[WorkerState], now_ms: int) -> tuple[str, ...]:
    """Return how processes of workers died lately, each way once."""
    since = now_ms - CRASH_SHOWN_MS
    infos = (worker.info for worker in workers)
    return tuple(sorted({i.last_crash for i in infos if i.last_crash and i.last_crash_ms > since}))
