"""The claiming loop of one child: takes jobs as slots are free, runs them, hands in outcomes.

The same engine runs in a child process and, for the memory store and for attached applications,
inside the process that holds the store. It renews no lease and ends no process: its link does.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from typing import TYPE_CHECKING, Final, Protocol

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import ErrorCode, JobError, Outcome, fail, release
from asyncendpoints_worker.engine.claims import FAULTS, Claims
from asyncendpoints_worker.engine.deadlines import Deadlines
from asyncendpoints_worker.engine.progress import Reporter
from asyncendpoints_worker.engine.settler import Entry, Settler
from asyncendpoints_worker.engine.slots import Slot, Stop
from asyncendpoints_worker.engine.wakeup import Nap
from asyncendpoints_worker.handlers.attempt import stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import ClaimedJob
    from asyncendpoints_core.store.protocol import ClaimBatch, SettleStatus, Store
    from asyncendpoints_worker.handlers.attempt import Runner
    from asyncendpoints_worker.metrics import Metrics
    from asyncendpoints_worker.supervisor.run_status import Board

log = logging.getLogger("asyncendpoints.worker")

MAX_CLAIM: Final = 100
"""Jobs asked for at a time: ten halve the rate, two hundred add a tenth."""
MISSING_DELAY_MS: Final = 2_000
MAX_REST_MS: Final = 1_000
SKIPPED_REST_MS: Final = 50
"""After a claim that found only what it had to pass over, though there is more."""


class Link(Protocol):
    """Who keeps the engine's lease."""

    def doubt(self, worker: str) -> None:
        """The store refused a claim for want of a lease: find out, and tell `gone` if so."""
        ...

    def vacated(self) -> None:
        """Nothing of the lost incarnation runs here any more: register the next one."""
        ...


