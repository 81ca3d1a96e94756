"""The fields of the resource's status, which only the operator writes."""

from typing import Annotated, Final, Literal

from pydantic import Field

from asyncendpoints_core.resource.base import Items, Record
from asyncendpoints_core.resource.schedules import MAX_SCHEDULES

MAX_CONDITIONS: Final = 16
MAX_FAILURES: Final = 5
MAX_FAILURE_CHARS: Final = 256
"""Characters of a failure's message in the status."""
MAX_MESSAGE_CHARS: Final = 1_024
"""Characters of a condition's message; Kubernetes accepts 32,768."""

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC, whole seconds: the format of Kubernetes."""
Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
Pods = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]


class Condition(Record):
    """One aspect of the endpoint's state."""

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="Type of the condition, such as Ready."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition is met.")
    reason: Annotated[str, Field(max_length=1_024, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="Machine-readable reason for the status."
    )
    message: Annotated[str, Field(max_length=32_768)] = Field(
        default="", description="Human-readable explanation."
    )
    last_transition_time: Time = Field(description="When the status last changed.")
    observed_generation: Count = Field(
        default=0, description="The metadata.generation that the condition is based on."
    )


class JobCounts(Record):
    """Numbers of retained jobs, by state."""

    queued: Count = Field(default=0, description="Jobs waiting for a worker.")
    scheduled: Count = Field(default=0, description="Jobs delayed or waiting for a retry.")
    in_progress: Count = Field(default=0, description="Running jobs.")
    completed: Count = Field(default=0, description="Jobs that succeeded.")
    failed: Count = Field(default=0, description="Jobs that failed permanently.")
    canceled: Count = Field(default=0, description="Canceled jobs.")


class Failure(Record):
    """A job that failed permanently."""

    id: Annotated[str, Field(max_length=64)] = Field(description="Id of the job.")
    job: Annotated[str, Field(max_length=100)] = Field(description="Name of the job.")
    code: Annotated[str, Field(max_length=100)] = Field(description="Error code.")
    message: Annotated[str, Field(max_length=MAX_FAILURE_CHARS)] = Field(
        default="", description="Error message, shortened to 256 characters."
    )
    time: Time = Field(description="When the job failed.")


class ScheduleStatus(Record):
    """A schedule: when it last created a job, and when it is due next."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Name of the schedule.")
    last_time: Time | None = Field(
        default=None,
        description="The last time that created a job. Absent: none did so far.",
    )
    next_time: Time | None = Field(
        default=None, description="When it is due next. Absent while it is suspended."
    )


class ConsoleSecretUids(Record):
    """The UIDs of the Secrets with the tokens of the console, by role."""

    view: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="UID of the Secret NAME-console-view."
    )
    operate: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="UID of the Secret NAME-console-operate."
    )


class EndpointStatus(Record):
    """The state of the endpoint as last observed by the operator."""

    observed_generation: Count = Field(
        default=0, description="The metadata.generation that this status is based on."
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
        "WorkerVersionUnsupported if they apply.",
    )
    jobs: JobCounts | None = Field(
        default=None,
        description="Jobs by state; at most 2 s old while the queue is reachable, or 10 s while "
        "more than 50 endpoints change.",
    )
    oldest_queued_time: Time | None = Field(
        default=None,
        description="When the oldest waiting job began to wait. Absent if none is waiting.",
    )
    replicas: Pods = Field(default=0, description="Number of worker pods.")
    ready_replicas: Pods = Field(default=0, description="Number of ready worker pods.")
    wanted_replicas: Pods | None = Field(
        default=None, description="Number of workers wanted by autoscaling or spec.replicas."
    )
    selector: Annotated[str, Field(max_length=1_024)] = Field(
        default="", description="Label selector of the worker pods, for /scale and an HPA."
    )
    operator: Annotated[str, Field(max_length=317)] | None = Field(
        default=None,
        description="The operator that serves the endpoint: namespace and name of its Lease. "
        "Another one takes over when that Lease has not been renewed for 60 s.",
    )
    ready_template: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="Hash of the last worker template of which a pod was ready: it is scaled up "
        "from zero without waiting for a first pod.",
    )
    console_secrets: ConsoleSecretUids | None = Field(
        default=None,
        description="The Secrets of the console that the operator made. One of the same name and "
        "another UID is left alone.",
    )
    url: Annotated[str, Field(max_length=2_048)] | None = Field(
        default=None, description="URL of the gateway for clients."
    )
    queue: Annotated[str, Field(max_length=200)] | None = Field(
        default=None,
        description="The Redis that holds the jobs, without credentials. A change of spec.redis to "
        "another Redis takes effect once spec.redis.leaveQueue is set to this value.",
    )
    schedules: Annotated[
        Items[ScheduleStatus],
        Field(
            max_length=MAX_SCHEDULES,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = Field(default=(), description="The schedules, by name; as old as status.jobs.")
    recent_failures: Items[Failure] = Field(
        default=(),
        max_length=MAX_FAILURES,
        description="The last jobs that failed permanently; only with spec.reportFailures.",
    )
