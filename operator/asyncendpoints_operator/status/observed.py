"""What the operator observed of one endpoint: the input of its status. Frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from asyncendpoints_core.resource import AsyncEndpoint, EndpointSpec
from asyncendpoints_core.scaling.decide import Reason as ScalingReason
from asyncendpoints_core.store.deliveries import WebhookStatus
from asyncendpoints_core.store.replies import Stats
from asyncendpoints_operator.kube.pod_state import NO_DEPLOYMENT, Deployment, Issue
from asyncendpoints_operator.status.model import Failure


class RefusalReason(StrEnum):
    """Why an object does not match the desired state."""

    NAME_CONFLICT = "NameConflict"  # an object of that name belongs to something else
    REFUSED = "ApplyRefused"  # rejected by the API server: 422, quota, webhook, RBAC, 5xx
    SCALING = "ScalingRefused"  # the workers' Deployment or a pod cannot be written for scaling
    FAILED = "ReconcileFailed"  # an internal error
    DRIFT_LOOP = "DriftLoop"  # another writer reverts it each time
    TERMINATING = "ChildTerminating"  # it was deleted, and finalizers keep it
    SECRET = "SecretNotReadable"  # noqa: S105 - a word: the Secret with the URL of Redis cannot be read
    CONSOLE = "ConsoleTokenMissing"  # a Secret with a token of the console cannot be made


@dataclass(frozen=True, slots=True)
class Refusal:
    """A child object that could not be applied; `message` is the API server's."""

    kind: str
    name: str
    reason: RefusalReason
    message: str


class QueueReason(StrEnum):
    """The state of the queue; the values are reasons of condition QueueReachable."""

    NOT_READ = "NotYetRead"
    REACHABLE = "Reachable"
    UNREACHABLE = "Unreachable"
    AUTHENTICATION = "AuthenticationFailed"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a word, not a secret
    SECRET_NOT_READABLE = "SecretNotReadable"  # noqa: S105 - a word, not a secret
    MOVED = "QueueMoved"
    NOT_DURABLE = "NotDurable"  # refused because of durability: strict
    NEWER_FORMAT = "NewerFormat"
    OTHER_INSTALLATION = "OtherInstallation"  # its keys belong to another installation
    NOT_CONFIGURED = "NotConfigured"  # no spec.redis, and the operator has no Redis either


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue as last read.

    `stats` is None while it cannot be read. `identity` names the Redis that holds the jobs, without
    credentials (the old one, while the queue is MOVED). `durable` is None if the server does not
    report it. `webhooks` is None without any, or while unread. `shared`: on the operator's Redis
    without a Redis user of its own.
    """

    reason: QueueReason = QueueReason.NOT_READ
    message: str = ""
    stats: Stats | None = None
    identity: str = ""
    durable: bool | None = True
    warnings: tuple[str, ...] = ()
    webhooks: WebhookStatus | None = None
    shared: bool = False

    @property
    def reachable(self) -> bool:
        """Whether the last reading succeeded."""
        return self.reason is QueueReason.REACHABLE

    @property
    def paused(self) -> bool:
        """Whether a person paused it, as far as is known."""
        return self.stats is not None and self.stats.paused

    @property
    def paused_jobs(self) -> tuple[str, ...]:
        """The names of jobs that a person paused."""
        return () if self.stats is None else self.stats.paused_jobs


@dataclass(frozen=True, slots=True)
class Scaling:
    """The last scaling decision; None before the first."""

    target: int | None = None
    reason: ScalingReason | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything the status is computed from.

    `endpoint` is None if the resource breaks a rule that the API server cannot check; `faults`
    then lists what is wrong. `unsupported` has the message of each worker that refuses the store's
    format. `pinned_by` is the field manager that wrote spec.replicas. `ready_template` is the hash
    of the workers' template if one of its pods is ready. `console_secrets` are the UIDs that the
    gateway's Deployment has, by role, None while there is none. `finalizers` are what a resource
    that was deleted still waits for, None for any other. `without_handler` are jobs of routes that
    no worker of the present template handles; `crashes`, how processes of workers died lately;
    `memory_kills` and `gateway_kills`, which containers of workers and gateways ran out of memory;
    `outdated`, how many workers keep a feature from being used.
    """

    generation: int
    endpoint: AsyncEndpoint | None
    faults: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    gateway: Deployment = NO_DEPLOYMENT
    gateway_issue: Issue | None = None
    worker: Deployment = NO_DEPLOYMENT
    worker_issue: Issue | None = None
    unsupported: tuple[str, ...] = ()
    without_handler: tuple[str, ...] = ()
    crashes: tuple[str, ...] = ()
    memory_kills: tuple[str, ...] = ()
    gateway_kills: tuple[str, ...] = ()
    outdated: int = 0
    queue: Queue = Queue()
    scaling: Scaling = Scaling()
    pinned_by: str = ""
    finalizers: tuple[str, ...] | None = None
    failures: tuple[Failure, ...] = ()
    url: str = ""
    selector: str = ""
    ready_template: str = ""
    console_secrets: Mapping[str, str] | None = None

    @property
    def spec(self) -> EndpointSpec | None:
        """The endpoint's spec, None if it is invalid."""
        return self.endpoint.spec if self.endpoint else None
