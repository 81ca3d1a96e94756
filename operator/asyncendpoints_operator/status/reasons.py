"""What each condition, reason and Event means, and what to do: for docs/status.md.

A test holds these against what conditions.py and events.py can say.
"""

from typing import Final, NamedTuple

from asyncendpoints_core.scaling.decide import Reason
from asyncendpoints_operator.kube.pod_state import VERSION_UNSUPPORTED
from asyncendpoints_operator.status import conditions as c
from asyncendpoints_operator.status.observed import QueueReason, RefusalReason


class About(NamedTuple):
    """What a condition means, and its reasons with theirs."""

    meaning: str
    reasons: dict[str, str]


_SCALING: Final = {
    Reason.UP: "workers are being added",
    Reason.DOWN: "workers that hold nothing are going",
    Reason.ZERO: "nothing to do for idleSeconds: the last worker goes",
    Reason.STEADY: "as many as the work asks for",
    Reason.AT_MAX: "the work asks for more than maxReplicas",
    Reason.COOLING: "fewer would do, but not yet for long enough",
    Reason.IDLE: "nothing to do; the last worker waits for idleSeconds",
    Reason.DRAINING: "workers that shall go finish their jobs first",
    Reason.ROLLOUT: "no scale-down while pods are being replaced",
    Reason.NOT_READY: "no worker of the present template is ready: no more are added",
}
_PODS: Final = (
    "ImagePullBackOff, CrashLoopBackOff, Unschedulable, FailedCreate, …",
    "Kubernetes' own word for why pods do not get ready; the message has its sentence",
)