class Engine:
    """Runs the jobs of one worker incarnation after another."""

    def __init__(
        self,
        store: Store,
        runners: Mapping[str, Runner],
        link: Link,
        *,
        concurrency: int,
        policy: Policy,
        metrics: Metrics,
        board: Board | None = None,
        fallback: Runner | None = None,
        gate: Callable[[], Awaitable[None]] | None = None,
        missing_is_final: bool = False,
    ) -> None:
        """Run jobs by name with `runners`, all others with `fallback` if there is one.

        With a `board`, a supervisor ends the process for attempts that do not end; without one
        they keep their slot and are settled. No claim is made before `gate()` returns.
        """
        self.loop = asyncio.get_running_loop()
        self.loop_thread = threading.get_ident()
        self.policy = policy
        self.metrics = metrics
        self.concurrency = concurrency
        self.used = 0
        self._settling = 0  # of those, whose outcomes are on their way
        self.running: dict[int, Slot] = {}
        self._store = store
        self._runners = runners
        self._fallback = fallback
        self._link = link
        self._board = board
        self._gate = gate
        self._missing_is_final = missing_is_final
        self._generation = 0
        self.draining = self._solo = self._making_room = self._strangers = False
        self._nap = Nap()
        self._claims = Claims(store, link.doubt)
        self._empty = asyncio.Event()
        self._empty.set()
        self._finished = asyncio.Event()
        self._reporter = Reporter(store)
        self._settler = Settler(store, self._reporter.flush, self._under_way, self._delivered)
        self._deadlines = Deadlines(self.running, self._too_late, self._bury, board is None)

    @property
    def worker(self) -> str:
        """The id of the present incarnation, empty while there is none."""
        return self._claims.worker

    # What the link tells the engine.

    def assign(self, worker: str) -> None:
        """Claim as the newly registered `worker` from now on."""
        self._claims.begin(worker)
        self._solo = False
        self._nap.rouse()

    def gone(self, worker: str) -> None:
        """Abandon everything: the store gave `worker`'s jobs to others (docs/rules.md S1)."""
        if worker != self.worker:
            return
        log.warning("worker %s lost its lease; its jobs belong to others now", worker)
        self._claims.begin("")
        self._generation += 1
        self._free(self._settler.forget())
        for slot in list(self.running.values()):
            slot.end(Stop.ABANDON)
        self._nap.rouse()
        if not self.running:
            self._link.vacated()

    def cancel(self, numbers: Sequence[int]) -> None:
        """End the attempts under these claim numbers: their jobs were canceled."""
        for number in numbers:
            slot = self.running.get(number)
            if slot is not None and slot.stop is None:
                slot.end(Stop.CANCEL)
                self._deadlines.grace(slot)

    def drain(self) -> None:
        """Claim nothing more; what runs goes on."""
        self.draining = True
        self._nap.rouse()

    def release_all(self) -> None:
        """End what runs, to be handed back: the time to finish is over."""
        for slot in list(self.running.values()):
            slot.end(Stop.RELEASE)

    def reconcile(self) -> None:
        """Compare, between two claims, what the store thinks is held here with what is."""
        self._strangers = True
        self._nap.rouse()

    def resize(self, concurrency: int) -> None:
        """Run up to `concurrency` jobs at a time; fewer than now run is reached as they end."""
        self.concurrency = concurrency
        self._nap.rouse()

    async def drained(self) -> None:
        """Wait, after `drain`, until no claim is open, nothing runs, and all is delivered."""
        await self._finished.wait()

    # Claiming.

    async def run(self) -> None:
        """Claim and run until drained. Cancel it only when the outcomes are not wanted."""
        rest_ms = 0
        while not self.draining:
            if not self._may_claim():
                await self._nap.until_roused()
                continue
            if self._strangers:
                await self._give_back_strangers()
            if self._gate is not None:
                opened = await self._nap.unless_roused(self._opened(self._gate))
                if not opened or not self._may_claim() or self.draining:
                    continue
            batch = await (self._rest(rest_ms) if rest_ms else self._claims.ask(self._limit()))
            rest_ms = 0
            if batch is not None:
                self._take(batch)
                await asyncio.sleep(0)  # let them begin before the next claim is put together
                if batch.drain:
                    await self._make_room()
                elif self._should_rest(batch):
                    rest_ms = self._rest_ms(batch)
        if (late := await self._claims.close()) is not None:
            self._take(late)  # only to hand it back
        await self._empty.wait()
        self._finished.set()

    @staticmethod
    async def _opened(gate: Callable[[], Awaitable[None]]) -> bool:
        await gate()
        return True

    def _may_claim(self) -> bool:
        if not self.worker or (self._solo and self.used):
            return False
        return self._room() > 0

    def _limit(self) -> int:
        return min(MAX_CLAIM, self._room())

    def _room(self) -> int:
        """How many jobs may be claimed. An outcome occupies its slot until it was sent: the store
        takes it before any claim that is sent later. Nor may more be on their way than may run.
        """
        running = self.used - self._settling
        return min(self.concurrency - running, 2 * self.concurrency - self.used)

    def _should_rest(self, batch: ClaimBatch) -> bool:
        if self.draining or self._solo or self._strangers or self._room() <= 0:
            return False
        return not batch.jobs or not batch.more

    async def _make_room(self) -> None:
        """Claim nothing until empty: a suspect is to run here alone.

        Asked again every second all the same: an empty worker elsewhere may have taken it.
        """
        if self.used and not self.draining:
            self._making_room = True
            await self._nap.unless_roused(asyncio.sleep(MAX_REST_MS / 1000))
            self._making_room = False

    def _rest_ms(self, batch: ClaimBatch) -> int:
        """Return how long at most to wait for the doorbell before the next claim."""
        due = MAX_REST_MS if batch.next_due_ms is None else batch.next_due_ms
        if batch.more:
            due = min(due, SKIPPED_REST_MS)
        # Jitter, so that many workers do not look for one due job in the same millisecond.
        most = MAX_REST_MS * (0.75 + random.random() / 4)  # noqa: S311
        return max(1, int(min(most, due)))

    async def _rest(self, timeout_ms: int) -> ClaimBatch | None:
        """Wait for the doorbell, the next due job, or something to be told; then claim.

        Behind a gate no claim may be under way while it waits: it is made afterwards.
        """
        if self._gate is None:
            claim = self._claims.ask_when_rung(self._limit(), timeout_ms)
            return await self._nap.unless_roused(claim)
        return await self._nap.unless_roused(self._bell(timeout_ms))

    async def _bell(self, timeout_ms: int) -> None:
        try:
            await self._store.wait_for_work(self.worker, timeout_ms)
        except FAULTS:
            await asyncio.sleep(timeout_ms / 1000)

    async def _give_back_strangers(self) -> None:
        self._strangers = False
        claims = [slot.claim for slot in self.running.values()] + self._settler.claims()
        own = [claim for claim in claims if claim.worker == self.worker]
        try:
            count = await self._store.reconcile(self.worker, own)
        except FAULTS:
            return  # the next heartbeats will ask again
        if count:
            log.warning("gave back %d jobs whose claim never arrived here", count)

    # Running.

    def _take(self, batch: ClaimBatch) -> None:
        self._solo = batch.alone
        jobs = batch.jobs
        if not jobs:
            return
        self.used += len(jobs)
        self._empty.clear()
        if self.draining:
            for claimed in jobs:
                self._settler.add(Entry(release(claimed.claim, started=False)))
            return
        now = self.loop.time()
        self.metrics.claimed(jobs)
        for claimed in jobs:
            self._start(claimed, now)

    def _start(self, claimed: ClaimedJob, now: float) -> None:
        runner = self._runners.get(claimed.job.name, self._fallback)
        if runner is None:
            self._settler.add(Entry(self._missing(claimed)))
            return
        # The job's own clock is the store's; how long it may run is the same on every clock.
        deadline = now + (claimed.deadline_ms - claimed.job.started_ms) / 1000
        slot = Slot(self, claimed, self._generation, now, deadline)
        self.running[claimed.claim.number] = slot
        if self._board is not None:
            self._board.enter(slot)
        self._deadlines.watch(deadline)
        runner.start(slot)

    def _missing(self, claimed: ClaimedJob) -> Outcome:
        name = claimed.job.name
        error = JobError(ErrorCode.HANDLER_MISSING, f'no handler for jobs named "{name}"', True)
        log.warning(error.message, extra={"job_id": ids.text(claimed.job.id)})
        if self._missing_is_final:
            return fail(claimed.claim, error)
        return release(claimed.claim, started=False, delay_ms=MISSING_DELAY_MS, error=error)

    def report(self, slot: Slot) -> None:
        """Send a running job's progress soon; see Host."""
        if slot.claim.number in self.running:
            self._reporter.add(slot)

    def finish(self, slot: Slot, outcome: Outcome) -> None:
        """Take the outcome of an attempt whose code has ended; see Host."""
        del self.running[slot.claim.number]
        if self._board is not None:
            self._board.leave(slot)
        if slot.settled or slot.generation != self._generation:
            self._free(1)
            if not self.worker and not self.running and slot.generation != self._generation:
                self._link.vacated()
            return
        self.metrics.ended(slot.claimed.job.name, outcome.kind, self.loop.time() - slot.began)
        self._settler.add(Entry(outcome))

    def _too_late(self, slot: Slot) -> None:
        slot.end(Stop.TIMEOUT)

    def _bury(self, slot: Slot) -> None:
        """Settle an attempt that would not end; its thread keeps the slot."""
        if slot.settled or slot.stop not in (Stop.TIMEOUT, Stop.CANCEL):
            return
        slot.settled = True
        job = slot.claimed.job
        run = job.attempt, job.max_attempts
        outcome = stopped(slot.claim, slot.stop, run, self.policy)
        log.error("a handler does not end; its slot is lost", extra={"job_id": ids.text(job.id)})
        self.metrics.ended(slot.claimed.job.name, outcome.kind, self.loop.time() - slot.began)
        self._settler.add(Entry(outcome, slots=0))

    def _under_way(self, group: list[Entry], sent: bool) -> None:
        slots = sum(entry.slots for entry in group)
        self._shift(settling=slots if sent else -slots)

    def _delivered(self, group: list[Entry], statuses: list[SettleStatus]) -> None:
        self.metrics.settled(statuses)
        slots = sum(entry.slots for entry in group)
        self._shift(used=-slots, settling=-slots)

    def _free(self, slots: int) -> None:
        self._shift(used=-slots)

    def _shift(self, used: int = 0, settling: int = 0) -> None:
        """Count, and go on claiming if that makes room."""
        was_full = not self._may_claim()
        self.used += used
        self._settling += settling
        if not self.used:
            self._empty.set()
        if (was_full and self._may_claim()) or (self._making_room and not self.used):
            self._nap.rouse()
