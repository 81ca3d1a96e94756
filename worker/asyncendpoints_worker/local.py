"""A worker inside the process that holds the store: for `run` in memory and for attached apps.

The same engine as in a child process, but nobody can end a handler that does not end by itself:
its job is settled in time all the same, and its slot stays taken until the function returns.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Cause, WorkerInfo
from asyncendpoints_core.store.recovery import Keeper
from asyncendpoints_worker.cpu import default_concurrency
from asyncendpoints_worker.engine.heartbeat import Heart
from asyncendpoints_worker.engine.loop import Engine
from asyncendpoints_worker.handlers.target import target_of
from asyncendpoints_worker.identity import Names
from asyncendpoints_worker.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.handlers.registry import Registry

log = logging.getLogger("asyncendpoints.worker")

RELEASE_SECONDS: Final = 5.0
"""How long handlers may take to end once the time to drain is over."""


class LocalWorker:
    """Runs jobs of `endpoint` on this event loop between `start` and `stop`."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        store: Store,
        registry: Registry | None = None,
        *,
        concurrency: int | None = None,
        folders: Sequence[Path] = (),
        http_target: str | None = None,
        keeper: bool = True,
    ) -> None:
        """Prepare; UsageError for handlers that cannot be imported or called.

        Without a `registry` the endpoint's module is imported, searched for in `folders` first.
        `keeper`: run recovery and sweep too, unless somebody else in this process does.
        """
        self._endpoint = endpoint
        self._store = store
        self._target = target_of(endpoint, folders, registry, http_target)
        self._names = Names()
        self._child = self._names.child()
        self._generation = 0
        self._with_keeper = keeper
        self._tasks: list[asyncio.Task[None]] = []
        self._engine: Engine | None = None
        self._heart: Heart | None = None
        self._concurrency = concurrency or endpoint.spec.worker.concurrency or default_concurrency()
        self.metrics = Metrics()
        self.worker = ""
        self.draining = False
        self.strange_beats = 0

    @property
    def concurrency(self) -> int:
        """How many jobs it runs at a time."""
        return self._concurrency

    @property
    def held(self) -> int:
        """How many jobs run or wait for their outcome's delivery."""
        return 0 if self._engine is None else self._engine.used

    async def start(self) -> None:
        """Run the start-up functions (UsageError) and begin to claim. Raises StoreError too."""
        await self._target.start()
        policy = await self._store.configure(self._endpoint.spec.policy(), overwrite=False)
        self._heart = Heart(self._store, policy, lambda: (self,))
        engine = self._engine = Engine(
            self._store,
            self._target.runners,
            self,
            concurrency=self._concurrency,
            policy=policy,
            metrics=self.metrics,
            fallback=self._target.fallback,
            gate=self._target.gate,
            # Other processes on one Redis may be of a version that has the handler.
            missing_is_final=isinstance(self._store, MemoryStore),
        )
        loops = [self._heart.run(), engine.run()]
        if self._with_keeper:
            heart = self._heart
            loops.append(Keeper(self._store, lambda: heart.policy, random.random).run())
        self._tasks = [asyncio.create_task(each) for each in loops]

    async def resize(self, concurrency: int) -> None:
        """Run up to `concurrency` jobs at a time from now on; 0 claims nothing more."""
        self._concurrency = concurrency
        if self._engine is not None:
            self._engine.resize(concurrency)

    async def stop(self, drain_seconds: float | None = None) -> int:
        """Claim nothing more, let what runs finish for `drain_seconds`, hand back the rest.

        The default is what the endpoint allows. Returns how many jobs could not be ended: plain
        functions that go on in their threads.
        """
        if self._engine is None:
            return 0
        engine, self.draining = self._engine, True
        engine.drain()
        if self._heart is not None:
            self._heart.beat_now()
        limit = self._endpoint.spec.drain_seconds if drain_seconds is None else drain_seconds
        try:
            drained = await _within(engine, limit)
        except asyncio.CancelledError:  # what runs is ended with the process, and did not fail
            engine.release_all()
            raise
        if not drained:
            engine.release_all()
            await _within(engine, RELEASE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.worker and not engine.used:
            try:
                await self._store.release_worker(self.worker, Cause.DRAINED)
            except StoreError as error:
                log.debug("the lease of %s ends by itself: %s", self.worker, error)
        await self._target.stop()
        self._engine, self.worker = None, ""
        return len(engine.running)

    # What the heart and the engine tell each other through this worker.

    def info(self) -> WorkerInfo | None:
        """See Member."""
        if self.draining:
            return None
        return self._names.info(
            self._child, self._generation, max(1, self._concurrency), self._target.names
        )

    def registered(self, worker: str) -> None:
        """See Member."""
        self.worker = worker
        if self._engine is not None:
            self._engine.assign(worker)

    def refused(self) -> None:
        """See Member."""
        self._generation += 1

    def gone(self) -> None:
        """See Member."""
        if self._engine is not None and self.worker:
            self._engine.gone(self.worker)

    def vacated(self) -> None:
        """See Link."""
        self.worker = ""
        self._generation += 1
        if self._heart is not None:
            self._heart.beat_now()

    def doubt(self, worker: str) -> None:
        """See Link."""
        if self._heart is not None:
            self._heart.beat_now()

    def cancel(self, claims: Sequence[Claim]) -> None:
        """See Member."""
        if self._engine is not None:
            self._engine.cancel([claim.number for claim in claims])

    def reconcile(self) -> None:
        """See Member."""
        if self._engine is not None:
            self._engine.reconcile()

    def follow(self, policy: Policy) -> None:
        """See Member."""
        if self._engine is not None:
            self._engine.policy = policy


async def _within(engine: Engine, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await engine.drained()
    except TimeoutError:
        return False
    return True
