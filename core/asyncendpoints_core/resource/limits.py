"""Limits: how many jobs may run at a time and start in a second: all, of a name, of a key."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field, ValidationInfo, field_validator

from asyncendpoints_core.jobs import policy
from asyncendpoints_core.resource.base import Items, Record, invalid, optional, unique
from asyncendpoints_core.resource.routes import JobName
from asyncendpoints_core.resource.schedules import Key

MAX_JOBS: Final = 100
MAX_KEYS: Final = 1_000

Concurrency = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(ge=0.0001, le=1_000_000)]
Depth = Annotated[int, Field(ge=1, le=10_000_000)]
Burst = Annotated[float, Field(ge=1, le=1_000_000)]


class Limit(Record):
    """A limit of running jobs, of starts in a second, or both."""

    concurrency: Concurrency | None = optional("How many may run at a time. Absent: any number.")
    rate_per_second: Rate | None = optional(
        "How many may start in a second, fractions allowed: 0.1 is one in 10 s. Absent: any number."
    )
    burst: Burst | None = optional(
        "How many may start at once after a time without starts; only with "
        "ratePerSecond. Absent: ratePerSecond, at least 1."
    )

    @field_validator("burst")
    @classmethod
    def _needs_a_rate(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("rate_per_second", 1) is None:
            raise invalid("needs ratePerSecond")
        return value

    def of_store(self) -> policy.Limit:
        """Return it as the store has it."""
        rate = self.rate_per_second or 0.0
        burst = self.burst or max(1.0, rate)
        return policy.Limit(self.concurrency or 0, float(rate), float(burst))


class PerKeyLimit(Limit):
    """The limit of each key."""

    max_depth: Depth | None = optional(
        "How many jobs of a key may wait (Queued and Scheduled). Further ones are "
        "rejected with 429 `key-queue-full`. Absent: as queue.maxDepth says."
    )

    def of_store(self) -> policy.Limit:
        """Return it as the store has it."""
        return msgspec.structs.replace(super().of_store(), depth=self.max_depth or 0)


class JobLimit(Limit):
    """The limit of the jobs of one name."""

    job: JobName = Field(description="Name of the job.")


class KeyLimit(PerKeyLimit):
    """The limit and the weight of one key."""

    key: Key = Field(description="The key, at most 64 bytes.")
    weight: Annotated[float, Field(ge=0.01, le=1_000)] = Field(
        default=1,
        description="Share of the starts beside other keys with waiting jobs: a key of weight 3 "
        "starts three jobs for each of a key of weight 1. Default: 1.",
    )

    def with_base(self, base: policy.Limit) -> policy.Limit:
        """Return it as the store has it; what it does not set is as in `base`."""
        own = self.of_store()
        rated = own if own.rate else base
        return policy.Limit(
            concurrency=own.concurrency or base.concurrency,
            rate=rated.rate,
            burst=rated.burst,
            weight=float(self.weight),
            depth=own.depth or base.depth,
        )


def _by(field: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]}


class LimitsSpec(Record):
    """Limits of the jobs that run. A job that a limit holds back stays Queued."""

    total: Limit | None = optional("The limit of all jobs together. Absent: none.")
    per_job: Annotated[
        Items[JobLimit],
        Field(max_length=MAX_JOBS, json_schema_extra=_by("job")),
        unique("job", lambda limit: limit.job),
    ] = Field(default=(), description="Limits of all jobs of a name. Default: none.")
    per_key: PerKeyLimit | None = optional(
        "The limit of each key by itself. It does not apply to jobs without a key. Absent: none."
    )
    keys: Annotated[
        Items[KeyLimit],
        Field(max_length=MAX_KEYS, json_schema_extra=_by("key")),
        unique("key", lambda limit: limit.key),
    ] = Field(
        default=(),
        description="Exceptions for single keys; what one does not set is as in perKey. Default: "
        "none.",
    )

    def of_store(self) -> Mapping[str, policy.Limit]:
        """Return the limits as the store has them."""
        every = self.per_key.of_store() if self.per_key else None
        return policy.limits_of(
            total=self.total.of_store() if self.total else None,
            jobs={limit.job: limit.of_store() for limit in self.per_job},
            every_key=every,
            keys={limit.key: limit.with_base(every or policy.Limit()) for limit in self.keys},
        )
