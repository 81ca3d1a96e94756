"""The verbs of MemoryStore for the owner of an endpoint: suspend, pause, close, purge."""

from __future__ import annotations

from typing import Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store import pauses
from asyncendpoints_core.store.memory.base import MemoryBase
from asyncendpoints_core.store.memory.data import PAUSED, SUSPENDED, Data

PURGE_BOUND: Final = 1_000


class OwnerVerbs(MemoryBase):
    """Part of MemoryStore."""

    async def suspend(self, suspended: bool) -> None:
        if suspended:
            self._stop_claims(SUSPENDED)
        else:
            self._allow_claims(SUSPENDED)

    async def pause(self, job: str = "") -> None:
        if job:
            data, now = self._data, self._now()
            data.pauses[job] = pauses.begin(data.pauses.get(job, ()), now - data.paused_for(now))
        else:
            self._stop_claims(PAUSED)

    async def resume(self, job: str = "") -> None:
        now, data = self._now(), self._data
        if not job:
            self._allow_claims(PAUSED)
        elif data.stopped(job):
            data.pauses[job] = pauses.end(data.pauses[job], now - data.paused_for(now))
            data.skipped.clear()
            data.gate.look_again(f"j{job}", now)
            self._wake(data.counts.get(job, {}).get(State.QUEUED, 0))

    def _stop_claims(self, by: str) -> None:
        now = self._now()
        self._data.stopped_by.add(by)
        self._data.paused_since = self._data.paused_since or now

    def _allow_claims(self, by: str) -> None:
        now, data = self._now(), self._data
        data.stopped_by.discard(by)
        if data.stopped_by:
            return
        data.paused_ms, data.paused_since = data.paused_for(now), 0
        self._wake(self._ready(now))

    async def close_queue(self) -> None:
        self._now()
        self._data.closed = True

    async def reopen_queue(self) -> None:
        now = self._now()
        self._data.closed = False
        self._wake(self._ready(now))

    async def purge(self) -> bool:
        self._now()
        if not self._data.closed:
            raise StoreError("only a closed queue can be purged")
        for job_id in list(self._data.records)[:PURGE_BOUND]:
            self._data.remove(job_id, 0)
        if self._data.records:
            return False
        self._data = Data(self._watchers.publish)
        return True
