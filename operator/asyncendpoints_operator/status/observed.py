"""What the operator found out about one endpoint at one time: the input of its status. Frozen."""

from dataclasses import dataclass
from enum import StrEnum

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.scaling.decide import Reason as ScalingReason
from asyncendpoints_core.store.protocol import Stats
from asyncendpoints_operator.kube.pod_state import NO_DEPLOYMENT, Deployment, Trouble


class RefusalReason(StrEnum):
    """Why a child is not as it should be."""

    NAME_CONFLICT = "NameConflict"  # an object of that name belongs to someone else
    REFUSED = "ApplyRefused"  # the API server said no: 422, quota, webhook, RBAC
    DRIFT_LOOP = "DriftLoop"  # something changes it back each time


@dataclass(frozen=True, slots=True)
class Refusal:
    """A child that could not be made what it should be; `message` is the API server's own."""

    kind: str
    name: str
    reason: RefusalReason
    message: str


class QueueReason(StrEnum):
    """How it stands with the queue; the values are reasons of condition QueueReachable."""

    NOT_READ = "NotYetRead"
    REACHABLE = "Reachable"
    UNREACHABLE = "Unreachable"
    AUTHENTICATION = "AuthenticationFailed"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a word, not a secret
    SECRET_NOT_READABLE = "SecretNotReadable"  # noqa: S105 - a word, not a secret
    MOVED = "QueueMoved"
    NOT_DURABLE = "NotDurable"  # refused under durability: strict
    NEWER_FORMAT = "NewerFormat"
    OTHER_INSTALLATION = "OtherInstallation"  # its keys belong to another installation
    NOT_CONFIGURED = "NotConfigured"  # no spec.redis, and the operator has none


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue as last read.

    `stats` is None while it cannot be read. `identity` names the Redis that holds the jobs, without
    credentials (the old one, while the queue is MOVED). `durable` None: the server would not tell.
    `shared`: on the operator's Redis without a user of its own.
    """

    reason: QueueReason = QueueReason.NOT_READ
    message: str = ""
    stats: Stats | None = None
    identity: str = ""
    durable: bool | None = True
    warnings: tuple[str, ...] = ()
    shared: bool = False

    @property
    def reachable(self) -> bool:
        """Whether it could be read."""
        return self.reason is QueueReason.REACHABLE


@dataclass(frozen=True, slots=True)
class Scaling:
    """The last decision: where the workers are going, and why. None: none was made yet."""

    target: int | None = None
    reason: ScalingReason | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class LastFailure:
    """A job that failed for good; `at` in seconds since the epoch."""

    id: str
    job: str
    code: str
    message: str
    at: float


def failure_of(job: Job) -> LastFailure:
    """Return what is shown of a job that failed."""
    code, message = (job.error.code, job.error.message) if job.error else ("", "")
    return LastFailure(ids.text(job.id), job.name, code, message, job.completed_ms / 1_000)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the status is computed from.

    `endpoint` is None when the resource breaks a rule that the API server could not check;
    `faults` then says which. `unsupported` has the sentence of each worker that refuses the
    store's format. `pinned_by` is the field manager that wrote spec.replicas.
    """

    generation: int
    endpoint: AsyncEndpoint | None
    faults: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    gateway: Deployment = NO_DEPLOYMENT
    gateway_trouble: Trouble | None = None
    worker: Deployment = NO_DEPLOYMENT
    worker_trouble: Trouble | None = None
    unsupported: tuple[str, ...] = ()
    queue: Queue = Queue()
    scaling: Scaling = Scaling()
    pinned_by: str = ""
    failures: tuple[LastFailure, ...] = ()
    url: str = ""
    selector: str = ""
