"""The interface of a pool of workers, and the pool of workers inside this process."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.scaling.victims import Worker, victim_order
from asyncendpoints_worker.local import LocalWorker
from asyncendpoints_worker.metrics import Snapshot, add, total_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import WorkerState
    from asyncendpoints_worker.handlers.registry import Registry

log = logging.getLogger("asyncendpoints.run")

STARTUP_MS: Final = 100
"""Startup time of a worker in this process."""


class Pool(Protocol):
    """The workers of one endpoint. Each has a name, and one or more worker ids in the store."""

    size: int
    startup_ms: int

    def view(self, states: Sequence[WorkerState], now_ms: int) -> tuple[Worker, ...]:
        """Return every worker that is not stopping, as input of the scaling decision."""
        ...

    def concurrency(self, states: Sequence[WorkerState]) -> int:
        """Return how many jobs one worker runs concurrently, 0 if not known yet."""
        ...

    def ids(self, names: Iterable[str], states: Sequence[WorkerState]) -> list[str]:
        """Return the store's ids of the named workers."""
        ...

    async def resize(self, size: int, victims: Sequence[str]) -> None:
        """Start or stop workers; idle ones among `victims` are stopped first."""
        ...

    async def stop(self, drain_seconds: float) -> int:
        """Stop all workers after draining; return how many jobs or workers did not finish."""
        ...

    def kill(self) -> None:
        """Stop all workers immediately, during a `stop` that takes too long."""
        ...

    def metrics(self) -> Snapshot:
        """Return the metrics of all workers, including stopped ones."""
        ...


class LocalPool:
    """Workers inside this process, for the memory store."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        store: Store,
        registry: Registry | None,
        settings: Settings,
        refused: Callable[[UsageError], None],
    ) -> None:
        """Start without workers, which run `registry`'s handlers, or send jobs to a container.
        `refused` is called with the error of a startup function that fails in the first.
        """
        self.size = 0
        self.startup_ms = STARTUP_MS
        self._endpoint = endpoint
        self._make = partial(
            LocalWorker,
            *(endpoint, store, registry),
            http_target=settings.http_target,
            callback_host=settings.callback_host,
            keeper=False,
        )
        self._refused = refused
        self._served = False
        self._count = 0
        self._workers: dict[str, LocalWorker] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[int]] = set()
        self._past = Snapshot({}, {}, {})

    def view(self, states: Sequence[WorkerState], now_ms: int) -> tuple[Worker, ...]:
        """See Pool."""
        cordoned = {state.info.id for state in states if state.cordoned_until_ms > now_ms}
        return tuple(
            Worker(name, worker.held, bool(worker.worker), worker.worker in cordoned)
            for name, worker in self._workers.items()
        )

    def concurrency(self, states: Sequence[WorkerState]) -> int:
        """See Pool."""
        return max((worker.concurrency for worker in self._workers.values()), default=0)

    def ids(self, names: Iterable[str], states: Sequence[WorkerState]) -> list[str]:
        """See Pool."""
        found = (self._workers[name].worker for name in names if name in self._workers)
        return [worker for worker in found if worker]

    async def resize(self, size: int, victims: Sequence[str]) -> None:
        """See Pool."""
        self.size = size
        while len(self._workers) < size:
            self._count += 1
            name = f"worker-{self._count}"
            self._workers[name] = worker = self._make()
            self._starting[name] = asyncio.create_task(self._start(name, worker))
        order = victim_order(
            Worker(name, worker.held, bool(worker.worker), name in victims)
            for name, worker in self._workers.items()
        )
        for victim in order[: len(self._workers) - size]:
            self._end(victim.name, self._endpoint.spec.drain_seconds)

    async def _start(self, name: str, worker: LocalWorker) -> None:
        """Start a worker, with retries if another one has started before."""
        backoff = Backoff(0.5, 30.0)
        while True:
            try:
                await worker.start()
            except UsageError as error:
                if not self._served:
                    self._refused(error)
                    return
                log.error("%s: %s did not start: %s", self._endpoint.name, name, error)
            except Exception:
                log.exception("%s: %s did not start", self._endpoint.name, name)
            else:
                self._served = True
                return
            await asyncio.sleep(backoff.next())

    def _end(self, name: str, drain_seconds: float) -> asyncio.Task[int]:
        worker, starting = self._workers.pop(name), self._starting.pop(name)
        starting.cancel()
        task = asyncio.create_task(self._stop_one(worker, drain_seconds))
        self._ending.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _stop_one(self, worker: LocalWorker, drain_seconds: float) -> int:
        left = await worker.stop(drain_seconds)
        add(self._past, worker.metrics.snapshot)
        return left

    def _ended(self, task: asyncio.Task[int]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("stopping a worker failed", exc_info=task.exception())

    async def stop(self, drain_seconds: float) -> int:
        """See Pool."""
        self.size = 0
        for name in list(self._workers):
            self._end(name, drain_seconds)
        left = await asyncio.gather(*self._ending, return_exceptions=True)
        return sum(count for count in left if isinstance(count, int))

    def metrics(self) -> Snapshot:
        """See Pool."""
        return total_of((self._past, *(one.metrics.snapshot for one in self._workers.values())))

    def kill(self) -> None:
        """See Pool."""
        for task in self._ending:
            task.cancel()
