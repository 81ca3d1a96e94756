"""The records that pass between gateway, store and worker. Frozen; no I/O.

Times are milliseconds since the Unix epoch (UTC) and 0 when unset; ids are 16 bytes (ids.py).
A record refers to nothing that can refer back to it, so the garbage collector does not track it
(`gc=False`): thousands are made each second, and its passes took an eighth of a submission's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.states import FINAL, State

MAX_ERROR_CHARS: Final = 1_000
MAX_PROGRESS_CHARS: Final = 500
MAX_ATTEMPTS_KEPT: Final = 10
MAX_JOB_WEBHOOKS: Final = 8
# A job released more often than this fails with `never-finished`: docs/rules.md S12.
MAX_RELEASES: Final = 20
# Jobs that one attempt may enqueue, and the bytes of their bodies together.
MAX_CHILDREN: Final = 100
MAX_CHILDREN_BYTES: Final = 1_048_576


class Priority(IntEnum):
    """Which of the three queues a job is in; claims take from them 6 : 3 : 1."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class ErrorCode(StrEnum):
    """The error codes that the system sets; a handler may use its own."""

    HANDLER_ERROR = "handler-error"
    PERMANENT = "permanent"
    EXECUTION_TIMEOUT = "execution-timeout"
    INVALID_PAYLOAD = "invalid-payload"
    INVALID_RESULT = "invalid-result"
    RESULT_TOO_LARGE = "result-too-large"
    HANDLER_MISSING = "handler-missing"
    EXPIRED = "expired"
    WORKER_CRASHED = "worker-crashed"
    NEVER_FINISHED = "never-finished"
    CORRUPT = "corrupt"
    ENQUEUE_REFUSED = "enqueue-refused"


