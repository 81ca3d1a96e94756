"""The meaning of each condition, reason and Event: the source of docs/status.md.

A test checks that everything conditions.py and events.py can report is described here.
"""

from typing import Final, NamedTuple

from asyncendpoints_core.scaling.decide import Reason
from asyncendpoints_operator.kube.late_pods import NOT_READY
from asyncendpoints_operator.kube.pod_state import IMAGE_PULLING, VERSION_UNSUPPORTED
from asyncendpoints_operator.status import finding as c
from asyncendpoints_operator.status import webhook_findings
from asyncendpoints_operator.status.observed import QueueReason, RefusalReason


class About(NamedTuple):
    """The meaning of a condition, and of each of its reasons."""

    meaning: str
    reasons: dict[str, str]


_SCALING: Final = {
    Reason.UP: "workers are being added",
    Reason.DOWN: "idle workers are being removed",
    Reason.ZERO: "no work for `idleSeconds`: the last worker is removed",
    Reason.STEADY: "the number of workers matches the work",
    Reason.AT_MAX: "the work needs more than `maxReplicas`",
    Reason.COOLING: "fewer workers would do, but not yet for long enough",
    Reason.IDLE: "no work; the last worker stays for `idleSeconds`",
    Reason.DRAINING: "workers to be removed finish their jobs first",
    Reason.ROLLOUT: "no scale-down while pods are being replaced",
    Reason.NOT_READY: "no worker of the current template is ready: no more are added",
}
_PODS: Final = {
    "ImagePullBackOff, CrashLoopBackOff, FailedMount, Unschedulable, FailedCreate, …": "the reason "
    "that Kubernetes gives for pods that do not become ready, at once or after 15 s; the message "
    "has the details",
    NOT_READY: "a container runs for 15 s and is not ready; the message has the answer of the "
    "pod's `/readyz`, or of the probe that fails",
    IMAGE_PULLING: "an image is being pulled for more than 15 s",
}
_NOT_CREATED: Final = {
    "NotCreated": "its Deployment does not exist: for a moment after the resource was made, or "
    "because the spec is invalid or the API server rejects it (see Degraded)",
}

