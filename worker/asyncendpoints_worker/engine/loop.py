"""The claim loop of one process: claims jobs as slots are free.

The same engine runs in a child process and, for the memory store and for attached applications,
in the process that holds the store. Leases, and ending a process, are its LeaseKeeper's.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_worker.engine.attempts import Attempts
from asyncendpoints_worker.engine.claims import (
    MAX_IDLE_MS,
    STORE_ERRORS,
    UNCALLED_IDLE_MS,
    Claims,
    longest_idle_ms,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import ClaimBatch
    from asyncendpoints_worker.engine.heartbeat import LeaseKeeper
    from asyncendpoints_worker.engine.options import Options
    from asyncendpoints_worker.handlers.target import Target
    from asyncendpoints_worker.metrics import Metrics

log = logging.getLogger("asyncendpoints.worker")

Value = TypeVar("Value")

MAX_CLAIM: Final = 100
"""Jobs in a claim at most: ten halve the rate, two hundred add a tenth."""
HALVED_FROM: Final = 50
"""Free slots of which an idle process claims half at first; smaller claims would cost too much."""


class Engine:
    """Runs jobs under one worker id after another.

    A slot is occupied from a job's claim until its outcome is delivered; see `held`. `attempts`
    are the jobs that it has claimed.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        lease: LeaseKeeper,
        time: TimeSource,
        *,
        concurrency: int,
        policy: Policy,
        metrics: Metrics,
        options: Options,
    ) -> None:
        """Run jobs of `store` with `target`, `concurrency` at a time."""
        self._concurrency = concurrency
        self._store = store
        self._gate = target.gate
        self._lease = lease
        self._time = time
        self._draining = self._exclusive = self._reconcile_due = False
        self._wakeup = Wakeup()
        self._awaited: Callable[[], bool] | None = None  # what the loop waits for, besides news
        self._finished = asyncio.Event()
        # Numbers of its own: how often it waited does not change when a job is tried again.
        self._idle_random = Random(options.random()).random  # noqa: S311 - jitter
        self._claims = Claims(store, time, lease.check_lease)
        self._cordoned = Backoff(UNCALLED_IDLE_MS / 1000, MAX_IDLE_MS / 1000)
        self.attempts = Attempts(
            *(store, target, time, policy, metrics),
            self._slots_changed,
            lease.register_again,
            options,
        )

    @property
    def worker(self) -> str:
        """The current worker id, empty while there is none."""
        return self._claims.worker

    @property
    def held(self) -> int:
        """How many jobs run or wait for the delivery of their outcome."""
        return self.attempts.held

    # Instructions of the lease keeper and of what runs this engine.

    def assign(self, worker: str) -> None:
        """Claim as the newly registered `worker` from now on."""
        self._claims.begin(worker)
        self._exclusive = False
        self._wakeup.wake()

    def lease_lost(self, worker: str) -> None:
        """Abandon everything: the store gave `worker`'s jobs to others (docs/rules.md S1)."""
        if worker != self.worker:
            return
        log.warning("worker %s lost its lease; its jobs belong to other workers now", worker)
        self._claims.begin("")
        self._wakeup.wake()
        self.attempts.abandon()

    def drain(self) -> None:
        """Claim nothing more; running attempts continue."""
        self._draining = self.attempts.draining = True
        self._wakeup.wake()

    def reconcile(self) -> None:
        """Compare, before the next claim, what the store counts as held here with what is."""
        self._reconcile_due = True
        self._wakeup.wake()

    def resize(self, concurrency: int) -> None:
        """Run up to `concurrency` jobs at a time; a lower limit is reached as attempts end."""
        self._concurrency = concurrency
        self._wakeup.wake()

    async def drained(self) -> None:
        """Wait, after `drain`, until no claim is open, nothing runs, and all is delivered."""
        await self._finished.wait()

    # Claiming.

    async def run(self) -> None:
        """Claim and run jobs until drained. A cancel loses outcomes that are not delivered."""
        logs = self.attempts.logs
        if logs is None:
            await self._run()
        else:
            async with logs:
                await self._run()
        self._finished.set()

    async def _run(self) -> None:
        idle_ms = 0
        while not self._draining:
            if not self._may_claim():
                await self._wait_until(self._may_claim)
                continue
            if self._reconcile_due:
                await self._release_unknown_claims()
            if self._gate is not None:
                opened = await self._wakeup.unless_woken(self._opened(self._gate))
                if not opened or not self._may_claim() or self._draining:
                    continue
            limit = self._limit()
            batch = await (self._idle(limit, idle_ms) if idle_ms else self._claims.claim(limit))
            idle_ms = 0
            if batch is not None:
                self._take(batch)
                if self._room() > 0:
                    await asyncio.sleep(0)  # let them start before the next claim is composed
                if batch.stop_claiming:
                    await self._make_room()
                elif self._may_idle(batch, limit):
                    idle_ms = self._idle_ms(batch)
        if (late := await self._claims.recover_unanswered()) is not None:
            self._take(late)  # only to release it
        while self.held:
            await self._wait_until(self._is_idle)

    @staticmethod
    async def _opened(gate: Callable[[], Awaitable[None]]) -> bool:
        await gate()
        return True

    def _is_idle(self) -> bool:
        return not self.held

    def _may_claim(self) -> bool:
        if not self._claims.worker or (self._exclusive and self.held):
            return False
        return self._room() > 0

    def _limit(self) -> int:
        """Return how many jobs to claim. While none runs, half of those that could: the store hands
        out the others while these run, instead of both waiting for each other.
        """
        room = self._room()
        if room >= HALVED_FROM and self.held == self.attempts.settler.slots_in_flight:
            room = -(-room // 2)
        return min(MAX_CLAIM, room)

    def _room(self) -> int:
        """Return how many jobs may be claimed. An outcome occupies its slot until it is sent: the
        store takes it before any claim that is sent later. In flight are at most `concurrency`.
        """
        held = self.held
        waiting_or_running = held - self.attempts.settler.slots_in_flight
        return min(self._concurrency - waiting_or_running, 2 * self._concurrency - held)

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a wake-up, which a change of slots is if it makes `condition` true."""
        self._awaited = condition
        await self._wakeup.wait()
        self._awaited = None

    def _slots_changed(self) -> None:
        if self._awaited is not None and self._awaited():
            self._wakeup.wake()

    async def _make_room(self) -> None:
        """Claim nothing until idle: a suspect job has to run alone (docs/rules.md S12).

        Then look again, also before: another idle worker may have taken it.
        """
        if self.held and not self._draining:
            self._awaited = self._is_idle
            await self._wakeup.unless_woken(self._time.sleep(UNCALLED_IDLE_MS / 1000))
            self._awaited = None

    def _may_idle(self, batch: ClaimBatch, limit: int) -> bool:
        # The store counts this worker as idle only if it took less than `limit`, which may have
        # been all the room there was before the wait.
        if batch.jobs and (batch.more or len(batch.jobs) >= limit):
            return False
        return not (self._draining or self._exclusive or self._reconcile_due) and self._room() > 0

    def _idle_ms(self, batch: ClaimBatch) -> int:
        longest = longest_idle_ms(batch, self._idle_random)
        if batch.refused != "cordoned":
            return longest
        # No wake-up can reach it. Most cordons are short; those of a scale-in last as long as jobs.
        return min(longest, int(self._cordoned.next() * 1000))

    async def _idle(self, limit: int, timeout_ms: int) -> ClaimBatch | None:
        """Wait for the doorbell, the next due job, or news, then claim.

        With a gate no claim may be sent during the wait: it is made after the gate has opened.
        """
        if self._gate is None:
            claim = self._claims.claim_when_woken(limit, timeout_ms)
            return await self._wakeup.unless_woken(claim)
        return await self._wakeup.unless_woken(self._claims.wait(timeout_ms))

    async def _release_unknown_claims(self) -> None:
        self._reconcile_due = False
        own = [claim for claim in self.attempts.claims() if claim.worker == self.worker]
        try:
            count = await self._store.reconcile(self.worker, own)
        except STORE_ERRORS:
            return  # the next heartbeats will request it again
        if count:
            log.warning("released %d jobs whose claim never arrived here", count)

    def _take(self, batch: ClaimBatch) -> None:
        self._exclusive = batch.exclusive
        if batch.refused != "cordoned":
            self._cordoned.reset()
        if batch.jobs:
            self.attempts.start(batch.jobs)


class Wakeup:
    """The waits of one task, which `wake` ends."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._scope: asyncio.Timeout | None = None

    def wake(self) -> None:
        """End the wait in progress, or the next `wait` as soon as it starts."""
        self._woken.set()
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0)

    async def wait(self) -> None:
        """Wait until woken; returns at once if that happened since the last wait."""
        await self._woken.wait()
        self._woken.clear()

    async def unless_woken(self, awaitable: Awaitable[Value]) -> Value | None:
        """Await something that is canceled, for None, by the first `wake` from now on."""
        self._woken.clear()
        try:
            async with asyncio.timeout(None) as self._scope:  # a cancel scope, not a time limit
                return await awaitable
        except TimeoutError:
            return None
        finally:
            self._scope = None
