"""The scaling loop of one endpoint: read, let `autoscale` decide, do what it says."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.scaling.decide import (
    Decision,
    Limits,
    Memory,
    Reason,
    decide,
    hold,
    signals_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_cli.run.pool import Pool
    from asyncendpoints_core.resource import EndpointSpec
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import WorkerState

log = logging.getLogger("asyncendpoints.run")

INTERVAL_SECONDS: Final = 1.0
CORDON_SECONDS: Final = 10.0
CORDONED_BY: Final = "run"
MIN_WORKERS: Final = 1
"""A laptop has nothing to gain from zero, and a first request would wait for a worker's start."""


def why_nothing_runs(spec: EndpointSpec) -> str:
    """Return why no job will be run, or "" when jobs will be."""
    if spec.suspend:
        return "spec.suspend is true: jobs are accepted, and none is run"
    if spec.replicas == 0:
        return "spec.replicas is 0: jobs are accepted, and no worker runs them"
    return ""


class Scaler:
    """Scales one pool once a second for as long as `run` is awaited."""

    def __init__(
        self,
        name: str,
        store: Store,
        pool: Pool,
        limits: Limits,
        seen: Callable[[Decision], None] = lambda _: None,
    ) -> None:
        """Scale `pool` within `limits`; `seen` gets every decision (metrics, the demo)."""
        self._name = name
        self._store = store
        self._pool = pool
        self._limits = limits
        self._seen = seen
        self._memory = Memory()
        self._last = Reason.STEADY

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self.step()
            except Exception:
                # The next second may well go better; a pool that never scales again must not be.
                log.exception("%s: a step of scaling failed", self._name)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def step(self) -> Decision:
        """Read, decide, do."""
        try:
            stats, states = await asyncio.gather(self._store.stats(), self._store.workers())
        except StoreError as error:
            decision = hold(self._pool.size, self._memory, str(error))
            self._tell(decision)
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
        await self._mark(decision, states)
        self._tell(decision)
        if decision.replicas != self._pool.size:
            await self._pool.resize(decision.replicas, decision.cordon)
        return decision

    async def _mark(self, decision: Decision, states: Sequence[WorkerState]) -> None:
        """Cordon and uncordon; a store that is away now is asked again in a second."""
        cordon = self._pool.ids(decision.cordon, states)
        uncordon = self._pool.ids(decision.uncordon, states)
        try:
            if cordon:
                await self._store.cordon(cordon, CORDON_SECONDS, CORDONED_BY)
            if uncordon:
                await self._store.uncordon(uncordon, CORDONED_BY)
        except StoreError as error:
            log.debug("%s: cordon: %s", self._name, error)

    def _tell(self, decision: Decision) -> None:
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
        self._seen(decision)
