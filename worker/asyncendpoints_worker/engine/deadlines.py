"""Execution timeouts: one timer for all running attempts, because one for each costs a fifth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asyncendpoints_worker.handlers.attempt import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncendpoints_core.common.time_source import Timer, TimeSource
    from asyncendpoints_worker.handlers.attempt import RunningAttempt


class Deadlines:
    """Stops attempts at their deadline, and gives up those that do not end within the grace."""

    def __init__(
        self,
        running: Mapping[int, RunningAttempt],
        time: TimeSource,
        grace_ms: int,
        give_up: Callable[[RunningAttempt], None] | None,
    ) -> None:
        """Watch `running`. Without `give_up`, a supervisor ends the process instead."""
        self.grace_ms = grace_ms
        self._running = running
        self._time = time
        self._give_up = give_up
        self._next = math.inf
        self._timer: Timer | None = None

    def watch(self, deadline: float) -> None:
        """Check the running attempts at `deadline` (monotonic) at the latest."""
        if deadline < self._next:
            if self._timer is not None:
                self._timer.cancel()
            self._next = deadline
            self._timer = self._time.call_at(deadline, self._check)

    def start_grace(self, attempt: RunningAttempt) -> None:
        """Give an attempt that was asked to stop `grace_ms` from now to end."""
        if self._give_up is None:
            attempt.deadline = math.inf
        else:
            attempt.deadline = self._time.monotonic() + self.grace_ms / 1000
            self.watch(attempt.deadline)

    def _check(self) -> None:
        self._next, self._timer = math.inf, None
        now, nearest = self._time.monotonic(), math.inf
        for attempt in list(self._running.values()):
            if attempt.deadline > now:
                nearest = min(nearest, attempt.deadline)
            elif attempt.stop is None:
                attempt.request_stop(Stop.TIMEOUT)
                self.start_grace(attempt)
            else:
                attempt.deadline = math.inf
                if self._give_up is not None:
                    self._give_up(attempt)
        if nearest < math.inf:
            self.watch(nearest)
