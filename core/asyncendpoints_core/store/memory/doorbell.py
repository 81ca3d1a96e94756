"""The waits of the memory store: workers for a wake-up, watchers for events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.replies import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.ids import JobId

# A worker with room counts as idle from its claim on, though its wait begins a moment later. At
# most this many do, in case a wait never begins.
MAX_IDLE: Final = 10_000
MAX_EVENTS: Final = 10_000
_SOON_MS: Final = 1_000


def due_soon(ms: int | None) -> bool:
    """Return whether a job that may start in `ms`, None for never, may so before an idle worker
    looks by itself: one is woken for it, and waits until then.
    """
    return ms is not None and ms < _SOON_MS


class Doorbell:
    """Wakes as many waiting workers as there are new jobs, the longest idle first."""

    def __init__(self, time: TimeSource) -> None:
        self._time = time
        self._idle: dict[str, asyncio.Future[bool] | None] = {}
        self._woken: set[str] = set()

    def idle(self, worker: str) -> None:
        """Note that `worker` has room left after a claim, and is about to wait."""
        if len(self._idle) < MAX_IDLE:
            self._idle.setdefault(worker, None)

    def busy(self, worker: str) -> bool:
        """Note that `worker` claims by itself; return whether it had been woken."""
        woken = worker in self._woken
        self._woken.discard(worker)
        if self._idle.get(worker) is None:
            self._idle.pop(worker, None)
        return woken

    def wake(self, jobs: int) -> None:
        """Wake up to `jobs` waiting workers."""
        for worker in list(self._idle)[: max(0, jobs - len(self._woken))]:
            future = self._idle.pop(worker)
            self._woken.add(worker)
            if future is not None and not future.done():
                future.set_result(True)

    async def wait(self, worker: str, timeout_ms: int) -> bool:
        """Wait for a wake-up; see Store.wait_for_work."""
        if worker not in self._woken:
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._idle[worker] = future
            try:
                with suppress(TimeoutError):
                    async with self._time.timeout(timeout_ms / 1000):
                        await future
            except asyncio.CancelledError:
                if worker in self._woken:
                    self._woken.discard(worker)
                    self.wake(1)
                raise
            finally:
                if self._idle.get(worker) is future:
                    del self._idle[worker]
        woken = worker in self._woken
        self._woken.discard(worker)
        return woken

    def close(self) -> None:
        """End every wait with StoreUnavailable."""
        for future in self._idle.values():
            if future is not None and not future.done():
                future.set_exception(StoreUnavailable("the store was closed"))
        self._idle.clear()
        self._woken.clear()


class Watchers:
    """Queues every change for each watcher; one that falls behind gets an event without a job."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def publish(self, job_id: JobId, revision: int) -> None:
        """Queue a change for every watcher."""
        for queue in self._queues:
            if queue.qsize() >= MAX_EVENTS:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(Event(None))
            queue.put_nowait(Event(job_id, revision))

    def add(self) -> asyncio.Queue[Event | None]:
        """Start to watch; the first event has no job."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        queue.put_nowait(Event(None))
        self._queues.add(queue)
        return queue

    def remove(self, queue: asyncio.Queue[Event | None]) -> None:
        """Stop watching."""
        self._queues.discard(queue)

    def close(self) -> None:
        """End every watch with StoreUnavailable."""
        for queue in self._queues:
            queue.put_nowait(None)


async def read(queue: asyncio.Queue[Event | None]) -> AsyncIterator[Event]:
    """Yield the events of one watcher."""
    while (event := await queue.get()) is not None:
        yield event
    raise StoreUnavailable("the store was closed")
