"""Who waits for what: the doorbell of idle workers and the watchers of changes."""

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

# A worker whose claim came back empty is waiting from then on, though its wait begins a moment
# later; if it never begins, the ring meant for it is given up with this many others unheard.
MAX_IDLE: Final = 10_000
MAX_EVENTS: Final = 10_000


class Doorbell:
    """Wakes as many waiting workers as there are new jobs, the longest idle first."""

    def __init__(self, time: TimeSource) -> None:
        self._time = time
        self._idle: dict[str, asyncio.Future[bool] | None] = {}
        self._rung: set[str] = set()

    def idle(self, worker: str) -> None:
        """Note that `worker` found nothing and is about to wait."""
        if len(self._idle) < MAX_IDLE:
            self._idle.setdefault(worker, None)

    def busy(self, worker: str) -> bool:
        """Note that `worker` looks for work by itself; tell whether a ring was meant for it."""
        rung = worker in self._rung
        self._rung.discard(worker)
        if self._idle.get(worker) is None:
            self._idle.pop(worker, None)
        return rung

    def ring(self, jobs: int) -> None:
        """Wake up to `jobs` waiting workers."""
        for worker in list(self._idle)[: max(0, jobs - len(self._rung))]:
            future = self._idle.pop(worker)
            self._rung.add(worker)
            if future is not None and not future.done():
                future.set_result(True)

    async def wait(self, worker: str, timeout_ms: int) -> bool:
        """Wait for a ring; see Store.wait_for_work."""
        if worker not in self._rung:
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._idle[worker] = future
            try:
                with suppress(TimeoutError):
                    async with self._time.timeout(timeout_ms / 1000):
                        await future
            except asyncio.CancelledError:
                if worker in self._rung:
                    self._rung.discard(worker)
                    self.ring(1)
                raise
            finally:
                if self._idle.get(worker) is future:
                    del self._idle[worker]
        rung = worker in self._rung
        self._rung.discard(worker)
        return rung

    def close(self) -> None:
        """End every wait with StoreUnavailable."""
        for future in self._idle.values():
            if future is not None and not future.done():
                future.set_exception(StoreUnavailable("the store was closed"))
        self._idle.clear()
        self._rung.clear()


class Watchers:
    """Gives each watcher every change; one that falls behind is told to read anew."""

    def __init__(self) -> None:
        """Begin with nobody watching."""
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def publish(self, job_id: JobId, revision: int) -> None:
        """Tell every watcher of a change."""
        for queue in self._queues:
            if queue.qsize() >= MAX_EVENTS:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(Event(None))
            queue.put_nowait(Event(job_id, revision))

    def add(self) -> asyncio.Queue[Event | None]:
        """Begin to watch; the first event says to read what is watched."""
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