CONDITIONS: Final[dict[str, About]] = {
    c.READY: About(
        "It takes jobs and will run them as its present spec says. With no worker while there is "
        "nothing to do, and while suspended, it is Ready too. Follows kstatus, so "
        "`kubectl wait --for=condition=Ready` works.",
        {
            "Serving": "as it should be",
            "Suspended": "takes jobs, runs none (spec.suspend)",
            c.ROLLING_OUT: "pods of an older template are being replaced",
            "…": "else the reason of the condition that stands in the way",
        },
    ),
    c.PROGRESSING: About(
        "Something is on its way.",
        {
            c.ROLLING_OUT: "pods of an older template are being replaced",
            "Starting": "pods are wanted that are not ready yet",
            "ScalingDown": "workers finish what they hold and go",
            "Settled": "everything that is wanted is there",
        },
    ),
    c.DEGRADED: About(
        "Something is wrong that waiting will not mend.",
        {
            "AsExpected": "nothing is known to be wrong",
            "InvalidSpec": "see RoutesAccepted",
            RefusalReason.NAME_CONFLICT: "an object of that name is there and is not this "
            "resource's; it is not touched. Rename the resource or remove the object",
            RefusalReason.REFUSED: "the API server refuses a child (a quota, a webhook, a right); "
            "the message is its own. Tried again with growing pauses",
            RefusalReason.DRIFT_LOOP: "something changes a child back each time it is put right",
            VERSION_UNSUPPORTED: "see the condition WorkerVersionUnsupported",
            _PODS[0]: _PODS[1],
        },
    ),
    c.GATEWAY_AVAILABLE: About(
        "At least one gateway answers.",
        {
            "GatewayReady": "it does",
            "GatewayStarting": "none is ready yet",
            "GatewayStopped": "spec.gateway.replicas is 0",
            _PODS[0]: _PODS[1],
        },
    ),
    c.WORKERS_AVAILABLE: About(
        "Workers are ready, or none is wanted.",
        {
            "WorkersReady": "at least one is ready",
            "WorkersStarting": "some are wanted, none is ready yet",
            "ScaledToZero": "none is wanted: the first job starts one",
            "Pinned": "spec.replicas is 0",
            "Suspended": "spec.suspend is true",
            VERSION_UNSUPPORTED: "see the condition",
            _PODS[0]: _PODS[1],
        },
    ),
    c.QUEUE_REACHABLE: About(
        "The operator can read the queue. While it cannot, worker counts are held and the counts "
        "of jobs are the last known.",
        {
            QueueReason.REACHABLE: "it can",
            QueueReason.NOT_READ: "it was not read yet",
            QueueReason.UNREACHABLE: "Redis does not answer, or refuses",
            QueueReason.AUTHENTICATION: "the password or user is wrong",
            QueueReason.SECRET_MISSING: "the Secret or its entry is not there",
            QueueReason.SECRET_NOT_READABLE: "the operator may not read that Secret: chart values "
            "rbac.readSecrets and rbac.secretNamespaces. Gateways and workers need no such right",
            QueueReason.MOVED: "spec.redis leads to another Redis than the one with the jobs: put "
            "it back, or confirm with spec.redis.leaveQueue",
            QueueReason.OTHER_INSTALLATION: "its keys there are another installation's and are "
            "left alone: use another Redis or database, or that installation's id",
            QueueReason.NOT_DURABLE: "this Redis keeps nothing on disk, and durability is strict",
            QueueReason.NEWER_FORMAT: "the store is of a newer format: upgrade the operator",
            QueueReason.NOT_CONFIGURED: "no spec.redis, and the operator has no Redis of its own",
        },
    ),
    c.SCALING_ACTIVE: About(
        "Workers come and go with the work.",
        {
            **{str(reason): meaning for reason, meaning in _SCALING.items()},
            "Pinned": "spec.replicas says how many; `asyncendpoints unpin` takes it away",
            "Suspended": "spec.suspend is true",
            "QueueUnreachable": "the number is held: the queue cannot be read",
            "ReadingFailed": "the number is held: a reading failed",
            "NotYetDecided": "no decision was made yet",
        },
    ),
    c.ROUTES_ACCEPTED: About(
        "The spec keeps the rules that the API server cannot check, such as two routes for the "
        "same requests, or a JSON Schema that cannot be used. If not, what ran before goes on.",
        {
            "Accepted": "it does",
            "InvalidSpec": "it does not; the message names each field",
        },
    ),
    c.QUEUE_NOT_DURABLE: About(
        "Only where it applies: the Redis may lose acknowledged jobs.",
        {
            "PersistenceOff": "AOF is off: a restart of Redis loses every job",
            "NotReadable": "the server does not tell (managed Redis often does not)",
        },
    ),
    c.QUEUE_SHARED: About(
        "Only where it applies: tenants of the operator's Redis are not kept apart.",
        {"AclOff": "chart value redis.acl is false, or the server refuses ACL"},
    ),
    VERSION_UNSUPPORTED: About(
        "Only where it applies: workers refuse jobs, and end. The message names both versions and "
        "what to do. Gone with the last such pod.",
        {
            "OtherFormat": "the store is of another format than their image reads: build it on "
            "the present base. In HTTP mode the operator replaces its container by itself"
        },
    ),
}

EVENTS: Final[dict[str, str]] = {
    "GatewayReady": "the gateway answers",
    "GatewayNotAvailable": "it answers no longer",
    "QueueReachable": "the queue can be read again",
    "QueueUnreachable": "the queue cannot be read",
    "QueueAdopted": "the queue of a deleted resource of the same name goes on, jobs and all",
    "InvalidSpec": "see condition RoutesAccepted",
    "NameConflict, ApplyRefused, DriftLoop, ImagePullBackOff, …": "see condition Degraded",
    "Mended": "what was wrong is no longer",
    "QueueNotDurable": "see the condition",
    "QueueShared": "see the condition",
    "WorkerVersionUnsupported": "see the condition",
    "Pinned, Unpinned": "spec.replicas came or went",
    "Suspended, Resumed": "spec.suspend changed",
    "RolloutStarted, RolloutDone": "pods of an older template are being, or were, replaced",
    "ScaledUp, ScaledDown, ScaledToZero": "the number of workers changed, and why",
    "JobsRecovered": "jobs of workers that were lost, or that overran, were taken back",
    "HeldStill": "the queue had been away, and no job was taken from a worker for it",
    "WorkerLost": "a worker's container ended while it held jobs, and why",
}
