"""Execution timeouts: one timer for all running jobs, because one for each costs a fifth."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncendpoints_worker.engine.slots import Slot


class Deadlines:
    """Ends attempts at their deadline, and gives up on those that do not end within the grace."""

    def __init__(
        self,
        running: Mapping[int, Slot],
        too_late: Callable[[Slot], None],
        give_up: Callable[[Slot], None],
        may_give_up: bool,
    ) -> None:
        """Watch `running`; `give_up` is called only where nobody can end the process for it."""
        self._loop = asyncio.get_running_loop()
        self._running = running
        self._too_late = too_late
        self._give_up = give_up
        self._may_give_up = may_give_up
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, deadline: float) -> None:
        """Look at the running jobs at `deadline` (loop time) at the latest."""
        if deadline < self._next:
            if self._timer is not None:
                self._timer.cancel()
            self._next = deadline
            self._timer = self._loop.call_at(deadline, self._look)

    def grace(self, slot: Slot) -> None:
        """Give an attempt that was asked to end its grace, from now on."""
        if self._may_give_up:
            slot.deadline = self._loop.time() + slot.host.policy.grace_ms / 1000
            self.watch(slot.deadline)
        else:
            slot.deadline = math.inf

    def _look(self) -> None:
        self._next, self._timer = math.inf, None
        now, nearest = self._loop.time(), math.inf
        for slot in list(self._running.values()):
            if slot.deadline > now:
                nearest = min(nearest, slot.deadline)
            elif slot.stop is None:
                self._too_late(slot)
                self.grace(slot)
            else:
                slot.deadline = math.inf
                if self._may_give_up:
                    self._give_up(slot)
        if nearest < math.inf:
            self.watch(nearest)