class JobError(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Why an attempt failed, as shown to clients. The message has at most 1,000 characters."""

    code: str
    message: str
    retryable: bool = False


class Progress(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Progress reported by a running job: a fraction in [0, 1] and a short message."""

    fraction: float
    message: str = ""


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One ended run.

    `outcome` is completed, retry, failed, released, recovered, timed-out or canceled.
    """

    number: int
    started_ms: int
    ended_ms: int
    outcome: str
    error: JobError | None = None


class Request(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The HTTP request a job was made from; never changes. Header names are in lower case."""

    method: str
    path: str
    query: str = ""
    route_params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    content_type: str = ""
    body: bytes = b""


class Result(msgspec.Struct, frozen=True, gc=False):
    """What a handler returned, as an HTTP body."""

    content_type: str
    body: bytes
    filename: str = ""


class Lock(msgspec.Struct, frozen=True, gc=False):
    """The lock of a job that is unique: `name` (16 bytes) is the same for equal submissions.

    It ends with its job, or when that is claimed for the first time, or after `ms`.
    """

    name: bytes
    ms: int
    until_started: bool = False


class OnConflict(IntEnum):
    """What becomes of a submission whose lock another job holds."""

    RETURN = 0
    REJECT = 1
    REPLACE = 2


class Attributes(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What few jobs carry beyond their request. Each has at most 255 bytes, but for `tags` (10 of
    64) and `webhooks` (8 URLs of 2,000).

    `schedule` and `scheduled_ms` name what started the job and when it was due; `parent` is the job
    that created it, `subject` who submitted it.
    """

    tags: tuple[str, ...] = ()
    key: str = ""
    parent: JobId | None = None
    schedule: str = ""
    scheduled_ms: int = 0
    webhooks: tuple[str, ...] = ()
    lock: Lock | None = None
    subject: str = ""


NO_ATTRIBUTES: Final = Attributes()


class Job(msgspec.Struct, frozen=True, gc=False):
    """A job's state in the store, without its request and result.

    `revision` grows with every change (ETag and SSE event id). `expires_at_ms` is the end of the
    time to live while it waits and of its retention when final, 0 while neither applies.
    """

    id: JobId
    name: str
    state: State
    priority: Priority
    attempt: int
    max_attempts: int
    crashes: int
    releases: int
    claim: int
    worker: str
    revision: int
    created_ms: int
    updated_ms: int
    not_before_ms: int = 0
    started_ms: int = 0
    completed_ms: int = 0
    expires_at_ms: int = 0
    cancel_requested_ms: int = 0
    progress: Progress | None = None
    error: JobError | None = None
    attempts: tuple[Attempt, ...] = ()
    suspect: bool = False
    traceparent: str = ""
    attributes: Attributes = NO_ATTRIBUTES

    @property
    def final(self) -> bool:
        """Whether only a redrive or a delete can change it."""
        return self.state in FINAL


class Idempotency(msgspec.Struct, frozen=True, gc=False):
    """A client's Idempotency-Key and the fingerprint of its request (any bytes, ≤ 32)."""

    key: str
    fingerprint: bytes


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job for the store to create.

    `delay_ms` counts from acceptance; `ttl_ms` too, 0 meaning the endpoint's time to live.
    `on_conflict` is for a job with a lock.
    """

    id: JobId
    name: str
    request: Request
    max_attempts: int
    priority: Priority = Priority.NORMAL
    delay_ms: int = 0
    ttl_ms: int = 0
    idempotency: Idempotency | None = None
    attributes: Attributes = NO_ATTRIBUTES
    on_conflict: OnConflict = OnConflict.RETURN


class Claim(msgspec.Struct, frozen=True, gc=False):
    """The right to settle one job. `number` only grows: a fencing token."""

    job_id: JobId
    number: int
    worker: str


class ClaimedJob(msgspec.Struct, frozen=True, gc=False):
    """A claimed job with its request. `deadline_ms` is the end of its execution timeout."""

    claim: Claim
    job: Job
    request: Request
    deadline_ms: int


class OutcomeKind(IntEnum):
    """How a worker ends its claim of a job."""

    COMPLETE = 0
    RETRY = 1
    FAIL = 2
    RELEASE = 3
    CANCELED = 4
    TIME_OUT = 5


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The end of one claim, made by the functions below: they take what each kind needs.

    `children` are of COMPLETE: the jobs that its handler enqueued.
    """

    claim: Claim
    kind: OutcomeKind
    delay_ms: int = 0
    error: JobError | None = None
    result: Result | None = None
    started: bool = True
    final: bool = False
    children: tuple[NewJob, ...] = ()


def complete(claim: Claim, result: Result, children: tuple[NewJob, ...] = ()) -> Outcome:
    """The handler returned, having enqueued `children`."""
    return Outcome(claim, OutcomeKind.COMPLETE, result=result, children=children)


def retry_later(claim: Claim, error: JobError, delay_ms: int) -> Outcome:
    """The handler failed and is retried after `delay_ms`; the attempt counts."""
    return Outcome(claim, OutcomeKind.RETRY, delay_ms=delay_ms, error=error)


def fail(claim: Claim, error: JobError) -> Outcome:
    """The job fails: a permanent error, or no attempts are left."""
    return Outcome(claim, OutcomeKind.FAIL, error=error)


def release(
    claim: Claim, *, started: bool = True, delay_ms: int = 0, error: JobError | None = None
) -> Outcome:
    """Return the job to the queue; the attempt does not count.

    Without a delay it returns to its old position; with one it is Scheduled, then goes to the tail.
    `started=False`: its handler did not start, so nothing is charged and its time to live goes on.
    `error` (handler-missing) is kept on the record.
    """
    return Outcome(claim, OutcomeKind.RELEASE, delay_ms=delay_ms, error=error, started=started)


def canceled(claim: Claim) -> Outcome:
    """The worker stopped the job because its cancel was requested."""
    return Outcome(claim, OutcomeKind.CANCELED)


def timed_out(claim: Claim, error: JobError, delay_ms: int | None) -> Outcome:
    """The execution timeout passed: retried after `delay_ms`, or Failed when it is None."""
    return Outcome(
        claim, OutcomeKind.TIME_OUT, delay_ms=delay_ms or 0, error=error, final=delay_ms is None
    )