CONDITIONS: Final[dict[str, About]] = {
    c.READY: About(
        "Jobs are accepted and will be run as the current spec says. An endpoint that is scaled to "
        "zero while there is no work, or suspended, is Ready. Follows kstatus, so "
        "`kubectl wait --for=condition=Ready` works.",
        {
            "Serving": "everything works",
            "Suspended": "jobs are accepted but not run (`spec.suspend`)",
            "Paused": "the same, paused by a person: `asyncendpoints queue resume` ends it. Or "
            "jobs of single names are paused, which the message lists: `queue resume --job NAME`",
            c.TERMINATING: "the resource was deleted and waits for a finalizer: accepted jobs are "
            "run, submissions are answered with 503 (the endpoint is closed)",
            c.ROLLING_OUT: "pods of an older template are being replaced",
            "…": "otherwise the reason of the condition that is not met",
        },
    ),
    c.PROGRESSING: About(
        "A change is in progress.",
        {
            c.ROLLING_OUT: "pods of an older template are being replaced",
            c.TERMINATING: "see Ready",
            "Starting": "some pods are not ready yet",
            "ScalingDown": "workers finish their jobs before they are removed",
            "Settled": "all pods are in place",
            "InvalidSpec": "see RoutesAccepted",
            "ApplyRefused, …": "an object cannot be written: see Degraded",
        },
    ),
    c.DEGRADED: About(
        "Something is wrong and does not resolve by itself.",
        {
            "AsExpected": "no known problems",
            "InvalidSpec": "see RoutesAccepted",
            RefusalReason.NAME_CONFLICT: "an object of that name exists and belongs to something "
            "else; it is left alone. Rename the resource or remove the object",
            RefusalReason.REFUSED: "the API server rejects an object (quota, webhook, policy, "
            "RBAC, or an error of its own that lasts over 5 s); the message is the API server's. "
            "The other objects are applied, and it is tried again within 15 s",
            RefusalReason.SCALING: "the API server rejects the number of workers or the mark of a "
            "pod; see ScalingActive",
            RefusalReason.DRIFT_LOOP: "another writer reverts a child object each time it is "
            "corrected",
            RefusalReason.FAILED: "an internal error ended the reconciliation; the message has it, "
            "and the operator's log the traceback. Tried again within 15 s",
            RefusalReason.TERMINATING: "a child was deleted and is kept by the finalizers in the "
            "message: it is neither changed nor made again before they are removed",
            RefusalReason.SECRET: "the API server cannot read the Secret of `spec.redis` (an error "
            "of its own, such as of encryption at rest); the URL that was read before is used",
            RefusalReason.CONSOLE: "a Secret with a token of the console cannot be made: one of "
            "that name exists that the operator did not make, which is left alone, or the API "
            "server rejects it. That token is off; jobs are not affected",
            VERSION_UNSUPPORTED: "see the condition WorkerVersionUnsupported",
            c.HANDLER_MISSING: "a route or schedule names a job that the workers' image has no "
            "handler for. Its jobs wait. Correct its `job`, or deploy an image that has the "
            "handler",
            c.GATEWAY_CRASHED: "a container of a gateway pod was killed for memory within the last "
            "10 minutes; the message names the pod and the limit. Its open requests were cut; "
            "accepted jobs are in Redis",
            c.WORKER_CRASHED: "a process of a worker died within the last 10 minutes; the message "
            "names the signal and whether the container ran out of memory, or a container of a "
            "worker that was killed for memory. Its job is run again within `retry.maxCrashes`",
            **_PODS,
        },
    ),
    c.GATEWAY_AVAILABLE: About(
        "At least one gateway pod is available.",
        {
            "GatewayReady": "at least one is available",
            "GatewayStarting": "none is ready yet",
            **_NOT_CREATED,
            "GatewayStopped": "`spec.gateway.replicas` is 0",
            **_PODS,
        },
    ),
    c.WORKERS_AVAILABLE: About(
        "At least one worker is ready, or none is needed.",
        {
            "WorkersReady": "at least one is ready",
            "WorkersStarting": "workers are needed and none is ready yet",
            **_NOT_CREATED,
            "ScaledToZero": "none is needed: the first job starts one",
            "Pinned": "`spec.replicas` is 0",
            "Suspended": "`spec.suspend` is true",
            "Paused": "a person paused the endpoint, and nothing runs any more",
            VERSION_UNSUPPORTED: "see the condition",
            **_PODS,
        },
    ),
    c.QUEUE_REACHABLE: About(
        "The operator can read the queue. While it cannot, the number of workers is held, and job "
        "counts are the last known.",
        {
            QueueReason.REACHABLE: "the queue can be read",
            QueueReason.NOT_READ: "the queue has not been read yet",
            QueueReason.UNREACHABLE: "Redis does not respond, or refuses the connection",
            QueueReason.AUTHENTICATION: "Redis refuses the user, its password or its rights",
            QueueReason.SECRET_MISSING: "the Secret or its key does not exist",
            QueueReason.SECRET_NOT_READABLE: "the operator may not read that Secret: chart values "
            "`rbac.readSecrets` and `rbac.secretNamespaces`. Gateways and workers do not need that "
            "permission",
            QueueReason.MOVED: "`spec.redis` points to a different Redis than the one that holds "
            "the jobs: change it back, or confirm with `spec.redis.leaveQueue`",
            QueueReason.OTHER_INSTALLATION: "the keys belong to another installation and are left "
            "alone: use another Redis or database, or the id of that installation",
            QueueReason.NOT_DURABLE: "persistence is off in this Redis, and `durability` is strict",
            QueueReason.NEWER_FORMAT: "the store has a newer format: upgrade the operator",
            QueueReason.NOT_CONFIGURED: "`spec.redis` is not set, and the operator has no Redis of "
            "its own",
        },
    ),
    c.SCALING_ACTIVE: About(
        "The number of workers follows the work.",
        {
            **{str(reason): meaning for reason, meaning in _SCALING.items()},
            "Pinned": "`spec.replicas` fixes the number; `asyncendpoints unpin` removes it",
            "Suspended": "`spec.suspend` is true",
            "Paused": "a person paused the endpoint: waiting jobs are not demand. "
            "`asyncendpoints queue resume` ends it",
            "QueueUnreachable": "the number is held: the queue cannot be read",
            RefusalReason.SCALING: "the API server rejects the wanted number of workers; as many "
            "as it accepts run. Tried again within 15 s",
            "ReadingFailed": "the number is held: reading the metrics failed",
            "NotYetDecided": "no scaling decision has been made yet",
        },
    ),
    c.ROUTES_ACCEPTED: About(
        "The spec follows the rules that the API server cannot check, such as two routes for the "
        "same requests, or an invalid JSON Schema. If it does not, the previous spec stays in "
        "force.",
        {
            "Accepted": "the spec is valid",
            "InvalidSpec": "it is not; the message names each field",
        },
    ),
    c.QUEUE_NOT_DURABLE: About(
        "Only present if it applies: this Redis may lose acknowledged jobs.",
        {
            "PersistenceOff": "AOF is off: a restart of Redis loses every job",
            "NotReadable": "the server does not report its persistence settings (common for "
            "managed Redis)",
        },
    ),
    c.QUEUE_SHARED: About(
        "Only present if it applies: endpoints on the operator's Redis are not isolated.",
        {"AclOff": "chart value `redis.acl` is false, or the server refuses ACL commands"},
    ),
    c.WEBHOOKS_HEALTHY: About(
        "Only present with `webhooks` or `webhookRequests`: receivers accept deliveries.",
        {
            webhook_findings.DELIVERING: "no receiver fails",
            webhook_findings.FAILING: "the last try of a receiver failed; the message names the "
            "webhook and the answer. It is tried again. Receivers that clients named do not count",
            webhook_findings.GONE: "a receiver answered 410 and gets nothing until its webhook is "
            "changed",
            webhook_findings.INVALID: "secrets or a URL are missing, or not valid: deliveries wait "
            "until they are there",
            "…": "while the queue cannot be read, the reason of QueueReachable",
        },
    ),
    c.FEATURES_HELD: About(
        "Only present if it applies: a feature is in use (webhooks, uniqueness, tags or other "
        "attributes of jobs) that registered workers of an older version do not support. It waits "
        "for them; everything else works. The message says how many there are, and the fix.",
        {
            "OlderWorkers": "rebuild their image on the current base image, or wait until those "
            "that drain have ended. In HTTP mode the operator replaces its own container"
        },
    ),
    c.JOBS_UNMATCHED: About(
        "Only present if it applies: `limits.perJob` or `webhooks[].jobs` has a name that no route "
        "or schedule has, so this limit or webhook applies to no job. Everything else works. In "
        "Python mode handlers may enqueue jobs of other names: there only a name that resembles "
        "a known one counts.",
        {"NoSuchJob": "the message has the field and the most similar name: correct it"},
    ),
    VERSION_UNSUPPORTED: About(
        "Only present if it applies: workers refuse jobs and exit. The message has both versions "
        "and the fix. It is removed with the last such pod.",
        {
            "OtherFormat": "the store has a format that their image does not read: rebuild it on "
            "the current base image. In HTTP mode the operator replaces its own container"
        },
    ),
}

