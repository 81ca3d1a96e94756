"""The status of the resource, field by field: what the operator writes and `kubectl get` shows."""

from typing import Annotated, Final, Literal

from pydantic import Field

from asyncendpoints_core.resource.base import Items, Record

MAX_CONDITIONS: Final = 16
MAX_FAILURES: Final = 5
MAX_FAILURE_CHARS: Final = 256
"""Characters of a failure's message in the status."""
MAX_MESSAGE_CHARS: Final = 1_024
"""Characters of a condition's message; Kubernetes itself takes 32,768."""

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC, whole seconds, as Kubernetes writes times."""
Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
Pods = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]


class Condition(Record):
    """One thing that is so, is not so, or is not known, and since when."""

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="What it is about, such as Ready."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    reason: Annotated[str, Field(max_length=1_024, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="Why, in one word for programs."
    )
    message: Annotated[str, Field(max_length=32_768)] = Field(
        default="", description="Why, for people."
    )
    last_transition_time: Time = Field(description="Since when the status is what it is.")
    observed_generation: Count = Field(
        default=0, description="metadata.generation that this was found for."
    )


class JobCounts(Record):
    """Jobs that are still kept, by state."""

    queued: Count = Field(default=0, description="Jobs that wait for a worker.")
    scheduled: Count = Field(default=0, description="Jobs that wait for their time or a retry.")
    in_progress: Count = Field(default=0, description="Jobs that run.")
    completed: Count = Field(default=0, description="Jobs that ended well.")
    failed: Count = Field(default=0, description="Jobs that ended badly, retries included.")
    canceled: Count = Field(default=0, description="Jobs that were canceled.")


class Failure(Record):
    """One job that failed for good."""

    id: Annotated[str, Field(max_length=64)] = Field(description="Id of the job.")
    job: Annotated[str, Field(max_length=100)] = Field(description="Name of the job.")
    code: Annotated[str, Field(max_length=100)] = Field(description="Code of its error.")
    message: Annotated[str, Field(max_length=MAX_FAILURE_CHARS)] = Field(
        default="", description="Message of its error, shortened to 256 characters."
    )
    time: Time = Field(description="When it failed.")


class EndpointStatus(Record):
    """What the operator last saw. Written by it alone."""

    observed_generation: Count = Field(
        default=0, description="metadata.generation that this status is about."
    )
    conditions: Annotated[
        Items[Condition],
        Field(
            max_length=MAX_CONDITIONS,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ] = Field(
        default=(),
        description="Ready, Progressing, Degraded, GatewayAvailable, WorkersAvailable, "
        "QueueReachable, ScalingActive and RoutesAccepted; QueueNotDurable, QueueShared and "
        "WorkerVersionUnsupported where they apply.",
    )
    jobs: JobCounts | None = Field(
        default=None,
        description="Jobs by state, as last read; at most 10 s old while the queue is reachable.",
    )
    oldest_queued_time: Time | None = Field(
        default=None, description="Since when the oldest waiting job waits. Absent: none waits."
    )
    replicas: Pods = Field(default=0, description="Pods of workers that exist.")
    ready_replicas: Pods = Field(default=0, description="Pods of workers that are ready.")
    wanted_replicas: Pods | None = Field(
        default=None, description="Workers that the work asks for, or that spec.replicas pins."
    )
    selector: Annotated[str, Field(max_length=1_024)] = Field(
        default="", description="Label selector of the workers' pods, for /scale and an HPA."
    )
    url: Annotated[str, Field(max_length=2_048)] | None = Field(
        default=None, description="Where clients reach the gateway."
    )
    queue: Annotated[str, Field(max_length=200)] | None = Field(
        default=None,
        description="The Redis that holds the jobs, without credentials. A change of spec.redis to "
        "another one is held until spec.redis.leaveQueue repeats this.",
    )
    recent_failures: Items[Failure] = Field(
        default=(),
        max_length=MAX_FAILURES,
        description="The last jobs that failed for good; only with spec.reportFailures.",
    )
