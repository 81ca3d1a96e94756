"""What is reported to the store of a dead child, repeated until the store has taken it.

The child is dead, and so is all it started, before any of this is sent (docs/rules.md S14).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.protocol import Cause, Released
from asyncendpoints_worker.handlers.attempt import stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.engine.slots import Stop
    from asyncendpoints_worker.supervisor.run_status import Running

    Culprit = tuple[Running, Stop]
    """An attempt that a child was killed for, and why."""

log = logging.getLogger("asyncendpoints.worker")


async def report(
    store: Store,
    policy: Policy,
    worker: str,
    cause: Cause,
    running: Sequence[Running],
    culprits: Sequence[Culprit],
) -> Released:
    """Settle `culprits`, for whom the child was killed, then hand back everything else.

    `running` are the attempts that had begun; what was only claimed is never charged.
    """
    outcomes = [
        stopped(each.claim, why, (each.attempt, each.max_attempts), policy)
        for each, why in culprits
    ]
    blamed = {each.claim.job_id for each, _ in culprits}
    started = [each.claim.job_id for each in running if each.claim.job_id not in blamed]
    backoff, total = Backoff(0.05, 1.0), Released()
    while True:
        try:
            if outcomes:
                await store.settle(outcomes)
            released = await store.release_worker(worker, cause, started)
        except StoreError as error:
            log.warning("the end of %s is not reported yet: %s", worker, error)
            await asyncio.sleep(backoff.next())
            continue
        total += released
        if not released.more:
            return total
