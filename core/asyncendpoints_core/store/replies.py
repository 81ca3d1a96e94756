"""What the store's verbs take and return, where that is not a job: statuses, figures, workers.
An item of a batch gets one status; the statuses' comments say what the store did.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Claim, ClaimedJob, Job
from asyncendpoints_core.jobs.schedules import ScheduleState
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.positions import FIRST, Position

MAX_BATCH, MAX_BATCH_BYTES = 500, 1_048_576
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
    *("webhooks_delivered", "webhooks_failed", "webhooks_dead", "webhooks_dropped"),
    "busy_ms",
    "wait_ms",
)
"""The counters of `Stats.totals`."""


class EnqueueStatus(StrEnum):
    """What became of a submission."""

    CREATED = "created"  # also when the same id is sent again
    REPLAYED = "replayed"  # the idempotency key belongs to an earlier, equal request
    MISMATCH = "mismatch"  # the idempotency key belongs to a different request
    FULL = "full"  # max_depth or max_bytes reached; nothing stored, no key bound
    KEY_FULL = "key-full"  # the queue limit of its key is reached; nothing stored, no key bound
    CLOSED = "closed"  # the endpoint is being deleted
    EXISTING = "existing"  # an equal job is unfinished: this one, unchanged
    REPLACED = "replaced"  # an equal job was waiting: this one, now with the new input
    DUPLICATE = "duplicate"  # an equal job is unfinished; nothing stored
    RECEIVERS_FULL = "receivers-full"  # the existing job notifies as many receivers as it may
    UNSUPPORTED = "unsupported"  # workers that do not know what the job carries; nothing stored
    UNREADABLE = "unreadable"  # the job that answers it has a record that cannot be read


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    """The reply to one submission. Only KEY_FULL has a `key`; the position is its next job's."""

    status: EnqueueStatus
    job: Job | None = None
    position: Position = FIRST
    key: str = ""


class WorkerInfo(msgspec.Struct, frozen=True):
    """One incarnation of a worker process: `id` is never used twice. `pod` groups the processes of
    one pod or host; `nonce` identifies the start of its supervisor, `started_ms` is the time of
    that start by the machine's clock (0 = unknown). `handlers` are the jobs that it can run, empty
    in HTTP mode. `last_crash` says how a child process of the same supervisor died last, and
    `last_crash_ms` when. `host` is the name of its machine, in a cluster the pod's name.
    """

    id: str
    pod: str
    nonce: str
    concurrency: int
    handlers: tuple[str, ...] = ()
    version: str = ""
    started_ms: int = 0
    last_crash: str = ""
    last_crash_ms: int = 0
    host: str = ""


class WorkerState(msgspec.Struct, frozen=True):
    """A registered worker as the store sees it. Times in ms since the epoch, 0 = not set.

    `outdated`: its version does not know every feature (docs/adr/0012-features-and-old-scripts.md).
    """

    info: WorkerInfo
    lease_ms: int
    held: int
    cordoned_until_ms: int = 0
    draining: bool = False
    outdated: bool = False


class ClaimBatch(msgspec.Struct, frozen=True):
    """The reply to a claim.

    `more`: other jobs are ready now. `next_due_ms`: milliseconds until the next Scheduled job (or
    suspect in backoff) is due, None if there is none. `stop_claiming`: a suspect waits to run on
    this worker exclusively, so claim nothing more until no job is held. `exclusive`: the one job
    here is a suspect; claim nothing more until it is settled. `refused`: the worker is cordoned or
    draining, or the queue is paused or closed, so an empty batch does not mean an empty queue.
    """

    jobs: tuple[ClaimedJob, ...]
    more: bool = False
    next_due_ms: int | None = None
    stop_claiming: bool = False
    exclusive: bool = False
    refused: str = ""


class SettleStatus(StrEnum):
    """What became of an outcome."""

    APPLIED = "applied"
    ALREADY = "already"  # this claim was settled before; nothing changed
    STALE = "stale"  # another claim is current: this worker lost the job
    GONE = "gone"  # no such job


class Settled(msgspec.Struct, frozen=True, gc=False):
    """The reply to one outcome; `state` is the job's state now (None when GONE)."""

    status: SettleStatus
    state: State | None = None


class LeaseRenewal(msgspec.Struct, frozen=True):
    """A request to renew one worker's lease. `held`: how many claims it holds, -1 = unknown."""

    worker: str
    held: int = -1
    draining: bool = False


class LeaseReply(msgspec.Struct, frozen=True):
    """`gone`: the worker has no lease: register a new id and abandon every job. `held`: how many
    jobs it holds according to the store. `cancels`: claims whose cancellation was requested,
    repeated until they are settled.
    """

    gone: bool
    held: int = 0
    cordoned: bool = False
    cancels: tuple[Claim, ...] = ()


class Cause(StrEnum):
    """Why a worker's jobs are released (docs/rules.md S12, S13)."""

    # Its process crashed: a job alone on it is charged, several become suspects.
    CRASH = "crash"
    # Its process was killed to end one job by timeout or cancel: the others are not charged.
    KILLED = "killed"
    # Its lease expired or its pod was evicted: not charged, counts against the releases budget.
    LOST = "lost"
    # It stopped in good order; normally it holds nothing.
    DRAINED = "drained"


