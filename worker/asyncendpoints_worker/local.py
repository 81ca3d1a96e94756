"""A worker in the process that holds the store: for `run` in memory and for attached applications.

The same engine as in a child process, but a handler that does not end cannot be killed: its job is
settled in time all the same, and its slot stays occupied until the function returns.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random, random
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.time_source import SystemTime, TimeSource
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.process.tracing import tracing_of
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.recovery import RecoveryLoop
from asyncendpoints_core.store.replies import Cause, WorkerInfo
from asyncendpoints_worker.cgroup import default_concurrency
from asyncendpoints_worker.engine.heartbeat import Heartbeat
from asyncendpoints_worker.engine.loop import Engine
from asyncendpoints_worker.engine.options import Options
from asyncendpoints_worker.handlers.target import target_of
from asyncendpoints_worker.identity import WorkerIds
from asyncendpoints_worker.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.handlers.registry import Registry

log = logging.getLogger("asyncendpoints.worker")

RELEASE_SECONDS: Final = 5.0
"""How long handlers may take to end once the drain time is over."""


class LocalWorker:
    """Runs jobs of `endpoint` on this event loop between `start` and `stop`.

    It is both the LeaseHolder that the heartbeat sees and the LeaseKeeper that the engine sees.
    """

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        store: Store,
        registry: Registry | None = None,
        *,
        concurrency: int | None = None,
        folders: Sequence[Path] = (),
        http_target: str | None = None,
        callback_host: str = "127.0.0.1",
        keeper: bool = True,
        time: TimeSource | None = None,
        random: Callable[[], float] = random,
    ) -> None:
        """Prepare; UsageError for handlers that cannot be imported or called.

        Without a `registry` the endpoint's module is imported, searched for in `folders` first.
        `keeper`: run recovery and sweep too, unless something else in this process does.
        `random` returns uniform numbers in [0, 1), for jitter.
        """
        self._endpoint = endpoint
        self._store = store
        self._time = time or SystemTime()
        self._random = random
        self._target = target_of(
            endpoint, folders, registry, http_target, self._time, callback_host
        )
        self._ids = WorkerIds()
        self._child = self._ids.new_child()
        self._generation = 0
        self._with_keeper = keeper
        self._tasks: list[asyncio.Task[None]] = []
        self._engine: Engine | None = None
        self._heartbeat: Heartbeat | None = None
        self.concurrency = concurrency or endpoint.spec.worker.concurrency or default_concurrency()
        """How many jobs it runs at a time."""
        self.metrics = Metrics()
        self.worker = ""
        self.draining = False
        self.excess_beats = 0

    @property
    def running(self) -> frozenset[int]:
        """The claim numbers of the attempts whose handlers run."""
        return frozenset(() if self._engine is None else self._engine.attempts.running)

    @property
    def held(self) -> int:
        """How many jobs run or wait for the delivery of their outcome."""
        return 0 if self._engine is None else self._engine.held

    async def start(self) -> None:
        """Run the start-up functions (UsageError) and start to claim. Raises StoreError too."""
        await self._target.start()
        policy = await self._store.configure(self._endpoint.spec.policy(), overwrite=False)
        heartbeat = self._heartbeat = Heartbeat(self._store, self._time, policy, lambda: (self,))
        engine = self._engine = Engine(
            self._store,
            self._target,
            self,
            self._time,
            concurrency=self.concurrency,
            policy=policy,
            metrics=self.metrics,
            options=Options(
                # Other processes on one Redis may be of a version that has the handler.
                missing_is_final=isinstance(self._store, MemoryStore),
                tracing=tracing_of(self._endpoint.key),
                logs=self._endpoint.spec.worker.logs,
                random=self._random,
            ),
        )
        loops = [heartbeat.run(), engine.run()]
        if self._with_keeper:
            apart = Random(self._random()).random  # noqa: S311 - jitter; see Engine
            keeper = RecoveryLoop(self._store, lambda: heartbeat.policy, apart, time=self._time)
            loops.append(keeper.run())
        self._tasks = [asyncio.create_task(each) for each in loops]

    async def resize(self, concurrency: int) -> None:
        """Run up to `concurrency` jobs at a time from now on; 0 claims nothing more."""
        self.concurrency = concurrency
        if self._engine is not None:
            self._engine.resize(concurrency)

    async def stop(self, drain_seconds: float | None = None) -> int:
        """Claim nothing more, let attempts finish for `drain_seconds`, then release the rest.

        The default is the endpoint's drain time. Returns how many attempts could not be ended:
        plain functions that continue in their threads.
        """
        if self._engine is None:
            return 0
        engine, self.draining = self._engine, True
        engine.drain()
        self._beat_now()
        limit = self._endpoint.spec.drain_seconds if drain_seconds is None else drain_seconds
        try:
            drained = await self._drained_within(engine, limit)
        except asyncio.CancelledError:  # the process ends; what it interrupts has not failed
            engine.attempts.release_all()
            raise
        if not drained:
            engine.attempts.release_all()
            await self._drained_within(engine, RELEASE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.worker and not engine.held:
            try:
                await self._store.release_worker(self.worker, Cause.DRAINED)
            except StoreError as error:
                log.debug("the lease of %s will expire instead: %s", self.worker, error)
        await self._target.stop()
        self._engine, self.worker = None, ""
        return len(engine.attempts.running)

    async def _drained_within(self, engine: Engine, seconds: float) -> bool:
        try:
            async with self._time.timeout(seconds):
                await engine.drained()
        except TimeoutError:
            return False
        return True

    def _beat_now(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.beat_now()

    def info(self) -> WorkerInfo | None:
        """See LeaseHolder."""
        if self.draining:
            return None
        return self._ids.info(
            self._child, self._generation, max(1, self.concurrency), self._target.names
        )

    def registered(self, worker: str) -> None:
        """See LeaseHolder."""
        self.worker = worker
        if self._engine is not None:
            self._engine.assign(worker)

    def id_taken(self) -> None:
        """See LeaseHolder."""
        self._generation += 1

    def lease_lost(self) -> None:
        """See LeaseHolder."""
        if self._engine is not None and self.worker:
            self._engine.lease_lost(self.worker)

    def cancel(self, claims: Sequence[Claim]) -> None:
        """See LeaseHolder."""
        if self._engine is not None:
            self._engine.attempts.cancel([claim.number for claim in claims])

    def reconcile(self) -> None:
        """See LeaseHolder."""
        if self._engine is not None:
            self._engine.reconcile()

    def apply_policy(self, policy: Policy) -> None:
        """See LeaseHolder."""
        if self._engine is not None:
            self._engine.attempts.apply_policy(policy)

    def register_again(self) -> None:
        """See LeaseKeeper."""
        self.worker = ""
        self._generation += 1
        self._beat_now()

    def check_lease(self, worker: str) -> None:
        """See LeaseKeeper."""
        self._beat_now()
