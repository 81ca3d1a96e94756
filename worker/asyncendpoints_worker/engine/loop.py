"""The claim loop of one process: claims jobs as slots are free, runs them, settles their outcomes.

The same engine runs in a child process and, for the memory store and for attached applications,
in the process that holds the store. Leases, and ending a process, are its LeaseKeeper's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Outcome, OutcomeKind, Result, release
from asyncendpoints_worker.engine.claims import MAX_IDLE_MS, STORE_ERRORS, Claims, longest_idle_ms
from asyncendpoints_worker.engine.deadlines import Deadlines
from asyncendpoints_worker.engine.outcomes import failed, handler_missing, stopped
from asyncendpoints_worker.engine.progress import Reporter
from asyncendpoints_worker.engine.settler import Settler
from asyncendpoints_worker.engine.wakeup import Wakeup
from asyncendpoints_worker.handlers.attempt import RunningAttempt, Stop
from asyncendpoints_worker.handlers.runners import ThreadRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import ClaimedJob
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import ClaimBatch
    from asyncendpoints_worker.engine.heartbeat import LeaseKeeper
    from asyncendpoints_worker.engine.run_status import RunStatusPage
    from asyncendpoints_worker.handlers.attempt import Run
    from asyncendpoints_worker.handlers.target import Target
    from asyncendpoints_worker.metrics import Metrics

log = logging.getLogger("asyncendpoints.worker")

MAX_CLAIM: Final = 100
"""Jobs in a claim at most: ten halve the rate, two hundred add a tenth."""
COMPLETE: Final = OutcomeKind.COMPLETE


class Engine:
    """Runs jobs under one worker id after another.

    A slot is occupied from a job's claim until its outcome is delivered; see `held`.
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
        status_page: RunStatusPage | None = None,
        missing_is_final: bool = False,
    ) -> None:
        """Run jobs of `store` with `target`.

        With a `status_page`, a supervisor ends the process for attempts that do not end; without
        one they are settled and keep their slot. `missing_is_final`: a job without a handler fails
        instead of being left to other workers.
        """
        self.metrics = metrics
        self.running: dict[int, RunningAttempt] = {}
        self._concurrency = concurrency
        self._policy = policy
        self._store = store
        self._gate = target.gate
        self._runners = target.runners
        self._fallback = target.fallback
        self._lease = lease
        self._time = time
        self._now = time.monotonic
        self._loop = asyncio.get_running_loop()
        self._status_page = status_page
        self._missing_is_final = missing_is_final
        self._generation = 0
        self._draining = self._exclusive = self._reconcile_due = False
        self._wakeup = Wakeup()
        self._awaited: Callable[[], bool] | None = None  # what the loop waits for, besides news
        self._finished = asyncio.Event()
        self._claims = Claims(store, time, lease.check_lease)
        self._reporter = Reporter(store, time, self.running)
        self._settler = Settler(store, time, metrics, self._reporter.flush, self._slots_changed)
        give_up = self._give_up if status_page is None else None
        self._deadlines = Deadlines(self.running, time, policy.grace_ms, give_up)

    @property
    def worker(self) -> str:
        """The current worker id, empty while there is none."""
        return self._claims.worker

    @property
    def held(self) -> int:
        """How many jobs run or wait for the delivery of their outcome."""
        return len(self.running) + self._settler.slots

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
        self._generation += 1
        self._settler.discard()
        for attempt in list(self.running.values()):
            attempt.request_stop(Stop.ABANDON)
        self._wakeup.wake()
        if not self.running:
            self._lease.register_again()

    def cancel(self, numbers: Sequence[int]) -> None:
        """Stop the attempts under these claim numbers: their jobs were canceled."""
        for number in numbers:
            attempt = self.running.get(number)
            if attempt is not None and attempt.stop is None:
                attempt.request_stop(Stop.CANCEL)
                self._deadlines.start_grace(attempt)

    def drain(self) -> None:
        """Claim nothing more; running attempts continue."""
        self._draining = True
        self._wakeup.wake()

    def release_all(self) -> None:
        """Stop all running attempts, so that their jobs are released."""
        for attempt in list(self.running.values()):
            attempt.request_stop(Stop.RELEASE)

    def reconcile(self) -> None:
        """Compare, before the next claim, what the store counts as held here with what is."""
        self._reconcile_due = True
        self._wakeup.wake()

    def resize(self, concurrency: int) -> None:
        """Run up to `concurrency` jobs at a time; a lower limit is reached as attempts end."""
        self._concurrency = concurrency
        self._wakeup.wake()

    def apply_policy(self, policy: Policy) -> None:
        """Retry, and grant time to end, by this policy from now on."""
        self._policy = policy
        self._deadlines.grace_ms = policy.grace_ms

    async def drained(self) -> None:
        """Wait, after `drain`, until no claim is open, nothing runs, and all is delivered."""
        await self._finished.wait()

    # Claiming.

    async def run(self) -> None:
        """Claim and run jobs until drained. A cancel loses outcomes that are not delivered."""
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
            batch = await (self._idle(idle_ms) if idle_ms else self._claims.claim(self._limit()))
            idle_ms = 0
            if batch is not None:
                self._take(batch)
                await asyncio.sleep(0)  # let them start before the next claim is composed
                if batch.stop_claiming:
                    await self._make_room()
                elif self._may_idle(batch):
                    idle_ms = longest_idle_ms(batch)
        if (late := await self._claims.recover_unanswered()) is not None:
            self._take(late)  # only to release it
        while self.held:
            await self._wait_until(self._is_idle)
        self._finished.set()

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
        return min(MAX_CLAIM, self._room())

    def _room(self) -> int:
        """Return how many jobs may be claimed. An outcome occupies its slot until it is sent: the
        store takes it before any claim that is sent later. In flight are at most `concurrency`.
        """
        held = self.held
        waiting_or_running = held - self._settler.slots_in_flight
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

        At most for a second: another idle worker may have taken it.
        """
        if self.held and not self._draining:
            self._awaited = self._is_idle
            await self._wakeup.unless_woken(self._time.sleep(MAX_IDLE_MS / 1000))
            self._awaited = None

    def _may_idle(self, batch: ClaimBatch) -> bool:
        if self._draining or self._exclusive or self._reconcile_due or self._room() <= 0:
            return False
        return not batch.jobs or not batch.more

    async def _idle(self, timeout_ms: int) -> ClaimBatch | None:
        """Wait for the doorbell, the next due job, or news, then claim.

        With a gate no claim may be sent during the wait: it is made after the gate has opened.
        """
        if self._gate is None:
            claim = self._claims.claim_when_woken(self._limit(), timeout_ms)
            return await self._wakeup.unless_woken(claim)
        return await self._wakeup.unless_woken(self._wait_for_work(timeout_ms))

    async def _wait_for_work(self, timeout_ms: int) -> None:
        try:
            await self._store.wait_for_work(self.worker, timeout_ms)
        except STORE_ERRORS:
            await self._time.sleep(timeout_ms / 1000)

    async def _release_unknown_claims(self) -> None:
        self._reconcile_due = False
        claims = [attempt.claim for attempt in self.running.values()] + self._settler.claims()
        own = [claim for claim in claims if claim.worker == self.worker]
        try:
            count = await self._store.reconcile(self.worker, own)
        except STORE_ERRORS:
            return  # the next heartbeats will request it again
        if count:
            log.warning("released %d jobs whose claim never arrived here", count)

    # Running.

    def _take(self, batch: ClaimBatch) -> None:
        self._exclusive = batch.exclusive
        if not batch.jobs:
            return
        if self._draining:
            for claimed in batch.jobs:
                self._settler.add(release(claimed.claim, started=False))
            return
        now = self._now()
        self.metrics.claimed(batch.jobs)
        for claimed in batch.jobs:
            self._start(claimed, now)

    def _start(self, claimed: ClaimedJob, now: float) -> None:
        run = self._runners.get(claimed.job.name, self._fallback)
        if run is None:
            outcome = handler_missing(claimed, final=self._missing_is_final)
            self._settler.add(outcome)
            return
        # Store and process have different clocks, but an execution timeout is as long on both.
        deadline = now + (claimed.deadline_ms - claimed.job.started_ms) / 1000
        attempt = RunningAttempt(self._reporter, claimed, self._generation, now, deadline)
        self.running[claimed.claim.number] = attempt
        if self._status_page is not None:
            self._status_page.enter(attempt)
        self._deadlines.watch(deadline)
        if isinstance(run, ThreadRun):
            run.start(attempt, self._loop, self._thread_ended)
        else:
            attempt.task = self._loop.create_task(self._run(attempt, run))

    def _thread_ended(
        self,
        attempt: RunningAttempt,
        value: Result | Run | None,
        error: BaseException | None,
    ) -> None:
        if error is not None:
            outcome = failed(attempt, error, self._policy, draining=self._draining)
            self._finish(attempt, outcome)
        elif isinstance(value, Result):
            self._finish(attempt, Outcome(attempt.claim, COMPLETE, result=value))
        elif value is not None:
            attempt.task = self._loop.create_task(self._run(attempt, value))

    async def _run(self, attempt: RunningAttempt, run: Run) -> None:
        attempt.entered = True
        try:
            if attempt.stop is not None:
                raise asyncio.CancelledError
            outcome = Outcome(attempt.claim, COMPLETE, result=await run(attempt))
        except BaseException as error:
            outcome = failed(attempt, error, self._policy, draining=self._draining)
        self._finish(attempt, outcome)

    def _finish(self, attempt: RunningAttempt, outcome: Outcome) -> None:
        """Settle the outcome of an attempt whose code has ended."""
        del self.running[attempt.claim.number]
        if self._status_page is not None:
            self._status_page.leave(attempt)
        if attempt.settled or attempt.generation != self._generation:
            self._slots_changed()
            if not self.worker and not self.running and attempt.generation != self._generation:
                self._lease.register_again()
            return
        seconds = self._now() - attempt.began
        self.metrics.ended(attempt.claimed.job.name, outcome.kind, seconds)
        self._settler.add(outcome)

    def _give_up(self, attempt: RunningAttempt) -> None:
        """Settle an attempt that does not end; its thread keeps the slot."""
        if attempt.settled or attempt.stop not in (Stop.TIMEOUT, Stop.CANCEL):
            return
        attempt.settled = True
        job = attempt.claimed.job
        run = job.attempt, job.max_attempts
        outcome = stopped(attempt.claim, attempt.stop, run, self._policy)
        log.error("a handler does not end; its slot is lost", extra={"job_id": ids.text(job.id)})
        self.metrics.ended(job.name, outcome.kind, self._now() - attempt.began)
        self._settler.add_without_slot(outcome)
