"""The workers' part of the resource: code, concurrency, and autoscaling."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from asyncendpoints_core.resource.base import (
    AnyObject,
    Record,
    Role,
    invalid,
    one_of,
    optional,
    pattern,
)
from asyncendpoints_core.resource.containers import Image, Words
from asyncendpoints_core.resource.pods import PodOptions

MODULE: Final = pattern(
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
    "the dotted name of a Python module, such as reports.jobs",
)
REQUEST_PATH: Final = pattern(r"^/[\x21-\x7e]*$", "a path such as /jobs/run")

Module = Annotated[str, StringConstraints(max_length=256, pattern=MODULE)]
Concurrency = Annotated[int, Field(ge=1, le=1_000)]


GRACE_MARGIN_SECONDS: Final = 30
"""Time that a worker's pod has after the drain, to deliver the last outcomes and exit."""


class HttpWorker(Record):
    """HTTP mode: each job is sent by POST to a container in the same pod, in any language."""

    port: int = Field(ge=1, le=65_535, description="Port that the container listens on.")
    path: Annotated[str, StringConstraints(max_length=1_024, pattern=REQUEST_PATH)] = Field(
        default="/", description="Path that jobs are sent to. Default: /."
    )


class LogsSpec(Record):
    """The logs of jobs: what handlers log by `logging`, kept with each attempt.

    Shown by the console and by `asyncendpoints jobs logs`, never by the gateway.
    """

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO",
        description="Minimum level of the records that are kept: DEBUG, INFO, WARNING, ERROR or "
        "CRITICAL. The levels of your loggers stay as they are. Default: INFO.",
    )
    max_bytes: int = Field(
        default=16_384,
        ge=4_096,
        le=65_536,
        description="Maximum size of the log of one attempt in bytes; the oldest lines are dropped "
        "beyond. The logs of an endpoint take at most 64 MiB of Redis. Default: 16384 (16 KiB).",
    )
    keep: Literal["Failed", "All"] = Field(
        default="Failed",
        description="Failed: the log of an attempt is removed when it completes the job. All: it "
        "is kept as long as the job. Default: Failed.",
    )
    traces: bool = Field(
        default=False,
        description="Whether tracebacks are kept; without them an exception is one line. They may "
        "show values of your data. Default: false.",
    )


class WorkerSpec(PodOptions):
    """The workers, which run the jobs. Exactly one of `handlers` and `http` is required."""

    image: Annotated[Image | None, Role.OPERATOR] = optional(
        "Image with your code: your modules on the worker base image, or, in HTTP "
        "mode, your server. Required in a cluster; not used by `asyncendpoints run`."
    )
    # The gateway gets these two because a resource without either is not valid.
    handlers: Annotated[Module | None, Role.WORKER, Role.GATEWAY] = optional(
        "Python module with the @handler functions, such as reports.jobs. "
        "`asyncendpoints run` imports it from the directory of the resource's file."
    )
    http: Annotated[
        HttpWorker | None,
        one_of("handlers", "http"),
        Role.WORKER,
        Role.GATEWAY,
        Role.OPERATOR,
    ] = optional(
        "HTTP mode, instead of `handlers`: where your container accepts jobs.",
        validate_default=True,
    )
    command: Annotated[Words, Role.OPERATOR] = Field(
        default=(),
        description="HTTP mode: command of your container, instead of the image's entry point. "
        "With handlers: what starts the worker, instead of `asyncendpoints worker`, such as "
        "[ddtrace-run, asyncendpoints, worker]; it must pass signals and its arguments on. "
        "Default: none.",
    )
    args: Annotated[Words, Role.OPERATOR] = Field(
        default=(),
        description="HTTP mode: arguments of your container. With handlers: more arguments of the "
        "worker, after those of the operator. Default: none.",
    )
    agent_resources: Annotated[AnyObject, Role.OPERATOR] = Field(
        default={},
        validate_default=True,
        description="HTTP mode: CPU and memory of the agent, the container beside yours that "
        "claims the jobs; a quota on limits requires them of every container. Default: requests of "
        "50m CPU and 96Mi of memory, no limits.",
    )
    termination_grace_period_seconds: Annotated[int | None, Role.OPERATOR] = optional(
        "Grace period of the pods in seconds, at least timeouts.drainSeconds (by "
        "default timeouts.executionSeconds) + 30. Absent: exactly that.",
        ge=GRACE_MARGIN_SECONDS,
        le=8 * 86_400,
    )
    concurrency: Annotated[Concurrency | None, Role.WORKER] = optional(
        "Number of jobs that one process runs concurrently. Absent: the number of CPUs "
        "available to it (the container's CPU limit, at least 1)."
    )
    processes: Annotated[int, Role.WORKER] = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of processes per worker, each with its own `concurrency`. Use several "
        "for CPU-bound handlers on several CPUs. Default: 1.",
    )
    max_result_bytes: Annotated[int, Role.WORKER] = Field(
        default=1_048_576,
        ge=1,
        le=16_777_216,
        description="Maximum size of a job's result in bytes; a larger one fails the job with "
        "result-too-large. Results are stored in Redis. Default: 1048576 (1 MiB).",
    )

    logs: Annotated[LogsSpec | None, Role.WORKER] = optional(
        "Logs of jobs, kept in Redis with each attempt. Absent: none are kept."
    )

    @field_validator("agent_resources")
    @classmethod
    def _of_an_agent(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("http", True) is None:
            raise invalid("only in HTTP mode is there an agent beside your container")
        return value


class AutoscalingSpec(Record):
    """Scaling of the workers by the number of waiting and running jobs."""

    min_replicas: int = Field(
        default=0,
        ge=0,
        le=1_000,
        description="Minimum number of workers. 0: scale to zero while there is no work. Default: "
        "0.",
    )
    max_replicas: int = Field(
        default=20,
        ge=1,
        le=1_000,
        validate_default=True,
        description="Maximum number of workers. Default: 20.",
    )
    target_wait_seconds: float = Field(
        default=10,
        ge=0.1,
        le=86_400,
        description="Target for the time that a job waits for a worker, in seconds: workers are "
        "added so that waiting jobs start within it. Default: 10.",
    )
    idle_seconds: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="Time without any job, in seconds, before the last worker is removed (with "
        "minReplicas 0). Default: 300.",
    )

    @field_validator("max_replicas")
    @classmethod
    def _not_below_min(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("min_replicas", 0)
        if value < least:
            raise invalid(f"must be at least minReplicas ({least}), but is {value}")
        return value
