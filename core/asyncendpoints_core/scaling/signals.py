"""What the autoscaler decides on: one reading of the store's metrics and of the workers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.scaling.victims import Worker

if TYPE_CHECKING:
    from asyncendpoints_core.store.replies import Stats


class Signals(msgspec.Struct, frozen=True):
    """One reading of the metrics. Times in ms, `now_ms` by the store's clock.

    `ready`: Queued jobs whose name is not paused and that no limit holds back. `running`: jobs held
    by workers that are not cordoned or draining; `held`: by any worker. `due`: Scheduled jobs that
    are due before a new worker would be ready. `claimed`, `ended`, `busy_ms`: counters. `replicas`:
    the current setting, which may differ from the number of `workers`. `concurrency`: jobs that one
    worker runs concurrently, 0 if not known yet.
    `rollout`: workers are being replaced by those of a new template. `proven`: a worker of the
    current template was ready before, and none is failing. `paused`: waiting jobs are not demand.
    """

    now_ms: int
    ready: int
    running: int
    held: int
    due: int
    claimed: int
    ended: int
    busy_ms: int
    replicas: int
    workers: tuple[Worker, ...] = ()
    concurrency: int = 0
    rollout: bool = False
    proven: bool = False
    paused: bool = False

    @property
    def startable(self) -> int:
        """How many jobs may start before a new worker would be ready."""
        return 0 if self.paused else self.ready + self.due

    @property
    def busy(self) -> bool:
        """Whether there is work for workers."""
        return bool(self.startable or self.held)


def signals_of(
    stats: Stats,
    replicas: int,
    workers: tuple[Worker, ...],
    *,
    concurrency: int,
    startup_ms: int,
    rollout: bool = False,
    proven: bool = False,
) -> Signals:
    """Return a reading from the store's metrics; `startup_ms` is the startup time of a worker."""
    claimed = stats.totals.get("claimed", 0)
    return Signals(
        now_ms=stats.now_ms,
        ready=stats.startable,
        running=stats.held_active,
        held=stats.held,
        due=sum(due <= stats.now_ms + startup_ms for due in stats.due_ms),
        claimed=claimed,
        ended=claimed - stats.counts.get(State.IN_PROGRESS, 0),
        busy_ms=stats.totals.get("busy_ms", 0),
        replicas=replicas,
        workers=workers,
        concurrency=concurrency,
        rollout=rollout,
        proven=proven,
        paused=stats.paused,
    )
