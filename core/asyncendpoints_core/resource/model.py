"""The resource as a whole, and what follows from it for the store."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.resource.base import Label, ObjectName, Record, Role, broken
from asyncendpoints_core.resource.gateway import GatewaySpec, NetworkPolicy
from asyncendpoints_core.resource.queue import (
    QueueSpec,
    RedisSpec,
    RetentionSpec,
    RetrySpec,
    TimeoutsSpec,
)
from asyncendpoints_core.resource.routes import Routes
from asyncendpoints_core.resource.worker import AutoscalingSpec, WorkerSpec

GROUP: Final = "asyncendpoints.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "AsyncEndpoint"

MAX_REPLICAS: Final = 1_000
"""Upper limit of spec.replicas."""

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]


class Metadata(Record):
    """The parts of an object's metadata that mean something here; the others are passed over."""

    model_config = ConfigDict(extra="ignore")

    name: ObjectName = Field(description="Name of the endpoint.")
    namespace: Label = Field(
        default="default", description="Namespace of the endpoint. Default: default."
    )
    labels: dict[str, str] = Field(default={}, description="Labels of the endpoint.")
    annotations: dict[str, str] = Field(default={}, description="Annotations of the endpoint.")
    uid: str = Field(default="", description="Set by the cluster; empty elsewhere.")
    generation: int = Field(default=0, description="Set by the cluster; 0 elsewhere.")

    @field_validator("labels", "annotations", "uid", "generation", mode="before")
    @classmethod
    def _absent_is_empty(cls, value: Any, info: ValidationInfo) -> Any:
        return cls.model_fields[str(info.field_name)].default if value is None else value


class EndpointSpec(Record):
    """What an endpoint is to do. Needed: `routes`, and one of worker.handlers and worker.http."""

    routes: Routes = Field(description="Requests that become jobs, at least one route.")
    gateway: GatewaySpec = Field(
        default=GatewaySpec(), description="The HTTP side: limits, who may call, how it is reached."
    )
    worker: WorkerSpec = Field(description="The workers: what code runs, and where.")
    replicas: Annotated[Replicas | None, Role.OPERATOR] = Field(
        default=None,
        description="Pins the number of workers and stops autoscaling; 0 is allowed. This is what "
        "`kubectl scale` writes; `asyncendpoints unpin` takes it away. Leave it out of files in "
        "Git. Absent: autoscaling.",
    )
    autoscaling: Annotated[AutoscalingSpec, Role.OPERATOR] = Field(
        default=AutoscalingSpec(), description="How many workers there are, by the work there is."
    )
    queue: Annotated[QueueSpec, Role.STORE] = Field(
        default=QueueSpec(), validate_default=True, description="How much may wait, and how long."
    )
    retry: Annotated[RetrySpec, Role.STORE] = Field(
        default=RetrySpec(), description="What happens when a job fails."
    )
    timeouts: Annotated[TimeoutsSpec, Role.WORKER, Role.STORE, Role.OPERATOR] = Field(
        default=TimeoutsSpec(), description="How long a job may run, and when a worker is dead."
    )
    retention: Annotated[RetentionSpec, Role.STORE] = Field(
        default=RetentionSpec(), description="How long finished jobs can be asked for."
    )
    redis: RedisSpec = Field(
        default=RedisSpec(),
        description="The Redis of this endpoint. Absent: the operator's own. "
        "`asyncendpoints run` ignores it unless told --redis.",
    )
    suspend: Annotated[bool, Role.STORE, Role.OPERATOR] = Field(
        default=False,
        description="true: jobs are accepted and none is run; what runs is finished. Time to live "
        "stands still meanwhile. Default: false.",
    )
    class_name: Annotated[Label | None, Role.OPERATOR] = Field(
        default=None,
        description="Which operator is meant, where several run. Absent: the one without a class.",
    )
    on_delete: Annotated[Literal["Keep", "Purge"], Role.OPERATOR] = Field(
        default="Keep",
        description="What becomes of the jobs when the resource is deleted. Keep: they stay for 10 "
        "minutes, and a resource of the same name made in that time adopts them. Purge: they are "
        "deleted at once. Either way no new ones are accepted. Default: Keep.",
    )
    report_failures: Annotated[bool, Role.OPERATOR] = Field(
        default=False,
        description="Whether the status shows the last 5 failures with their messages (256 "
        "characters each). Messages may hold personal data. Default: false.",
    )
    network_policy: Annotated[NetworkPolicy | None, Role.OPERATOR] = Field(
        default=None, description="NetworkPolicies to make for the pods. Absent: none."
    )

    @field_validator("queue")
    @classmethod
    def _takes_one_body(cls, value: QueueSpec, info: ValidationInfo) -> QueueSpec:
        gateway = info.data.get("gateway")
        if gateway is not None and value.max_bytes < gateway.max_body_bytes:
            raise broken(
                f"maxBytes ({value.max_bytes}) must be at least gateway.maxBodyBytes "
                f"({gateway.max_body_bytes}), or a body of that size could never be accepted"
            )
        return value

    def policy(self) -> Policy:
        """Return what the store decides by, in the store's units."""
        return Policy(
            max_depth=self.queue.max_depth,
            max_bytes=self.queue.max_bytes,
            ttl_ms=_ms(self.queue.ttl_seconds),
            idempotency_ms=_ms(self.queue.idempotency_seconds),
            completed_ms=_ms(self.retention.completed_seconds),
            failed_ms=_ms(self.retention.failed_seconds),
            max_finished=self.retention.max_finished,
            execution_ms=_ms(self.timeouts.execution_seconds),
            lease_ms=_ms(self.timeouts.lease_seconds),
            retry=RetryPolicy(
                max_retries=self.retry.max_retries,
                initial_ms=_ms(self.retry.initial_seconds),
                multiplier=self.retry.multiplier,
                max_ms=_ms(self.retry.max_seconds),
                jitter=self.retry.jitter,
                max_crashes=self.retry.max_crashes,
            ),
        )

    @property
    def drain_seconds(self) -> float:
        """How long a worker that is told to end may go on, in seconds."""
        drain = self.timeouts.drain_seconds
        return self.timeouts.execution_seconds if drain is None else drain


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


class AsyncEndpoint(Record):
    """An endpoint: requests that are answered 202 at once and become jobs that workers run."""

    api_version: Literal["asyncendpoints.io/v1alpha1"] = Field(description=f"Always {API_VERSION}.")
    kind: Literal["AsyncEndpoint"] = Field(description=f"Always {KIND}.")
    metadata: Metadata = Field(description="Name, namespace, labels and annotations.")
    spec: EndpointSpec = Field(description="What the endpoint is to do.")

    @model_validator(mode="before")
    @classmethod
    def _without_status(cls, value: Any) -> Any:
        """Drop the status: it is the operator's, and a live object has one."""
        if isinstance(value, Mapping) and "status" in value:
            return {key: part for key, part in value.items() if key != "status"}
        return value

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read a document (a parsed file, or an object from the cluster).

        Raises pydantic.ValidationError; `manifest.load` turns that into faults with their places.
        """
        return cls.model_validate(document, by_alias=True, by_name=False)

    def document(self) -> dict[str, Any]:
        """Return the resource with every default written out, as `parse` reads it again."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def key(self) -> str:
        """The endpoint's key in the store: namespace/name."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.metadata.name
