"""The queue's part of the resource: limits, retries, times, retention, and the Redis behind it."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from asyncendpoints_core.resource.base import (
    PRINTABLE,
    ObjectName,
    Record,
    Role,
    SecretKey,
    broken,
    exactly_one,
)

RELEASE_BUDGET: Final = 20
"""Times a job may be given back without fault of its own before it is Failed `never-finished`."""

_YEAR: Final = 31_536_000


class QueueSpec(Record):
    """How much may wait, and how long."""

    max_depth: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Most jobs that wait (Queued and Scheduled). One more is answered 429 with an "
        "honest Retry-After. Default: 10000.",
    )
    max_bytes: int = Field(
        default=1_073_741_824,
        ge=1_024,
        le=1_099_511_627_776,
        description="Most bytes of stored jobs that wait, bodies included; beyond it 429. Keep it "
        "well below Redis's maxmemory. Default: 1073741824 (1 GiB).",
    )
    ttl_seconds: float = Field(
        default=86_400,
        ge=0.1,
        le=_YEAR,
        description="How long a job may wait for its first start, in seconds from its acceptance "
        "(from the end of its delay if it has one); then it is Failed with `expired`. A client "
        "may give its own with Job-Expires. Default: 86400 (a day).",
    )
    idempotency_seconds: float = Field(
        default=86_400,
        ge=86_400,
        le=30 * 86_400,
        description="How long an Idempotency-Key is remembered, in seconds, at least a day. "
        "Default: 86400 (a day).",
    )


class RetrySpec(Record):
    """What happens when a job fails.

    The delay before retry n is min(maxSeconds, initialSeconds × multiplier^(n−1)).
    """

    max_retries: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Runs after the first that a failing job gets. 0: none. A PermanentError is "
        "never retried. Default: 3.",
    )
    initial_seconds: float = Field(
        default=2,
        ge=0,
        le=86_400,
        description="Delay before the first retry, in seconds. Default: 2.",
    )
    multiplier: float = Field(
        default=2, ge=1, le=10, description="Factor from one delay to the next. Default: 2."
    )
    max_seconds: float = Field(
        default=300, ge=0, le=86_400, description="Longest delay, in seconds. Default: 300."
    )
    jitter: Literal["full", "none"] = Field(
        default="full",
        description="full: each delay is multiplied by a random number from 0 to 1, so that jobs "
        "that failed together do not come back together. none: as it is. Default: full.",
    )
    max_crashes: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Times a job may take its process down with it (or be killed for memory) and "
        "run again, apart from maxRetries. The next crash fails it with worker-crashed. "
        "Default: 3.",
    )


class TimeoutsSpec(Record):
    """How long a job may run, and how soon a silent worker counts as dead."""

    execution_seconds: float = Field(
        default=600,
        ge=0.1,
        le=7 * 86_400,
        description="Longest run of one attempt, in seconds; then it is ended, and retried if the "
        "budget allows. Pods get as long to finish when they are told to end. Default: 600.",
    )
    lease_seconds: float = Field(
        default=15,
        ge=1,
        le=300,
        description="How long a worker may be silent, in seconds, before its jobs run elsewhere. "
        "It reports every half second; long jobs need no longer lease. Default: 15.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] | None = Field(
        default=None,
        description="How long a worker that is told to end may finish what it runs, in seconds; "
        "the rest runs again elsewhere. Shorter than executionSeconds only if you accept such "
        "re-runs. Absent: executionSeconds.",
    )


class RetentionSpec(Record):
    """How long finished jobs can be asked for. After that, 410."""

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
        description="How long Failed and Canceled jobs are kept, in seconds; until then each can "
        "be sent through again with POST /jobs/{id}/retry. Default: 604800 (a week).",
    )
    max_finished: int = Field(
        default=1_000_000,
        ge=1,
        le=100_000_000,
        description="Most finished jobs kept, whatever their age; beyond it the oldest go first. "
        "Default: 1000000.",
    )


_REDIS_URL: Final = re.compile(
    r"^(redis|rediss|redis\+cluster|rediss\+cluster|redis\+sentinel|rediss\+sentinel|unix)://.+$"
)
_CREDENTIALS: Final = re.compile(r"://[^/?#]*@|[?&](password|username)=", re.IGNORECASE)


def _redis_url(value: str) -> str:
    # Messages repeat nothing of the URL: it may be the credential itself.
    if not _REDIS_URL.match(value):
        raise broken(
            "must be a Redis URL: redis://host:6379/0, rediss://… (TLS), redis+cluster://…, "
            "redis+sentinel://… or unix:///path"
        )
    if _CREDENTIALS.search(value):
        raise broken("must hold no user or password: put the URL into a Secret, see secretRef")
    return value


RedisUrl = Annotated[str, StringConstraints(max_length=1_024), AfterValidator(_redis_url)]
QueueIdentity = Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE)]
Durability = Literal["standard", "strict"]


class RedisSecretRef(Record):
    """The entry of a Secret that holds the URL of a Redis."""

    name: ObjectName = Field(description="Name of the Secret, in the namespace of the resource.")
    key: SecretKey = Field(
        default="url", description="Entry of the Secret that holds the URL. Default: url."
    )


class RedisSpec(Record):
    """The Redis of this endpoint. Neither `url` nor `secretRef`: the operator's own."""

    url: Annotated[RedisUrl | None, Role.OPERATOR] = Field(
        default=None,
        description="URL without credentials, for development, such as redis://redis:6379/0.",
    )
    secret_ref: Annotated[RedisSecretRef | None, Role.OPERATOR] = Field(
        default=None,
        description="Secret with the URL, credentials included. It is mounted and read again on "
        "each connect, so a changed password restarts nothing.",
    )
    durability: Annotated[Durability, Role.GATEWAY, Role.WORKER, Role.OPERATOR] = Field(
        default="standard",
        description="standard: a Redis that may lose acknowledged writes (AOF off) is used, and "
        "condition QueueNotDurable says so. strict: it is refused, and an acceptance waits until "
        "a replica or the disk has it, where there is one. Default: standard.",
    )
    leave_queue: Annotated[QueueIdentity | None, Role.OPERATOR] = Field(
        default=None,
        description="Confirms that this endpoint leaves its jobs behind after spec.redis was "
        "changed to another Redis: the identity of the old queue, which condition QueueReachable "
        "(reason QueueMoved) shows. The jobs stay in the old Redis. Absent: a change of Redis "
        "waits for this confirmation.",
    )

    @field_validator("secret_ref")
    @classmethod
    def _one_way(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "secret_ref": value}, ("url", "secret_ref"), needed=False)
        return value
