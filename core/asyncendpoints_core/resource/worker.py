"""The workers' part of the resource: what code runs, how many jobs at a time, how many pods."""

from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from asyncendpoints_core.resource.base import (
    PRINTABLE,
    Record,
    Role,
    broken,
    exactly_one,
    pattern,
)
from asyncendpoints_core.resource.pods import PodOptions, Rollout

MODULE: Final = pattern(
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
    "the dotted name of a Python module, such as reports.jobs",
)
REQUEST_PATH: Final = pattern(r"^/[\x21-\x7e]*$", "a path such as /jobs/run")

Image = Annotated[str, StringConstraints(max_length=512, pattern=PRINTABLE)]
Module = Annotated[str, StringConstraints(max_length=256, pattern=MODULE)]
Concurrency = Annotated[int, Field(ge=1, le=1_000)]


class HttpWorker(Record):
    """The HTTP mode: each job is posted to a container of any language in the same pod."""

    port: int = Field(ge=1, le=65_535, description="Port on which the container listens.")
    path: Annotated[str, StringConstraints(max_length=1_024, pattern=REQUEST_PATH)] = Field(
        default="/", description="Path that the jobs are sent to. Default: /."
    )


class WorkerSpec(PodOptions):
    """The workers: they claim jobs and run your code. Exactly one of `handlers` and `http`."""

    image: Annotated[Image | None, Role.OPERATOR] = Field(
        default=None,
        description="Image of your code: the worker base plus your modules, or, in HTTP mode, your "
        "server. Needed in a cluster; `asyncendpoints run` does not use it.",
    )
    # The gateway gets these two as well: without one of them a resource is not valid.
    handlers: Annotated[Module | None, Role.WORKER, Role.GATEWAY] = Field(
        default=None,
        description="Python module that is imported for its @handler functions, such as "
        "reports.jobs. Locally it is looked for in the folder of the resource's file.",
    )
    http: Annotated[HttpWorker | None, Role.WORKER, Role.GATEWAY, Role.OPERATOR] = Field(
        default=None,
        validate_default=True,
        description="HTTP mode, instead of `handlers`: where your container takes jobs.",
    )
    concurrency: Annotated[Concurrency | None, Role.WORKER] = Field(
        default=None,
        description="Jobs that one process runs at a time. Absent: the number of CPUs it may use "
        "(the container's CPU limit, at least 1).",
    )
    processes: Annotated[int, Role.WORKER] = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes in one worker, each with its own `concurrency`: more than one for "
        "CPU-bound handlers on several CPUs. Default: 1.",
    )
    max_result_bytes: Annotated[int, Role.WORKER] = Field(
        default=1_048_576,
        ge=1,
        le=16_777_216,
        description="Largest result of a job, in bytes; a larger one fails the job with "
        "result-too-large. Results are kept in Redis. Default: 1048576 (1 MiB).",
    )
    rollout: Annotated[Rollout, Role.OPERATOR] = Field(
        default=Rollout(), description="How pods are replaced when their template changes."
    )

    @field_validator("http")
    @classmethod
    def _one_mode(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "http": value}, ("handlers", "http"))
        return value


class AutoscalingSpec(Record):
    """How many workers there are when `replicas` does not say: by the jobs that wait and run."""

    min_replicas: int = Field(
        default=0,
        ge=0,
        le=1_000,
        description="Fewest workers. 0: none while there is nothing to do. Default: 0.",
    )
    max_replicas: int = Field(
        default=20,
        ge=1,
        le=1_000,
        validate_default=True,
        description="Most workers. Default: 20.",
    )
    target_wait_seconds: float = Field(
        default=10,
        ge=0.1,
        le=86_400,
        description="How long a job may wait for a worker, in seconds: workers are added so that "
        "what waits is started within it. Default: 10.",
    )
    idle_seconds: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How long nothing must have waited or run, in seconds, before the last worker "
        "goes (with minReplicas 0). Default: 300.",
    )

    @field_validator("max_replicas")
    @classmethod
    def _not_below_min(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("min_replicas", 0)
        if value < least:
            raise broken(f"must be at least minReplicas ({least}), but is {value}")
        return value
