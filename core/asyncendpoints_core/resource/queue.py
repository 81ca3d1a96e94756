"""The queue's part of the resource: limits, retries, timeouts, retention, and Redis."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from asyncendpoints_core.resource.base import (
    PRINTABLE,
    ObjectName,
    Record,
    Role,
    SecretKey,
    invalid,
    one_of,
    optional,
)

_YEAR: Final = 31_536_000


class QueueSpec(Record):
    """Limits of the queue."""

    max_depth: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum number of waiting jobs (Queued and Scheduled). Further ones are "
        "rejected with 429 and a computed Retry-After. Default: 10000.",
    )
    max_bytes: int = Field(
        default=1_073_741_824,
        ge=1_024,
        le=1_099_511_627_776,
        description="Maximum size of all waiting jobs with their bodies, in bytes; further ones "
        "are rejected with 429. Keep it well below Redis's maxmemory. Default: 1073741824 (1 GiB).",
    )
    ttl_seconds: float = Field(
        default=86_400,
        ge=0.1,
        le=_YEAR,
        description="How long a job may wait for its first attempt, in seconds from its "
        "submission (or the end of its delay); then it is Failed with `expired`. Clients can set "
        "it per job with Job-Expires. Default: 86400 (a day).",
    )
    idempotency_seconds: float = Field(
        default=86_400,
        ge=86_400,
        le=30 * 86_400,
        description="How long an Idempotency-Key is stored, in seconds, at least a day. "
        "Default: 86400 (a day).",
    )


class RetrySpec(Record):
    """Retries of failed jobs.

    The delay before retry n is min(maxSeconds, initialSeconds × multiplier^(n−1)).
    """

    max_retries: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Maximum number of retries of a failing job. 0: none. A PermanentError is "
        "never retried. Default: 3.",
    )
    initial_seconds: float = Field(
        default=2,
        ge=0,
        le=86_400,
        description="Delay before the first retry, in seconds. Default: 2.",
    )
    multiplier: float = Field(
        default=2, ge=1, le=10, description="Factor between consecutive delays. Default: 2."
    )
    max_seconds: float = Field(
        default=300, ge=0, le=86_400, description="Maximum delay, in seconds. Default: 300."
    )
    jitter: Literal["full", "none"] = Field(
        default="full",
        description="full: each delay is multiplied by a random number from 0 to 1, so that jobs "
        "that failed together are not retried together. none: delays are exact. Default: full.",
    )
    max_crashes: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Number of times that a job may crash its process (or be OOM-killed) and run "
        "again, independent of maxRetries. The next crash fails it with worker-crashed. "
        "Default: 3.",
    )


class TimeoutsSpec(Record):
    """Timeouts of jobs and workers."""

    execution_seconds: float = Field(
        default=600,
        ge=0.1,
        le=7 * 86_400,
        description="Maximum duration of one attempt, in seconds; then it is aborted, and retried "
        "if retries are left. Terminating pods get the same time to finish. Default: 600.",
    )
    lease_seconds: float = Field(
        default=15,
        ge=1,
        le=300,
        description="Time without a heartbeat, in seconds, after which a worker is considered dead "
        "and its jobs run elsewhere. Heartbeats are sent every half second; long jobs do not need "
        "a longer lease. Default: 15.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] | None = optional(
        "How long a terminating worker may finish its running jobs, in seconds; the "
        "others run again elsewhere. Set it shorter than executionSeconds only if you accept such "
        "repeated runs. Absent: executionSeconds."
    )

    @property
    def drain(self) -> float:
        """How long a terminating worker may finish its jobs, in seconds."""
        return self.execution_seconds if self.drain_seconds is None else self.drain_seconds


class RetentionSpec(Record):
    """How long finished jobs are kept. After that, requests for them get 410."""

    completed_seconds: float = Field(
        default=3_600,
        ge=0,
        le=_YEAR,
        description="How long Completed jobs and their results are kept, in seconds. Default: 3600 "
        "(an hour).",
    )
    failed_seconds: float = Field(
        default=604_800,
        ge=0,
        le=_YEAR,
        description="How long Failed and Canceled jobs are kept, in seconds; until then they can "
        "be retried with POST /jobs/{id}/retry. Default: 604800 (a week).",
    )
    max_finished: int = Field(
        default=1_000_000,
        ge=1,
        le=100_000_000,
        description="Maximum number of finished jobs; beyond it the oldest are removed. Default: "
        "1000000.",
    )


_REDIS_URL: Final = re.compile(
    r"^(redis|rediss|redis\+cluster|rediss\+cluster|redis\+sentinel|rediss\+sentinel|unix)://.+$"
)
_CREDENTIALS: Final = re.compile(r"://[^/?#]*@|[?&](password|username)=", re.IGNORECASE)


def _redis_url(value: str) -> str:
    # Messages must not quote the URL: it may contain credentials.
    if not _REDIS_URL.match(value):
        raise invalid(
            "must be a Redis URL: redis://host:6379/0, rediss://… (TLS), redis+cluster://…, "
            "redis+sentinel://… or unix:///path"
        )
    if _CREDENTIALS.search(value):
        raise invalid(
            "must not contain a user or password; use secretRef for a URL with credentials"
        )
    return value


RedisUrl = Annotated[str, StringConstraints(max_length=1_024), AfterValidator(_redis_url)]
QueueIdentity = Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE)]
Durability = Literal["standard", "strict"]


class RedisSecretRef(Record):
    """The key of a Secret that holds the URL of Redis."""

    name: ObjectName = Field(description="Name of the Secret, in the namespace of the resource.")
    key: SecretKey = Field(
        default="url", description="Key of the Secret that holds the URL. Default: url."
    )


class RedisSpec(Record):
    """The Redis of this endpoint. Without `url` and `secretRef`: the operator's own."""

    url: Annotated[RedisUrl | None, Role.OPERATOR] = optional(
        "URL without credentials, for development, such as redis://redis:6379/0."
    )
    secret_ref: Annotated[
        RedisSecretRef | None, one_of("url", "secret_ref", needed=False), Role.OPERATOR
    ] = optional(
        "Secret with the URL, including credentials. It is mounted and read on each "
        "connect, so a password change needs no restart."
    )
    durability: Annotated[Durability, Role.GATEWAY, Role.WORKER, Role.OPERATOR] = Field(
        default="standard",
        description="standard: a Redis that may lose acknowledged writes (AOF off) is used, with "
        "condition QueueNotDurable as a warning. strict: it is refused, and a submission is "
        "acknowledged once it is on disk and, if there is one, on a replica. Default: standard.",
    )
    leave_queue: Annotated[QueueIdentity | None, Role.OPERATOR] = optional(
        "Confirms that this endpoint leaves its jobs behind after spec.redis was "
        "changed to another Redis: the identity of the old queue, which condition QueueReachable "
        "(reason QueueMoved) shows. The jobs stay in the old Redis. Absent: a change of Redis "
        "waits for this confirmation."
    )
