"""The attempts of one engine: started, stopped early, ended, and their outcomes delivered."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Outcome, OutcomeKind, Result, release
from asyncendpoints_worker.engine.deadlines import Deadlines
from asyncendpoints_worker.engine.logs import LogSender
from asyncendpoints_worker.engine.outcomes import failed, handler_missing, stopped
from asyncendpoints_worker.engine.progress import Reporter
from asyncendpoints_worker.engine.settler import Settler
from asyncendpoints_worker.engine.tasks import AttemptTasks
from asyncendpoints_worker.handlers.attempt import RunningAttempt, Stop
from asyncendpoints_worker.handlers.runners import ThreadRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim, ClaimedJob, NewJob
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.engine.options import Options
    from asyncendpoints_worker.handlers.attempt import Run
    from asyncendpoints_worker.handlers.target import Target
    from asyncendpoints_worker.metrics import Metrics

log = logging.getLogger("asyncendpoints.worker")

COMPLETE: Final = OutcomeKind.COMPLETE


class Attempts:
    """Jobs from their claim until the store has their outcome. `running` is by claim number."""

    def __init__(
        self,
        store: Store,
        target: Target,
        time: TimeSource,
        policy: Policy,
        metrics: Metrics,
        slots_changed: Callable[[], None],
        abandoned_ended: Callable[[], None],
        options: Options,
    ) -> None:
        """Prepare; see Engine. `slots_changed` is called when a slot may have become free, and
        `abandoned_ended` when the last attempt has ended after `abandon`.
        """
        self.running: dict[int, RunningAttempt] = {}
        self.draining = False
        self._runners = target.runners
        self._fallback = target.fallback
        self._enqueue_rules = target.enqueue_rules
        self._now = time.monotonic
        self._policy = policy
        self._metrics = metrics
        self._slots_changed = slots_changed
        self._abandoned_ended = abandoned_ended
        self._status_page = options.status_page
        self._missing_is_final = options.missing_is_final
        self._random = options.random
        self._generation = 0
        self._loop = asyncio.get_running_loop()
        self._tasks = AttemptTasks(self._run)
        self._reporter = Reporter(store, time, self.running)
        self._tracing = options.tracing
        settle = store.settle if self._tracing is None else self._tracing.settle(store.settle)
        self.settler = Settler(settle, time, metrics, self._reporter.flush, slots_changed)
        self.logs: LogSender | None = None
        if options.logs is not None:
            self.logs = LogSender(store, time, options.logs, self.settler.claims)
        give_up = self._give_up if self._status_page is None else None
        self._deadlines = Deadlines(self.running, time, policy.grace_ms, give_up)

    @property
    def held(self) -> int:
        """How many jobs run or wait for the delivery of their outcome."""
        return len(self.running) + self.settler.slots

    def claims(self) -> list[Claim]:
        """Return the claims of all these jobs."""
        return [attempt.claim for attempt in self.running.values()] + self.settler.claims()

    def start(self, jobs: Sequence[ClaimedJob]) -> None:
        """Start an attempt at each job; while draining, release it."""
        if self.draining:
            for claimed in jobs:
                self.settler.add(release(claimed.claim, started=False))
            return
        now = self._now()
        self._metrics.claimed(jobs)
        for claimed in jobs:
            self._start(claimed, now)

    def cancel(self, numbers: Sequence[int]) -> None:
        """Stop the attempts under these claim numbers: their jobs were canceled."""
        for number in numbers:
            attempt = self.running.get(number)
            if attempt is not None and attempt.stop is None:
                attempt.request_stop(Stop.CANCEL)
                self._deadlines.start_grace(attempt)

    def release_all(self) -> None:
        """Stop all running attempts, so that their jobs are released."""
        for attempt in list(self.running.values()):
            attempt.request_stop(Stop.RELEASE)

    def abandon(self) -> None:
        """Stop all running attempts, whose jobs belong to other workers now."""
        self._generation += 1
        self.settler.discard()
        if self._tracing is not None:
            self._tracing.forget()
        for attempt in list(self.running.values()):
            attempt.request_stop(Stop.ABANDON)
        if not self.running:
            self._abandoned_ended()

    def apply_policy(self, policy: Policy) -> None:
        """Retry, and grant time to end, by this policy from now on."""
        self._policy = policy
        self._deadlines.grace_ms = policy.grace_ms

    # One attempt.

    def _start(self, claimed: ClaimedJob, now: float) -> None:
        run = self._runners.get(claimed.job.name, self._fallback)
        if run is None:
            outcome = handler_missing(claimed, final=self._missing_is_final)
            self.settler.add(outcome)
        elif self._tracing is None:
            self._begin(claimed, run, now)
        else:
            with self._tracing.process(claimed) as traced:
                self._begin(traced, run, now)

    def _begin(self, claimed: ClaimedJob, run: Run | ThreadRun, now: float) -> None:
        # Store and process have different clocks, but an execution timeout is as long on both.
        deadline = now + (claimed.deadline_ms - claimed.job.started_ms) / 1000
        attempt = RunningAttempt(
            self._reporter, claimed, self._generation, now, deadline, self._enqueue_rules
        )
        if self.logs is not None:
            attempt.log = self.logs.begin(claimed)
        self.running[claimed.claim.number] = attempt
        if self._status_page is not None:
            self._status_page.enter(attempt)
        self._deadlines.watch(deadline)
        if isinstance(run, ThreadRun):
            run.start(attempt, self._loop, self._thread_ended)
        else:
            self._tasks.start(attempt, run)

    def _thread_ended(
        self,
        attempt: RunningAttempt,
        value: Result | Run | None,
        error: BaseException | None,
    ) -> None:
        if error is not None:
            outcome = self._failed(attempt, error)
            self._finish(attempt, outcome)
        elif isinstance(value, Result):
            self._finish(attempt, Outcome(attempt.claim, COMPLETE, result=value))
        elif value is not None:
            self._tasks.start_alone(attempt, value)

    async def _run(self, attempt: RunningAttempt, run: Run) -> None:
        attempt.entered = True
        try:
            if attempt.stop is not None:
                raise asyncio.CancelledError
            result = await run(attempt)
            outcome = Outcome(attempt.claimed.claim, COMPLETE, 0, None, result)
        except BaseException as error:
            outcome = self._failed(attempt, error)
        self._finish(attempt, outcome)

    def _failed(self, attempt: RunningAttempt, error: BaseException) -> Outcome:
        return failed(attempt, error, self._policy, self._random, draining=self.draining)

    def _finish(self, attempt: RunningAttempt, outcome: Outcome) -> None:
        """Settle the outcome of an attempt whose code has ended."""
        del self.running[outcome.claim.number]
        if (enqueued := attempt.end()) and outcome.kind is COMPLETE:
            outcome = msgspec.structs.replace(outcome, children=self._children(enqueued))
        if self._status_page is not None:
            self._status_page.leave(attempt)
        if self.logs is not None:
            self.logs.end(attempt.log, outcome)
        superseded = attempt.settled or attempt.generation != self._generation
        if self._tracing is not None:
            self._tracing.ended(outcome, settled=not superseded)
        if superseded:
            self._slots_changed()
            if not self.running and attempt.generation != self._generation:
                self._abandoned_ended()
            return
        seconds = self._now() - attempt.began
        self._metrics.ended(attempt.claimed.job.name, outcome.kind, seconds)
        self.settler.add(outcome)

    def _children(self, enqueued: tuple[NewJob, ...]) -> tuple[NewJob, ...]:
        attempts = self._policy.retry.max_attempts
        return tuple(msgspec.structs.replace(new, max_attempts=attempts) for new in enqueued)

    def _give_up(self, attempt: RunningAttempt) -> None:
        """Settle an attempt that does not end; its thread keeps the slot."""
        if attempt.settled or attempt.stop not in (Stop.TIMEOUT, Stop.CANCEL):
            return
        attempt.settled = True
        job = attempt.claimed.job
        run = job.attempt, job.max_attempts
        outcome = stopped(attempt.claim, attempt.stop, run, self._policy, self._random)
        log.error("a handler does not end; its slot is lost", extra={"job_id": ids.text(job.id)})
        self._metrics.ended(job.name, outcome.kind, self._now() - attempt.began)
        if self._tracing is not None:
            self._tracing.ended(outcome)
        self.settler.add_without_slot(outcome)
