"""Recovery and sweep: releases the jobs of lost workers, promotes, expires and removes jobs.

Supervisors of workers, `run` and the operator all run it, so none of them is required. Several may
run it at once and be interrupted anywhere: the store decides about each job once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.records import ErrorCode, JobError, release, timed_out
from asyncendpoints_core.jobs.retry import decide
from asyncendpoints_core.store.replies import Cause, Released, SettleStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Outcome
    from asyncendpoints_core.jobs.retry import RetryPolicy
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Overdue

    Random = Callable[[], float]

INTERVAL_SECONDS: Final = 1.0
MAX_SWEEPS: Final = 20
MAX_RELEASE_CALLS: Final = 100

_log = logging.getLogger("asyncendpoints.recovery")


class Recovered(msgspec.Struct, frozen=True):
    """What one round did. `released` sums up the releases of all `workers`."""

    workers: tuple[str, ...] = ()
    released: Released = Released()
    timed_out: int = 0
    orphaned: int = 0
    leases_extended: bool = False

    @property
    def jobs(self) -> int:
        """How many jobs were released from lost workers or timed out."""
        taken = self.released
        return taken.requeued + taken.failed + taken.canceled + self.timed_out + self.orphaned


async def run_once(store: Store, policy: Policy, random: Random) -> Recovered:
    """Recover, then sweep. Raises StoreUnavailable, possibly after a part of it."""
    found = await store.recover()
    released = Released()
    for worker in found.expired:
        released = released + await release_all(store, worker, Cause.LOST)
    late = 0
    if found.overdue:
        outcomes = [_time_out(overdue, policy.retry, random) for overdue in found.overdue]
        settled = await store.settle(outcomes)
        late = sum(answer.status is SettleStatus.APPLIED for answer in settled)
    orphaned = 0
    if found.orphaned:
        settled = await store.settle([release(claim) for claim in found.orphaned])
        orphaned = sum(answer.status is SettleStatus.APPLIED for answer in settled)
    for _ in range(MAX_SWEEPS):
        if not (await store.sweep()).more:
            break
    return Recovered(found.expired, released, late, orphaned, found.leases_extended)


async def release_all(store: Store, worker: str, cause: Cause, how: str = "") -> Released:
    """Deregister a worker and release all of its jobs, in as many calls as that needs. `how`: see
    Store.release_worker.
    """
    total = Released()
    for _ in range(MAX_RELEASE_CALLS):
        released = await store.release_worker(worker, cause, how=how)
        total = total + released
        if not released.more:
            break
    return msgspec.structs.replace(total, more=False)


async def release_older(store: Store, pod: str, nonce: str) -> Released:
    """Release the jobs of earlier supervisors of `pod` (docs/rules.md S4).

    A supervisor calls it with its own nonce before it registers its first child: processes started
    under another nonce have ended. Nothing is charged to the crash budget.
    """
    total = Released()
    for worker in await store.workers():
        if worker.info.pod == pod and worker.info.nonce != nonce:
            total = total + await release_all(store, worker.info.id, Cause.LOST)
    return total


def _time_out(overdue: Overdue, retry: RetryPolicy, random: Random) -> Outcome:
    error = JobError(ErrorCode.EXECUTION_TIMEOUT, "the execution timeout passed", retryable=True)
    decision = decide(retry, overdue.attempt, overdue.max_attempts, error, random)
    return timed_out(overdue.claim, error, decision.delay_ms)


class RecoveryLoop:
    """Recovers about once a second, for as long as `run` is awaited.

    `policy` is called in each round; `seen` gets what each round did (for metrics and Events). An
    unreachable store is retried in the next round.
    """

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        random: Random,
        seen: Callable[[Recovered], None] = lambda _: None,
        *,
        time: TimeSource | None = None,
    ) -> None:
        """`random` returns uniform numbers in [0, 1)."""
        self._store = store
        self._policy = policy
        self._random = random
        self._seen = seen
        self._time = time or SystemTime()
        self._unavailable = False

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self.step()
            # Jitter, so that peers that started together do not all call at once.
            await self._time.sleep(INTERVAL_SECONDS * (0.75 + 0.5 * self._random()))

    async def step(self) -> Recovered | None:
        """Run one round; return None if it failed."""
        try:
            done = await run_once(self._store, self._policy(), self._random)
        except StoreUnavailable as error:
            if not self._unavailable:
                _log.warning("recovery waits for the store: %s", error)
            self._unavailable = True
            return None
        except Exception:
            # An internal error must not end the loop: the next round may succeed.
            _log.exception("a round of recovery failed")
            return None
        if self._unavailable:
            extended = ", all leases were extended" if done.leases_extended else ""
            _log.info("recovery goes on: the store is available again%s", extended)
        self._unavailable = False
        # Leases are also extended where nothing recovered for a while, as while all was stopped.
        if done.jobs:
            _log.info("recovered %d jobs of %d workers", done.jobs, len(done.workers))
        self._seen(done)
        return done
