"""One attempt at one job in the process that runs it, and the errors that say how it ended."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import msgspec

from asyncendpoints_core.jobs.records import ClaimedJob, NewJob, Progress
from asyncendpoints_core.process.job_logs import JobLog
from asyncendpoints_worker.handlers.enqueueing import EnqueueRules, check_room

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.jobs.records import Claim, JobError, Result

    Run = Callable[["RunningAttempt"], Awaitable[Result]]
    """Runs user code for an attempt: returns its result, or raises what ended it."""


class Stop(Enum):
    """Why a running attempt has to end early."""

    CANCEL = "a client canceled the job"
    TIMEOUT = "its execution timeout passed"
    RELEASE = "the worker is shutting down"
    ABANDON = "the worker lost its lease, so the job belongs to another worker"


class AttemptFailed(Exception):
    """A failure for which `Run` itself has decided the code, the message and whether to retry."""

    def __init__(self, error: JobError, retry_after_ms: int | None = None) -> None:
        """Keep what the client will see, and the requested delay before a retry."""
        super().__init__(error.message)
        self.error = error
        self.retry_after_ms = retry_after_ms


class ConnectionLost(AttemptFailed):
    """The connection to the user's container broke: a failure, unless the worker is draining."""


class NotDelivered(Exception):
    """User code never saw the job: it is released and nothing is charged."""


class ProgressReporter(Protocol):
    """Sends the progress of running attempts to the store."""

    def notify(self, attempt: RunningAttempt) -> None:
        """Send `attempt.progress` soon; may be called from any thread."""
        ...


class RunningAttempt(msgspec.Struct, eq=False):
    """A claimed job from its claim until its outcome is handed to the settler.

    Its progress goes to `reporter`. `began` and `deadline` are seconds of the monotonic clock.
    `generation` counts the worker ids under which this process has claimed. `settled`: its outcome
    was sent although its code still runs. `task` is None until it begins, and while plain code runs
    in a thread: it cannot be interrupted. `enqueued` are the jobs to create when it completes,
    `enqueues` whether it has tried to add one; `log` is what it logs, if that is kept.
    """

    reporter: ProgressReporter
    claimed: ClaimedJob
    generation: int
    began: float
    deadline: float
    rules: EnqueueRules
    status_entry: int = -1
    entered: bool = False
    settled: bool = False
    ended: bool = False
    enqueues: bool = False
    enqueued: tuple[NewJob, ...] = ()
    progress: Progress | None = None
    progress_announced: bool = False
    log: JobLog | None = None
    stop: Stop | None = None
    task: asyncio.Task[None] | None = None
    __repr__ = object.__repr__  # without the request

    @property
    def claim(self) -> Claim:
        """The right to settle its job."""
        return self.claimed.claim

    def request_stop(self, why: Stop) -> None:
        """Ask the attempt to end: by CancelledError in a task, by `stop` in a thread."""
        if self.stop is not None and why is not Stop.ABANDON:
            return
        first, self.stop = self.stop is None, why
        # A task that is canceled before its first step would not run the code that reports its end.
        if first and self.entered and self.task is not None:
            self.task.cancel()

    def report(self, progress: Progress) -> None:
        """Publish progress; from any thread."""
        self.progress = progress
        if not self.progress_announced:  # else the pending report will carry it
            self.progress_announced = True
            self.reporter.notify(self)

    def take_progress(self) -> Progress | None:
        """Return the latest progress not yet taken."""
        self.progress_announced = False
        progress, self.progress = self.progress, None
        return progress

    def enqueue(self, new: NewJob) -> None:
        """Create a job when this attempt completes; from any thread.

        Raises ValueError past the limits, RuntimeError when the attempt has ended.
        """
        self.enqueues = True  # before `ended` is read: see `end`
        with self.rules.lock:
            if self.ended or self.settled:
                raise RuntimeError("job.enqueue: the attempt has ended; nothing would be created")
            check_room(self.enqueued, new)
            self.enqueued += (new,)

    def end(self) -> tuple[NewJob, ...]:
        """Let nothing more be enqueued; return what was."""
        # First this, then `enqueues` is read. An `enqueue` in a thread writes and reads them in the
        # other order, so one of both sees the other. Most attempts need no lock.
        self.ended = True
        if not self.enqueues:
            return ()
        with self.rules.lock:
            return self.enqueued