class Released(msgspec.Struct, frozen=True):
    """What `release_worker` did. `more`: call again, the limit of one call was reached."""

    requeued: int = 0
    charged: int = 0
    suspected: int = 0
    failed: int = 0
    canceled: int = 0
    more: bool = False

    def __add__(self, later: Released) -> Released:
        """Sum up two calls, with the later one's `more`."""
        both = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(later), strict=True)
        *sums, _ = (one + other for one, other in both)
        return msgspec.structs.replace(Released(*sums), more=later.more)


class Overdue(msgspec.Struct, frozen=True):
    """A running job past deadline + 2 × grace, of a worker whose lease is live."""

    claim: Claim
    attempt: int
    max_attempts: int


class Recovery(msgspec.Struct, frozen=True):
    """What `recover` found. `expired`: workers whose lease ended. `orphaned`: claims of workers
    that are not registered. `leases_extended`: the store had been unreachable, so all leases and
    deadlines were renewed and nothing is reported (docs/rules.md S1).
    """

    expired: tuple[str, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    orphaned: tuple[Claim, ...] = ()
    leases_extended: bool = False


class Swept(msgspec.Struct, frozen=True):
    """What one `sweep` did. `more`: call again, the limit of one call was reached."""

    promoted: int = 0
    expired: int = 0
    removed: int = 0
    corrupt: int = 0
    more: bool = False


class CancelStatus(StrEnum):
    """What became of a cancel."""

    CANCELED = "canceled"  # it was waiting and is Canceled now
    REQUESTED = "requested"  # it is running; its worker is notified (also when repeated)
    FINAL = "final"
    CHANGED = "changed"  # its revision is none of those named; nothing was done
    UNREADABLE = "unreadable"  # its record is of a newer version, or cannot be read
    MISSING = "missing"
    GONE = "gone"  # existed, removed by retention or purge


class RedriveStatus(StrEnum):
    """What became of a redrive."""

    REQUEUED = "requeued"
    NOT_RETRYABLE = "not-retryable"
    FULL = "full"
    CLOSED = "closed"
    DUPLICATE = "duplicate"  # an equal job has its lock
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    GONE = "gone"


class PromoteStatus(StrEnum):
    """What became of a promotion."""

    PROMOTED = "promoted"  # it is no longer Scheduled; it expired if its time to live was over
    NOT_SCHEDULED = "not-scheduled"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    GONE = "gone"


class DeleteStatus(StrEnum):
    """What became of a delete."""

    DELETED = "deleted"
    NOT_FINAL = "not-final"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    GONE = "gone"


class Canceled(msgspec.Struct, frozen=True):
    """The reply to one cancel, with the job as it is now."""

    status: CancelStatus
    job: Job | None = None


class Redriven(msgspec.Struct, frozen=True):
    """The reply to one redrive, with the job as it is now."""

    status: RedriveStatus
    job: Job | None = None
    position: Position = FIRST


class Found(msgspec.Struct, frozen=True, gc=False):
    """The reply to one look-up; `gone`: there was a job, `unreadable`: as in CancelStatus."""

    job: Job | None = None
    gone: bool = False
    position: Position = FIRST
    unreadable: bool = False


class Stats(msgspec.Struct, frozen=True):
    """Live figures, each O(1) or bounded.

    `counts`: retained jobs by state. `by_name`: the same by job name. `suspects`: how many of the
    Queued jobs are to run exclusively. `oldest_ms`: since when the oldest Queued job waits, or 0.
    `due_ms`: due times of the first Scheduled jobs (100 at most). `totals`: counters since the
    endpoint's creation, named in TOTALS; of them `busy_ms` is the time of ended attempts, `wait_ms`
    that from ready to claimed, by which `waits` counts claims (waits.py). `held_active`: `held`
    without cordoned and draining workers. `suspended`: the resource stopped claims; `paused`: a
    person did, `paused_jobs`: of these names (which `due_ms` leaves out). `features_held_ms`: since
    when one waits for older workers. `within_limits`: Queued jobs no limit holds back; None: all.
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
    suspended: bool = False
    paused: bool = False
    paused_jobs: tuple[str, ...] = ()
    closed: bool = False
    features_held_ms: int = 0
    schedules: tuple[ScheduleState, ...] = ()
    within_limits: int | None = None
    waits: dict[int, int] = {}

    @property
    def startable(self) -> int:
        """How many Queued jobs a worker may start: not paused by name, not held back by a limit."""
        paused = (self.by_name.get(name, {}).get(State.QUEUED, 0) for name in self.paused_jobs)
        unpaused = self.counts.get(State.QUEUED, 0) - sum(paused)
        return unpaused if self.within_limits is None else min(unpaused, self.within_limits)


class Identity(msgspec.Struct, frozen=True):
    """Who owns the keys: an installation and a resource's UID (docs/rules.md S22)."""

    installation: str
    uid: str


class Event(msgspec.Struct, frozen=True, gc=False):
    """A job changed. `job_id` None: events may have been missed, read again what you watch."""

    job_id: JobId | None
    revision: int = 0


class Health(msgspec.Struct, frozen=True):
    """What the server reported on connect; None = it does not report it (managed Redis). `server`
    has its name and version. `sharded`: a cluster of it would have sharded channels.
    """

    server: str
    durable: bool | None
    eviction: str | None
    warnings: tuple[str, ...] = ()
    sharded: bool = False
