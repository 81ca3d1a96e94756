"""What all verbs of MemoryStore share: the data, the time, and who waits for a change of them."""

from __future__ import annotations

from asyncendpoints_core.common.time_source import SystemTime, TimeSource
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.memory import claiming
from asyncendpoints_core.store.memory.data import Data
from asyncendpoints_core.store.memory.doorbell import Doorbell, Watchers, due_soon


class MemoryBase:
    """Part of MemoryStore."""

    def __init__(self, time: TimeSource | None = None) -> None:
        self._time = time or SystemTime()
        self._doorbell = Doorbell(self._time)
        self._watchers = Watchers()
        self._data = Data(self._watchers.publish)
        self._open = True

    def _now(self) -> int:
        if not self._open:
            raise StoreUnavailable("the store was closed")
        return max(self._time.now_ms(), self._data.tick)

    def _wake(self, jobs: int) -> None:
        if not (self._data.paused_since or self._data.closed):
            self._doorbell.wake(jobs)

    def _ready(self, now: int) -> int:
        waiting = sum(len(queue) for queue in self._data.ready.values())
        due = due_soon(claiming.next_due(self._data, now)) or self._data.gate.due(now)
        return waiting + (due or claiming.startable_suspect(self._data, now) is not None)
