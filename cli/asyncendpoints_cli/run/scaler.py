"""The scaling loop of one endpoint: read the store, decide, resize the pool."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.scaling.decide import Decision, Limits, Memory, Reason, decide, hold
from asyncendpoints_core.scaling.figures import FigureWriter
from asyncendpoints_core.scaling.signals import signals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_cli.run.pool import Pool
    from asyncendpoints_core.resource import EndpointSpec
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Stats, WorkerState

log = logging.getLogger("asyncendpoints.run")

INTERVAL_SECONDS: Final = 1.0
CORDON_SECONDS: Final = 10.0
CORDONED_BY: Final = "run"
MIN_WORKERS: Final = 1
"""A laptop has nothing to gain from zero, and a first request would wait for a worker's start."""


def why_nothing_runs(spec: EndpointSpec) -> str:
    """Return why no jobs will be run, "" if they will be."""
    if spec.suspend:
        return "spec.suspend is true: jobs are accepted but not run"
    if spec.replicas == 0:
        return "spec.replicas is 0: jobs are accepted but not run"
    return ""


class Scaler:
    """Scales one pool once per second."""

    def __init__(
        self,
        name: str,
        store: Store,
        pool: Pool,
        limits: Limits,
        on_decision: Callable[[Decision], None] = lambda _: None,
    ) -> None:
        """Scale `pool` within `limits`; `on_decision` is called with every decision."""
        self._name = name
        self._store = store
        self._pool = pool
        self._limits = limits
        self._on_decision = on_decision
        self._memory = Memory()
        self._figures = FigureWriter(store)
        self._last = Reason.STEADY

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self.step()
            except Exception:
                # Whatever failed, scaling must go on: the next step may succeed.
                log.exception("%s: scaling failed", self._name)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def step(self) -> Decision:
        """Make one decision and apply it."""
        try:
            stats, states = await asyncio.gather(self._store.stats(), self._store.workers())
        except StoreError as error:
            decision = hold(self._pool.size, self._memory, str(error))
            self._report(decision)
            return decision
        signals = signals_of(
            stats,
            self._pool.size,
            self._pool.view(states, stats.now_ms),
            concurrency=self._pool.concurrency(states),
            startup_ms=self._pool.startup_ms,
        )
        decision = decide(signals, self._memory, self._limits)
        self._memory = decision.memory
        await self._record(stats, decision)
        await self._cordon(decision, states)
        self._report(decision)
        if decision.replicas != self._pool.size:
            await self._pool.resize(decision.replicas, decision.cordon)
        return decision

    async def _record(self, stats: Stats, decision: Decision) -> None:
        try:
            await self._figures.observe(stats, decision)
        except StoreError as error:
            log.debug("%s: figures: %s", self._name, error)

    async def _cordon(self, decision: Decision, states: Sequence[WorkerState]) -> None:
        """Cordon and uncordon workers; if the store is unavailable, the next step retries."""
        cordon = self._pool.ids(decision.cordon, states)
        uncordon = self._pool.ids(decision.uncordon, states)
        try:
            if cordon:
                await self._store.cordon(cordon, CORDON_SECONDS, CORDONED_BY)
            if uncordon:
                await self._store.uncordon(uncordon, CORDONED_BY)
        except StoreError as error:
            log.debug("%s: cordon: %s", self._name, error)

    def _report(self, decision: Decision) -> None:
        changed = decision.replicas != self._pool.size
        if changed or (decision.reason is Reason.ERROR is not self._last):
            level = logging.WARNING if decision.reason is Reason.ERROR else logging.INFO
            log.log(
                level,
                "%s: workers %s",
                self._name,
                decision.text,
                extra={"reason": decision.reason.value},
            )
        self._last = decision.reason
        self._on_decision(decision)
