"""The resource as a whole, and the policy that the store derives from it."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from asyncendpoints_core.jobs.policy import WEBHOOK_PENDING, Limit, Policy
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.resource.base import (
    Annotations,
    Items,
    Label,
    Labels,
    ObjectName,
    Record,
    Role,
    invalid,
    optional,
    unique,
)
from asyncendpoints_core.resource.gateway import GatewaySpec, NetworkPolicy
from asyncendpoints_core.resource.limits import LimitsSpec
from asyncendpoints_core.resource.queue import (
    QueueSpec,
    RedisSpec,
    RetentionSpec,
    RetrySpec,
    TimeoutsSpec,
)
from asyncendpoints_core.resource.routes import Routes
from asyncendpoints_core.resource.schedules import Schedules
from asyncendpoints_core.resource.webhooks import (
    MAX_WEBHOOKS,
    Webhook,
    WebhookRequests,
    digest,
    states,
    wanted_jobs,
)
from asyncendpoints_core.resource.worker import (
    GRACE_MARGIN_SECONDS,
    AutoscalingSpec,
    WorkerSpec,
)

GROUP: Final = "asyncendpoints.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "AsyncEndpoint"

MAX_REPLICAS: Final = 1_000
"""Upper limit of spec.replicas."""

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]


class Metadata(Record):
    """The parts of an object's metadata that are used; others are ignored."""

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
    """The desired endpoint. Required: `routes`, and worker.handlers or worker.http."""

    routes: Routes = Field(description="Requests that become jobs, at least one route.")
    gateway: GatewaySpec = Field(
        default=GatewaySpec(), description="The HTTP gateway: limits, access, and exposure."
    )
    worker: WorkerSpec = Field(description="The workers: the code to run and its pods.")
    replicas: Annotated[Replicas | None, Role.OPERATOR] = optional(
        "Pins the number of workers and stops autoscaling; 0 is allowed. Set by "
        "`kubectl scale`, removed by `asyncendpoints unpin`. Leave it out of files in Git. "
        "Absent: autoscaling."
    )
    autoscaling: Annotated[AutoscalingSpec, Role.OPERATOR] = Field(
        default=AutoscalingSpec(), description="Scaling of the workers by the number of jobs."
    )
    schedules: Schedules = Field(
        default=(), description="Jobs that are created at fixed times. Default: none."
    )
    queue: Annotated[QueueSpec, Role.STORE] = Field(
        default=QueueSpec(), validate_default=True, description="Limits of the queue."
    )
    limits: Annotated[LimitsSpec | None, Role.STORE] = optional(
        "Limits of the jobs that run, in total, by job name and by key. Absent: none; "
        "keys share the starts evenly."
    )
    retry: Annotated[RetrySpec, Role.STORE] = Field(
        default=RetrySpec(), description="Retries of failed jobs."
    )
    timeouts: Annotated[TimeoutsSpec, Role.WORKER, Role.STORE, Role.OPERATOR] = Field(
        default=TimeoutsSpec(), validate_default=True, description="Timeouts of jobs and workers."
    )
    retention: Annotated[RetentionSpec, Role.STORE] = Field(
        default=RetentionSpec(), description="Retention of finished jobs."
    )
    webhooks: Annotated[
        Items[Webhook],
        unique("webhook", lambda webhook: webhook.name),
        Role.GATEWAY,
        Role.STORE,
        Role.OPERATOR,
    ] = Field(
        default=(),
        max_length=MAX_WEBHOOKS,
        description="Receivers that are notified of finished jobs, by signed requests (Standard "
        "Webhooks). Default: none.",
    )
    webhook_requests: Annotated[WebhookRequests | None, Role.GATEWAY, Role.STORE, Role.OPERATOR] = (
        optional(
            "Lets a client name a receiver for its job, by the header Job-Webhook. "
            "Absent: that header is refused."
        )
    )
    redis: RedisSpec = Field(
        default=RedisSpec(),
        description="The Redis of this endpoint. Absent: the operator's own. "
        "`asyncendpoints run` uses --redis instead.",
    )
    suspend: Annotated[bool, Role.STORE, Role.OPERATOR] = Field(
        default=False,
        description="true: jobs are accepted but not run; running jobs finish. The time to live of "
        "waiting jobs is paused. Default: false.",
    )
    class_name: Annotated[Label | None, Role.OPERATOR] = optional(
        "Class of the operator that manages this resource, if there are several. "
        "Absent: the operator without a class."
    )
    on_delete: Annotated[Literal["Keep", "Purge"], Role.OPERATOR] = Field(
        default="Keep",
        description="What happens to the jobs when the resource is deleted. Keep: they are kept "
        "for 10 minutes, in which a new resource of the same name adopts them. Purge: they are "
        "deleted immediately. No new jobs are accepted in either case. Default: Keep.",
    )
    report_failures: Annotated[bool, Role.OPERATOR] = Field(
        default=False,
        description="Whether the status shows the last 5 failures with their messages (256 "
        "characters each). Messages may contain personal data. Default: false.",
    )
    network_policy: Annotated[NetworkPolicy | None, Role.OPERATOR] = optional(
        "Create NetworkPolicies for the pods. Absent: none."
    )

    labels: Annotated[Labels, Role.OPERATOR] = Field(
        default={},
        description="Labels added to every object of the endpoint, pods included; the operator's "
        "take precedence. The labels of the resource itself are not copied. Default: none.",
    )
    annotations: Annotated[Annotations, Role.OPERATOR] = Field(
        default={},
        description="Annotations added to every object of the endpoint, pods included. Default: "
        "none.",
    )

    @field_validator("timeouts")
    @classmethod
    def _fits_the_grace_period(cls, value: TimeoutsSpec, info: ValidationInfo) -> TimeoutsSpec:
        worker = info.data.get("worker")
        grace = worker.termination_grace_period_seconds if worker is not None else None
        least = math.ceil(value.drain) + GRACE_MARGIN_SECONDS
        if grace is not None and grace < least:
            raise invalid(
                f"worker.terminationGracePeriodSeconds ({grace}) must be at least {least}: the "
                f"time to drain + {GRACE_MARGIN_SECONDS}"
            )
        return value

    @field_validator("queue")
    @classmethod
    def _takes_one_body(cls, value: QueueSpec, info: ValidationInfo) -> QueueSpec:
        gateway = info.data.get("gateway")
        if gateway is not None and value.max_bytes < gateway.max_body_bytes:
            raise invalid(
                f"maxBytes ({value.max_bytes}) must be at least gateway.maxBodyBytes "
                f"({gateway.max_body_bytes}), or bodies of that size would never be accepted"
            )
        return value

    def policy(self, webhook_pending: int = WEBHOOK_PENDING) -> Policy:
        """Return the policy of the store, in the store's units.

        `webhook_pending`: how many deliveries may wait, a setting of the installation.
        """
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
            schedules={schedule.name: schedule.hash for schedule in self.schedules},
            limits=self._limits,
            webhooks=self.webhooks_digest,
            webhook_states=states(self.webhooks, self.webhook_requests),
            webhook_jobs=wanted_jobs(self.webhooks),
            webhook_pending=webhook_pending,
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
    def _limits(self) -> Mapping[str, Limit] | None:
        if self.limits is not None:
            return self.limits.of_store()
        keyed = any(route.key for route in self.routes)
        return {} if keyed or any(schedule.key for schedule in self.schedules) else None

    @property
    def job_names(self) -> frozenset[str]:
        """The jobs that requests and schedules create."""
        created = {route.job for route in self.routes}
        return frozenset(created | {schedule.job for schedule in self.schedules})

    @property
    def webhooks_digest(self) -> int:
        """What stands for all receivers of events, 0 if there are none."""
        return digest(self.webhooks, self.webhook_requests)

    @property
    def drain_seconds(self) -> float:
        """How long a terminating worker may finish its jobs, in seconds."""
        return self.timeouts.drain


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


class AsyncEndpoint(Record):
    """An endpoint: requests are accepted with 202 and become jobs that workers run."""

    api_version: Literal["asyncendpoints.io/v1alpha1"] = Field(description=f"Always {API_VERSION}.")
    kind: Literal["AsyncEndpoint"] = Field(description=f"Always {KIND}.")
    metadata: Metadata = Field(description="Name, namespace, labels and annotations.")
    spec: EndpointSpec = Field(description="The desired endpoint.")

    @model_validator(mode="before")
    @classmethod
    def _without_status(cls, value: Any) -> Any:
        """Drop the status of a live object: the operator writes it."""
        if isinstance(value, Mapping) and "status" in value:
            return {key: part for key, part in value.items() if key != "status"}
        return value

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Parse a document (of a file, or an object from the cluster).

        Raises pydantic.ValidationError; `manifest.load` turns that into faults with line numbers.
        """
        return cls.model_validate(document, by_alias=True, by_name=False)

    def document(self) -> dict[str, Any]:
        """Return the resource with all defaults, as `parse` accepts it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def key(self) -> str:
        """The endpoint's key in the store: namespace/name."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.metadata.name
