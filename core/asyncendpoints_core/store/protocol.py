"""The store's protocol: every verb, its meaning, and what it answers. No implementation.

One store object serves one endpoint. Every verb is safe to repeat and works on batches of at most
500 items; the answer to item i is at index i. A verb raises StoreUnavailable when the store cannot
be reached (what it did may or may not have happened: send it again), StoreVersionError when the
store is of a newer format, and nothing else of its own.

Time is the store's: Redis TIME inside the scripts (never below the last tick written by
`recover`), the injected clock in memory.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import (
    Claim,
    ClaimedJob,
    Job,
    NewJob,
    Outcome,
    Progress,
    Result,
)
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncendpoints_core.jobs.policy import Policy

MAX_BATCH = 500
MAX_BATCH_BYTES = 1_048_576
TOTALS = (
    "created",
    "claimed",
    "completed",
    "failed",
    "canceled",
    "retried",
    "timed_out",
    "expired",
    "recovered",
    "released",
    "crashed",
    "redriven",
    "removed",
    "corrupt",
    "stale",
    "busy_ms",
    "wait_ms",
)
"""The counters of `Stats.totals`."""


class EnqueueStatus(StrEnum):
    """How a submission was decided."""

    CREATED = "created"  # also the answer when the same id is sent again
    REPLAYED = "replayed"  # the idempotency key belongs to an earlier, equal request
    MISMATCH = "mismatch"  # the idempotency key belongs to a different request
    FULL = "full"  # max_depth or max_bytes reached; nothing stored, no key bound
    CLOSED = "closed"  # the endpoint is being deleted


class Enqueued(msgspec.Struct, frozen=True):
    """The answer to one submission. `ahead`: jobs that stand before it in its line."""

    status: EnqueueStatus
    job: Job | None = None
    ahead: int = 0


class WorkerInfo(msgspec.Struct, frozen=True):
    """One child incarnation: `id` is never used twice. `pod` groups the children of one pod or
    host; `nonce` is the start of its supervisor, `started_ms` when that was, by the clock of its
    own machine (0 = not told). `handlers` is for people to read.
    """

    id: str
    pod: str
    nonce: str
    concurrency: int
    handlers: tuple[str, ...] = ()
    version: str = ""
    started_ms: int = 0


class WorkerState(msgspec.Struct, frozen=True):
    """A registered worker as the store sees it. Times in ms since the epoch, 0 = not set."""

    info: WorkerInfo
    lease_ms: int
    held: int
    cordoned_until_ms: int = 0
    draining: bool = False


class ClaimBatch(msgspec.Struct, frozen=True):
    """The answer to a claim.

    `more`: something is still ready now. `next_due_ms`: milliseconds until the next Scheduled job
    (or suspect's backoff) falls due, None if there is none. `drain`: a suspect waits to run alone
    and this worker was chosen for it: claim nothing more until empty. `alone`: the one job here is
    a suspect; claim nothing more until it is settled. `refused`: cordoned, draining, paused or
    closed, so an empty batch says nothing about the queue.
    """

    jobs: tuple[ClaimedJob, ...]
    more: bool = False
    next_due_ms: int | None = None
    drain: bool = False
    alone: bool = False
    refused: str = ""


class SettleStatus(StrEnum):
    """What became of one settlement."""

    APPLIED = "applied"
    ALREADY = "already"  # this very claim was settled before; nothing changed
    STALE = "stale"  # another claim is current: this holder lost the job
    GONE = "gone"  # no such job


class Settled(msgspec.Struct, frozen=True):
    """The answer to one settlement; `state` is where the job is now (None when GONE)."""

    status: SettleStatus
    state: State | None = None


class Beat(msgspec.Struct, frozen=True):
    """One worker's sign of life. `held`: how many claims it knows it holds, -1 = not told."""

    worker: str
    held: int = -1
    draining: bool = False


class BeatReply(msgspec.Struct, frozen=True):
    """`gone`: register anew and abandon everything. `held`: how many jobs the store thinks it
    holds. `cancels`: claims whose cancel was asked for, repeated until they are settled.
    """

    gone: bool
    held: int = 0
    cordoned: bool = False
    cancels: tuple[Claim, ...] = ()


class Cause(StrEnum):
    """Why a worker's jobs are taken back (docs/rules.md S12, S13, K13)."""

    CRASH = (
        "crash"  # its process died by its own doing: a lone job is charged, neighbours suspected
    )
    KILLED = "killed"  # we ended it for one job's timeout or cancel: the others go back, uncharged
    LOST = "lost"  # its lease ran out, its node went, it was evicted: uncharged, counts as release
    DRAINED = "drained"  # it left in good order; normally it holds nothing


class Released(msgspec.Struct, frozen=True):
    """What `release_worker` did. `more`: call again, the bound of one call was reached."""

    requeued: int = 0
    charged: int = 0
    suspected: int = 0
    failed: int = 0
    canceled: int = 0
    more: bool = False

    def __add__(self, later: Released) -> Released:
        """Sum up two calls, `more` being what the later one said."""
        return Released(
            requeued=self.requeued + later.requeued,
            charged=self.charged + later.charged,
            suspected=self.suspected + later.suspected,
            failed=self.failed + later.failed,
            canceled=self.canceled + later.canceled,
            more=later.more,
        )


class Overdue(msgspec.Struct, frozen=True):
    """A running job past deadline + 2 × grace under a live lease."""

    claim: Claim
    attempt: int
    max_attempts: int


class Recovery(msgspec.Struct, frozen=True):
    """What needs recovering, found by one bounded look. `held_still`: the store had been away, so
    leases and deadlines were renewed and nothing is reported (docs/rules.md S1).
    """

    expired: tuple[str, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    orphans: tuple[Claim, ...] = ()
    held_still: bool = False


class Swept(msgspec.Struct, frozen=True):
    """What one bounded sweep did. `more`: there was more to do than one call does."""

    promoted: int = 0
    expired: int = 0
    removed: int = 0
    corrupt: int = 0
    more: bool = False


class CancelStatus(StrEnum):
    """What a cancel met."""

    CANCELED = "canceled"  # it was waiting and is Canceled now
    REQUESTED = "requested"  # it runs; its worker is being told (also when asked before)
    FINAL = "final"
    MISSING = "missing"
    GONE = "gone"  # existed, removed by retention or purge


class RedriveStatus(StrEnum):
    """What a redrive met."""

    REQUEUED = "requeued"
    NOT_RETRYABLE = "not-retryable"
    FULL = "full"
    CLOSED = "closed"
    MISSING = "missing"
    GONE = "gone"


class DeleteStatus(StrEnum):
    """What a purge of one job met."""

    DELETED = "deleted"
    NOT_FINAL = "not-final"
    MISSING = "missing"
    GONE = "gone"


class Canceled(msgspec.Struct, frozen=True):
    """The answer to one cancel, with the job as it is now where there is one."""

    status: CancelStatus
    job: Job | None = None


class Redriven(msgspec.Struct, frozen=True):
    """The answer to one redrive, with the job as it is now where there is one."""

    status: RedriveStatus
    job: Job | None = None
    ahead: int = 0


class Found(msgspec.Struct, frozen=True):
    """The answer to one look-up: a job, or why there is none. `ahead` only while Queued."""

    job: Job | None = None
    gone: bool = False
    ahead: int = 0


class Page(msgspec.Struct, frozen=True):
    """One page of a listing; `cursor` (`[A-Za-z0-9_-]+`) continues it, None on the last page."""

    jobs: tuple[Job, ...]
    cursor: str | None


class Stats(msgspec.Struct, frozen=True):
    """Live figures, all O(1) or bounded.

    `counts`: retained jobs by state. `by_name`: the same for each job name. `suspects`: those of
    the Queued that wait to run alone. `oldest_ms`: since when the oldest Queued job waits, or 0.
    `due_ms`: the due times of the first few Scheduled jobs (at most 100). `totals`: the
    counters named in TOTALS, since the endpoint's creation; they only grow. `busy_ms` is time spent
    by ended attempts, `wait_ms` time from ready to claim. `held` leaves out jobs of
    cordoned and draining workers in `held_active`.
    """

    now_ms: int
    counts: dict[State, int]
    by_name: dict[str, dict[State, int]]
    totals: dict[str, int]
    suspects: int = 0
    oldest_ms: int = 0
    due_ms: tuple[int, ...] = ()
    bytes: int = 0
    held: int = 0
    held_active: int = 0
    workers: int = 0
    paused: bool = False
    closed: bool = False


class Identity(msgspec.Struct, frozen=True):
    """Whose keys these are: an installation and a resource UID (docs/rules.md K22)."""

    installation: str
    uid: str


class Event(msgspec.Struct, frozen=True):
    """A job changed. `job_id` None: events may have been missed, read again what you watch."""

    job_id: JobId | None
    revision: int = 0


class Health(msgspec.Struct, frozen=True):
    """What was read of the server on connect; None = it would not tell (managed Redis)."""

    version: str
    durable: bool | None
    eviction: str | None
    warnings: tuple[str, ...] = ()


class Store(Protocol):
    """All a gateway, a worker and an operator ask of a store."""

    async def open(self) -> Health:
        """Connect, check the format version, and say what the server promises."""
        ...

    async def close(self) -> None:
        """Let go of every connection. Pending calls raise StoreUnavailable."""
        ...

    async def configure(
        self, policy: Policy, identity: Identity | None = None, *, overwrite: bool = True
    ) -> Policy:
        """Write the policy (only if there is none, without `overwrite`) and return the one in
        force. A different identity raises StoreError and changes nothing.
        """
        ...

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Create jobs. Decided atomically in this order: same id, idempotency key, closed, depth
        and bytes, creation. A refusal stores nothing.
        """
        ...

    async def register(self, worker: WorkerInfo) -> None:
        """Begin a worker's lease. An id that was ever registered before and is gone is refused
        with WorkerGone; registering a live one again renews it.
        """
        ...

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        """Promote what is due, then hand out up to `limit` ready jobs, 6 : 3 : 1 by priority.

        `request` grows by one with each new claim of this worker; sending the same number again
        gives the same jobs (those still held under that claim). Raises WorkerGone without a live
        lease. Bounded by 500 jobs and 1 MiB of bodies, at least one job. Expired heads, missing
        and malformed records, and records of a newer version never stop it.
        """
        ...

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        """Sleep until the doorbell rings for this worker (True) or the time is over (False).

        Cancellable at any time; a ring taken but not used is passed on.
        """
        ...

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        """Sleep as `wait_for_work` does, then claim as `claim` does, in one exchange.

        Cancelled, or failed, the claim may have been made: ask again under the same number.
        """
        ...

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        """Apply outcomes, each fenced by its claim's number and worker. Once a cancel was asked
        for, RETRY, RELEASE and TIME_OUT end in Canceled; COMPLETE and FAIL stand.
        """
        ...

    async def progress(self, updates: Sequence[tuple[Claim, Progress]]) -> list[SettleStatus]:
        """Show progress of running jobs, fenced like a settlement."""
        ...

    async def heartbeat(self, beats: Sequence[Beat]) -> list[BeatReply]:
        """Renew leases. Never brings a worker back that is gone."""
        ...

    async def reconcile(self, worker: str, held: Sequence[Claim]) -> int:
        """Release, uncharged, what the store thinks `worker` holds and it does not; their count."""
        ...

    async def cordon(
        self, workers: Sequence[str], seconds: float, by: str
    ) -> list[WorkerState | None]:
        """Let workers claim nothing new for `seconds` (30 at most), renewed by calling again; the
        answer shows what each still holds (None = unknown worker). `by` names who asks.
        """
        ...

    async def uncordon(self, workers: Sequence[str], by: str) -> None:
        """Take back `by`'s cordon of those workers."""
        ...

    async def release_worker(
        self, worker: str, cause: Cause, started: Sequence[JobId] | None = None
    ) -> Released:
        """End a worker's registration and take back what it holds, at their old places.

        `started` names the jobs whose user code had begun (None = all of them): the others are
        never charged. CRASH: one started job alone is charged a crash (Failed `worker-crashed`
        past the budget, a backoff from the second on), several become suspects. A job with cancel
        asked ends Canceled. LOST and started jobs of KILLED count against the releases budget.
        """
        ...

    async def workers(self) -> list[WorkerState]:
        """Every registered worker, at most 10,000."""
        ...

    async def recover(self) -> Recovery:
        """Write the tick and find what needs recovering (recovery.py acts on it)."""
        ...

    async def sweep(self) -> Swept:
        """Promote due jobs, expire old waiting ones, remove what is past retention, forget old
        idempotency keys and tombstones; all bounded.
        """
        ...

    async def cancel(self, ids: Sequence[JobId]) -> list[Canceled]:
        """Cancel waiting jobs, ask running ones to stop."""
        ...

    async def redrive(self, ids: Sequence[JobId]) -> list[Redriven]:
        """Queue Failed or Canceled jobs again: fresh budgets and time to live, same input."""
        ...

    async def delete(self, ids: Sequence[JobId]) -> list[DeleteStatus]:
        """Remove final jobs now."""
        ...

    async def get(self, ids: Sequence[JobId]) -> list[Found]:
        """Look jobs up."""
        ...

    async def result(self, job_id: JobId) -> tuple[Found, Result | None]:
        """Look one job up together with its result, which is there when it is Completed."""
        ...

    async def list(self, state: State | None, limit: int, cursor: str | None) -> Page:
        """List retained jobs, newest first within a state; without `state`: running, waiting,
        final. A cursor of another listing or malformed raises ValueError. Each job at most once.
        """
        ...

    async def stats(self) -> Stats:
        """Read the live figures."""
        ...

    async def pause(self) -> None:
        """Hand out no more jobs; accepted ones wait, their time to live stands still."""
        ...

    async def resume(self) -> None:
        """Hand out jobs again."""
        ...

    async def close_queue(self) -> None:
        """Accept nothing more (Enqueued.status closed); the first step of deletion."""
        ...

    async def reopen_queue(self) -> None:
        """Accept again: the endpoint was created anew before its purge."""
        ...

    async def purge(self) -> bool:
        """Remove keys of a closed queue, a bounded number a call; True when none are left."""
        ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Watch changes while the context is open. The first event always has `job_id` None (so
        that the caller subscribes, then reads), and so has one after each reconnection.
        """
        ...