EVENTS: Final[dict[str, str]] = {
    "GatewayReady": "the gateway became available",
    "GatewayNotAvailable": "the gateway is no longer available",
    "QueueReachable": "the queue can be read again",
    "QueueUnreachable": "the queue cannot be read",
    "QueueAdopted": "the queue of a deleted resource of the same name was adopted with its jobs",
    "InvalidSpec": "see condition RoutesAccepted",
    "NameConflict, ApplyRefused, ScalingRefused, DriftLoop, ImagePullBackOff, …": "see condition "
    "Degraded",
    "ServedByAnother": "an operator of another release has the same class and serves this "
    "resource; the one that publishes this Event leaves it alone",
    "StatusRefused": "the API server rejects the status, which is therefore out of date",
    "Resolved": "Degraded became False",
    "QueueNotDurable": "see the condition",
    "QueueShared": "see the condition",
    "FeaturesHeld": "see the condition",
    "JobsUnmatched": "see the condition",
    "WorkerVersionUnsupported": "see the condition",
    "Pinned, Unpinned": "`spec.replicas` was set or removed",
    "Suspended, Paused, Resumed": "`spec.suspend` changed, or a person paused or resumed",
    "RolloutStarted, RolloutDone": "pods of an older template are being, or were, replaced",
    "ScaledUp, ScaledDown, ScaledToZero": "the number of workers changed; the message says why",
    "JobsRecovered": "jobs of lost workers, or beyond their timeout, were released",
    "LeasesExtended": "the queue was unavailable: all leases were renewed, so that no worker lost "
    "its jobs",
    "ScheduleMissed": "times of schedules passed their deadline without a job; the message has how "
    "many of each",
    "ScheduleSkipped": "`concurrencyPolicy: Forbid`: an earlier job was not finished",
    "WebhookFailing": "WebhooksHealthy became False",
    "WebhooksDelivering": "WebhooksHealthy became True again",
    "WebhookDeliveriesDead": "deliveries of webhooks were given up after the last try",
    "WebhookDeliveriesDropped": "deliveries of webhooks were dropped, because too many waited",
    "WorkerLost": "a worker's container terminated while it held jobs; the message says why",
}
