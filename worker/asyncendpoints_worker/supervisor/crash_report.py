"""Reports the end of a child to the store, repeating it until the store has taken it.

The child is dead, and so is all it started, before any of this is sent (docs/rules.md S14).
"""

from __future__ import annotations

import logging
from random import random
from typing import TYPE_CHECKING, NamedTuple

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.replies import Cause, Released
from asyncendpoints_worker.engine.outcomes import stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.engine.run_status import Running
    from asyncendpoints_worker.handlers.attempt import Stop

log = logging.getLogger("asyncendpoints.worker")


class StuckAttempt(NamedTuple):
    """An attempt that a child was killed for, because it did not end when it had to."""

    running: Running
    why: Stop


async def report(
    store: Store,
    time: TimeSource,
    policy: Policy,
    worker: str,
    cause: Cause,
    running: Sequence[Running],
    stuck: Sequence[StuckAttempt],
    how: str,
) -> None:
    """Settle the `stuck` attempts, then release everything else.

    `running` are all attempts that had started; what was only claimed is never charged.
    `how` is for the errors of the jobs: how the process ended.
    """
    outcomes = [
        stopped(each.claim, why, (each.attempt, each.max_attempts), policy, random)
        for each, why in stuck
    ]
    settled = {each.claim.job_id for each, _ in stuck}
    started = [each.claim.job_id for each in running if each.claim.job_id not in settled]
    backoff, total = Backoff(0.05, 1.0), Released()
    while True:
        try:
            if outcomes:
                await store.settle(outcomes)
            released = await store.release_worker(worker, cause, started, how)
        except StoreError as error:
            log.warning("the end of %s could not be reported yet: %s", worker, error)
            await time.sleep(backoff.next())
            continue
        total += released
        if not released.more:
            log.info("%s has ended (%s): %s", worker, cause.value, total)
            return
