"""The store's protocol: every verb and its meaning.

One store object serves one endpoint. Every verb may be repeated and takes batches of at most 500
items; the reply to item i is at index i. A verb raises StoreUnavailable when the store cannot be
reached or cannot decide now (it may have been carried out or not: send it again),
StoreVersionError when the store has a newer format, and RecordError when a stored record cannot be
processed. One record that is of a newer version, or cannot be read, is left out of listings, is
`unreadable` in the reply to its own item, and affects no other item.

Time is the store's: Redis TIME inside the scripts (never below the last tick written by
`recover`), the injected TimeSource in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asyncendpoints_core.store.listing import ALL_JOBS
from asyncendpoints_core.store.webhook_protocol import WebhookStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim, NewJob, Outcome, Progress, Result
    from asyncendpoints_core.jobs.schedules import Fired, Firing
    from asyncendpoints_core.jobs.states import State
    from asyncendpoints_core.store.actions import Action, Begun, NewAction
    from asyncendpoints_core.store.figures import Figures, FiguresWrite
    from asyncendpoints_core.store.job_logs import AttemptLog, LogWrite
    from asyncendpoints_core.store.listing import Inspected, JobFilter, Page
    from asyncendpoints_core.store.replies import (
        Canceled,
        Cause,
        ClaimBatch,
        DeleteStatus,
        Enqueued,
        Event,
        Found,
        Health,
        Identity,
        LeaseRenewal,
        LeaseReply,
        PromoteStatus,
        Recovery,
        Redriven,
        Released,
        Settled,
        SettleStatus,
        Stats,
        Swept,
        WorkerInfo,
        WorkerState,
    )


class Store(WebhookStore, Protocol):
    """Everything that a gateway, a worker and an operator need of a store."""

    async def open(self) -> Health:
        """Connect, check the format version, and report the server's durability."""
        ...

    async def close(self) -> None:
        """Close every connection. Pending calls raise StoreUnavailable."""
        ...

    async def configure(
        self, policy: Policy, identity: Identity | None = None, *, overwrite: bool = True
    ) -> Policy:
        """Write the policy (without `overwrite`, only if there is none) and return the one in
        force. Keys of another identity raise StoreError and nothing changes.
        """
        ...

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Create jobs. Checked atomically in this order: same id, idempotency key, closed, depth
        and bytes. A refusal stores nothing.
        """
        ...

    async def fire(self, firing: Firing) -> Fired:
        """Create the job of a schedule's time, if the policy's definition has that hash, the time
        is due, not decided before and not past its deadline; or a job of it that a person requests
        (`due_ms` 0), whatever is due. The decision, the cancel of earlier jobs that are replaced,
        and the new job are one step.
        """
        ...

    async def register(self, worker: WorkerInfo) -> None:
        """Start a worker's lease, or renew a live one. Raises WorkerGone for an id that was
        registered before and deregistered: ids are not reused.
        """
        ...

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        """Promote due jobs, then claim up to `limit` ready jobs, 6 : 3 : 1 by priority.

        `request` grows by one with each new claim of this worker; the same number again returns the
        same jobs (those still held under that claim). Raises WorkerGone without a live lease. At
        most 500 jobs and 1 MiB of bodies, but at least one job. Expired jobs, missing and malformed
        records and records of a newer version are passed over.
        """
        ...

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        """Wait for a wake-up of this worker (True) or until the time is over (False).

        Cancellable at any time; a wake-up that was received but not used is forwarded.
        """
        ...

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        """Wait as `wait_for_work` does, then claim as `claim` does, in one round trip.

        If it is cancelled or fails, the claim may have been made: repeat it with the same number.
        """
        ...

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        """Apply outcomes, each fenced by its claim's number and worker. For a job whose cancel was
        requested, RETRY, RELEASE and TIME_OUT end in Canceled; COMPLETE and FAIL stand.

        The children of a COMPLETE are created in the same step, and only if it is applied. Past
        twice the depth, past maxBytes and in a closed queue it is Failed `enqueue-refused` instead.
        Outcomes with children are refused while memory is full, after the others were applied.
        """
        ...

    async def progress(self, updates: Sequence[tuple[Claim, Progress]]) -> list[SettleStatus]:
        """Record the progress of running jobs, fenced like an outcome."""
        ...

    async def write_logs(
        self, writes: Sequence[LogWrite], *, limit: int, budget: int
    ) -> list[bool]:
        """Add lines to the logs of attempts, each fenced by its claim, which may have ended; False
        for one whose job another claim holds, or that is gone. An attempt keeps its last `limit`
        bytes of whole lines, the endpoint `budget` bytes, and `job_logs.items_per_call` limits a
        call. Raises StoreUnavailable while memory is full.
        """
        ...

    async def read_logs(self, job_id: JobId) -> tuple[AttemptLog, ...]:
        """Return the logs of a job's attempts, the oldest first."""
        ...

    async def heartbeat(self, beats: Sequence[LeaseRenewal]) -> list[LeaseReply]:
        """Renew leases of registered workers; a worker that is gone stays deregistered."""
        ...

    async def reconcile(self, worker: str, held: Sequence[Claim]) -> int:
        """Release, uncharged, the jobs that `worker` holds by the store but not by `held`; return
        how many.
        """
        ...

    async def cordon(
        self, workers: Sequence[str], seconds: float, by: str
    ) -> list[WorkerState | None]:
        """Stop workers from claiming for `seconds` (30 at most), renewed by calling again. Returns
        what each still holds (None = unknown worker). `by` names the owner of the cordon.
        """
        ...

    async def uncordon(self, workers: Sequence[str], by: str) -> None:
        """End `by`'s cordon of those workers."""
        ...

    async def release_worker(
        self,
        worker: str,
        cause: Cause,
        started: Sequence[JobId] | None = None,
        how: str = "",
    ) -> Released:
        """Deregister a worker and release its jobs to their old positions in the queue.

        `started` names the jobs whose handler had started (None = all of them): the others are
        never charged. CRASH: one started job alone is charged a crash (Failed `worker-crashed`
        past the budget, a backoff from the second on), several become suspects. A job whose cancel
        was requested ends Canceled. LOST and started jobs of KILLED count against the releases
        budget. `how` says how a crashed process ended; the jobs' errors show it.
        """
        ...

    async def workers(self) -> list[WorkerState]:
        """Return the registered workers, at most 10,000."""
        ...

    async def recover(self) -> Recovery:
        """Write the tick and find what needs to be recovered (recovery.py does it)."""
        ...

    async def sweep(self) -> Swept:
        """Promote due jobs, expire waiting ones past their time to live, remove jobs, idempotency
        keys and tombstones past retention; a bounded number of each.
        """
        ...

    async def cancel(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[Canceled]:
        """Cancel waiting jobs, request it of running ones. Here and below, with `revisions`, a job
        that has none of them is left as it is, if something would be done to it.
        """
        ...

    async def redrive(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[Redriven]:
        """Queue Failed or Canceled jobs again: new budgets and time to live, same input."""
        ...

    async def promote(self, ids: Sequence[JobId]) -> list[PromoteStatus]:
        """Queue Scheduled jobs now, at the tails of their queues; at most 100."""
        ...

    async def delete(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[DeleteStatus]:
        """Remove final jobs now."""
        ...

    async def begin_action(self, new: NewAction) -> Begun:
        """Begin an action on many jobs, which `step_action` carries out, unless one is running; a
        dry run may run beside others. The same id, or idempotency key, again begins nothing.
        """
        ...

    async def step_action(self, action_id: JobId) -> Action | None:
        """Go on with an action: look at up to 100 jobs, and act on those that match. Each is taken
        once, whoever calls this: one that matched before the action began and matches now. A retry
        waits while the queue is 90 % full. None for an unknown action.
        """
        ...

    async def abort_action(self, action_id: JobId) -> Action | None:
        """End an action before its end; what it did stays."""
        ...

    async def action(self, action_id: JobId | None) -> tuple[int, Action | None]:
        """Return the store's time and an action, for a day; None: the one that is running."""
        ...

    async def get(self, ids: Sequence[JobId]) -> list[Found]:
        """Look jobs up."""
        ...

    async def result(self, job_id: JobId) -> tuple[Found, Result | None]:
        """Look one job up together with its result, if it is Completed. Raises RecordError when the
        result cannot be read.
        """
        ...

    async def inspect(self, ids: Sequence[JobId], *, bodies: bool = False) -> list[Inspected]:
        """Look jobs up with their requests; `bodies`: with those of their bodies too, of which the
        caller bounds the size.
        """
        ...

    async def list(
        self, state: State | None, limit: int, cursor: str | None, only: JobFilter = ALL_JOBS
    ) -> Page:
        """List retained jobs, newest first within a state; without `state`: running, waiting,
        final. Each job at most once. Raises InvalidCursor for a cursor of another listing.

        With a filter a call examines at most MAX_EXAMINED jobs: a page may be short, or empty, and
        have a cursor.
        """
        ...

    async def stats(self) -> Stats:
        """Read the live figures."""
        ...

    async def suspend(self, suspended: bool) -> None:
        """Stop claims, or allow them again, as the resource says. While they are stopped jobs are
        still accepted, and their time to live does not run.
        """
        ...

    async def pause(self, job: str = "") -> None:
        """Stop claims as `suspend` does, for a person. Claims need both to allow them.

        `job`: only those of jobs of this name; neither pause knows of the other. Raises
        StoreUnavailable while a worker of a version that would claim them is registered.
        """
        ...

    async def resume(self, job: str = "") -> None:
        """End the pause, or that of one job's name."""
        ...

    async def close_queue(self) -> None:
        """Refuse new jobs (EnqueueStatus.CLOSED); the first step of a deletion."""
        ...

    async def reopen_queue(self) -> None:
        """Accept jobs again: the endpoint was created again before its purge."""
        ...

    async def purge(self) -> bool:
        """Remove keys of a closed queue, a bounded number a call; True when none are left."""
        ...

    async def record_figures(self, write: FiguresWrite) -> None:
        """Add points and scaling steps. A step of time that has a point already keeps it. Raises
        StoreUnavailable while memory is full.
        """
        ...

    async def read_figures(self, step_s: int, since_ms: int = 0) -> Figures:
        """Return the points of a step (10 or 600 s) that began at `since_ms` or later, and the
        scaling steps.
        """
        ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Watch changes while the context is open. The first event, and the one after each
        reconnection, has `job_id` None: subscribe first, then read.
        """
        ...
