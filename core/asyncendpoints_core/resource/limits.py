"""Limits: how many jobs may run at a time and start in a second: all, of a name, of a key."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, ValidationInfo, field_validator

from asyncendpoints_core.jobs import policy
from asyncendpoints_core.resource.base import Items, Record, invalid, unique
from asyncendpoints_core.resource.routes import JobName
from asyncendpoints_core.resource.schedules import Key

MAX_JOBS: Final = 100
MAX_KEYS: Final = 1_000

Concurrency = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(ge=0.0001, le=1_000_000)]
Burst = Annotated[float, Field(ge=1, le=1_000_000)]


class Limit(Record):
    """A limit of running jobs, of starts in a second, or both."""

    concurrency: Concurrency | None = Field(
        default=None, description="How many may run at a time. Absent: any number."
    )
    rate_per_second: Rate | None = Field(
        default=None,
        description="How many may start in a second, fractions allowed: 0.1 is one in 10 s. "
        "Absent: any number.",
    )
    burst: Burst | None = Field(
        default=None,
        description="How many may start at once after a time without starts; only with "
        "ratePerSecond. Absent: ratePerSecond, at least 1.",
    )

    @field_validator("burst")
    @classmethod
    def _needs_a_rate(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("rate_per_second", 1) is None:
            raise invalid("needs ratePerSecond")
        return value

    def of_store(self, base: "Limit | None" = None, weight: float = 1) -> policy.Limit:
        """Return it as the store has it; what it does not set is as in `base`."""
        rated = self if self.rate_per_second is not None or base is None else base
        concurrency = self.concurrency or (base.concurrency if base else None)
        rate = rated.rate_per_second or 0.0
        return policy.Limit(
            concurrency=concurrency or 0,
            rate=float(rate),
            burst=float(rated.burst or max(1.0, rate)),
            weight=float(weight),
        )


class JobLimit(Limit):
    """The limit of the jobs of one name."""

    job: JobName = Field(description="Name of the job.")


class KeyLimit(Limit):
    """The limit and the weight of one key."""

    key: Key = Field(description="The key, at most 64 bytes.")
    weight: Annotated[float, Field(ge=0.01, le=1_000)] = Field(
        default=1,
        description="Share of the starts beside other keys with waiting jobs: a key of weight 3 "
        "starts three jobs for each of a key of weight 1. Default: 1.",
    )


def _by(field: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]}


class LimitsSpec(Record):
    """Limits of the jobs that run. A job that a limit holds back stays Queued."""

    total: Limit | None = Field(
        default=None, description="The limit of all jobs together. Absent: none."
    )
    per_job: Annotated[
        Items[JobLimit],
        Field(max_length=MAX_JOBS, json_schema_extra=_by("job")),
        unique("job", lambda limit: limit.job),
    ] = Field(default=(), description="Limits of all jobs of a name. Default: none.")
    per_key: Limit | None = Field(
        default=None,
        description="The limit of each key by itself. It does not apply to jobs without a key. "
        "Absent: none.",
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
        return policy.limits_of(
            total=self.total.of_store() if self.total else None,
            jobs={limit.job: limit.of_store() for limit in self.per_job},
            every_key=self.per_key.of_store() if self.per_key else None,
            keys={limit.key: limit.of_store(self.per_key, limit.weight) for limit in self.keys},
        )
