"""What every view works with: configuration, the store behind shared calls, waiting, estimates."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from asyncendpoints_gateway.intake.group_commit import Batcher
from asyncendpoints_gateway.intake.long_poll import Hub
from asyncendpoints_gateway.intake.retry_after import Sampler, retry_after
from asyncendpoints_gateway.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job, NewJob
    from asyncendpoints_core.store.protocol import Enqueued, Found, Stats, Store
    from asyncendpoints_gateway.config import GatewayConfig

Value = TypeVar("Value")

_JOB_OVERHEAD = 1_024  # what a job weighs in a call beside its body: path, query, headers


class Context:
    """One gateway's shared state."""

    def __init__(self, config: GatewayConfig, store: Store) -> None:
        """Prepare everything; nothing runs before `Gateway.start`."""
        self.config = config
        self.store = store
        self.metrics = Metrics(lambda: self.hub.waiters)
        self.enqueue: Batcher[NewJob, Enqueued] = Batcher(
            store.enqueue,
            weigh=lambda new: len(new.request.body) + _JOB_OVERHEAD,
            observe=self.metrics.batch_of("enqueue"),
        )
        self._lookup: Batcher[JobId, Found] = Batcher(
            store.get, observe=self.metrics.batch_of("get")
        )
        self.hub = Hub(store, self.get, config.max_waiters)
        self.sampler = Sampler(store, self._sampled)
        self._offset_ms = 0
        self._calls: set[asyncio.Task[object]] = set()

    def get(self, job_id: JobId) -> asyncio.Future[Found]:
        """Look one job up, together with whatever else is looked up now."""
        return self._lookup.ask(job_id)

    async def call(self, call: Coroutine[object, object, Value]) -> Value:
        """Make a call to the store to its end, even when who asked goes away."""
        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._called)
        return await asyncio.shield(task)

    def _called(self, task: asyncio.Task[object]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # seen: who asked may have gone away

    async def drained(self) -> None:
        """Return when no call to the store is under way."""
        await self.enqueue.drained()
        await self._lookup.drained()
        if self._calls:
            await asyncio.wait(self._calls)

    def now_ms(self) -> int:
        """Return the store's time, as far as known."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    def retry_after(self, job: Job, ahead: int, now_ms: int | None = None) -> str:
        """Return the Retry-After for a job with `ahead` others before it."""
        now = self.now_ms() if now_ms is None else now_ms
        return str(retry_after(self.sampler.drain, job, ahead, now))

    def _sampled(self, stats: Stats | None) -> None:
        if stats is not None:
            self._offset_ms = stats.now_ms - time.time_ns() // 1_000_000
        self.metrics.stats(stats)
