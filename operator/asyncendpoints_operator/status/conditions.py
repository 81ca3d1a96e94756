"""From facts to conditions: what is so, what is not, and why, for programs and for people. Pure.

`Ready` follows kstatus: with `observedGeneration` current it is True when the endpoint takes jobs
and will run them as its present spec says, which includes having no worker while there is nothing
to do, and being suspended. It is False while pods of an older template are being replaced.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from asyncendpoints_core import __version__
from asyncendpoints_core.scaling.decide import Reason
from asyncendpoints_operator.kube.pod_state import VERSION_UNSUPPORTED, Deployment, Trouble
from asyncendpoints_operator.status.model import MAX_MESSAGE_CHARS
from asyncendpoints_operator.status.observed import Facts, QueueReason

Value = Literal["True", "False", "Unknown"]

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
DEGRADED: Final = "Degraded"
GATEWAY_AVAILABLE: Final = "GatewayAvailable"
WORKERS_AVAILABLE: Final = "WorkersAvailable"
QUEUE_REACHABLE: Final = "QueueReachable"
SCALING_ACTIVE: Final = "ScalingActive"
ROUTES_ACCEPTED: Final = "RoutesAccepted"
QUEUE_NOT_DURABLE: Final = "QueueNotDurable"
QUEUE_SHARED: Final = "QueueShared"

ROLLING_OUT: Final = "RollingOut"


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition without its times."""

    type: str
    status: Value
    reason: str
    message: str = ""


def conditions(facts: Facts, before: Mapping[str, Any] | None) -> list[Finding]:
    """Return every condition that applies, Ready first. `before` is the status as it was."""
    routes = _routes(facts)
    gateway = _gateway(facts)
    workers = _workers(facts)
    queue = _queue(facts)
    rolling = _rolling(facts, before)
    trouble = _trouble(facts)
    ready = _ready(facts, [routes, gateway, queue, workers], rolling)
    return [
        ready,
        _progressing(facts, rolling),
        _degraded(trouble),
        gateway,
        workers,
        queue,
        _scaling(facts),
        routes,
        *_warnings(facts),
    ]


def _routes(facts: Facts) -> Finding:
    if facts.faults:
        return Finding(ROUTES_ACCEPTED, "False", "InvalidSpec", _join(facts.faults))
    return Finding(ROUTES_ACCEPTED, "True", "Accepted", "every route is served as it is written")


def _gateway(facts: Facts) -> Finding:
    wanted = facts.endpoint.spec.gateway.replicas if facts.endpoint else facts.gateway.wanted
    available = facts.gateway.available
    if wanted == 0:
        return Finding(
            GATEWAY_AVAILABLE,
            "False",
            "GatewayStopped",
            "spec.gateway.replicas is 0: nobody answers",
        )
    if available:
        text = f"{available} of {wanted} pods answer"
        return Finding(GATEWAY_AVAILABLE, "True", "GatewayReady", text)
    if facts.gateway_trouble:
        return _failed(GATEWAY_AVAILABLE, facts.gateway_trouble)
    return Finding(GATEWAY_AVAILABLE, "False", "GatewayStarting", f"none of {wanted} pods is ready")


def _workers(facts: Facts) -> Finding:
    worker, spec = facts.worker, facts.endpoint.spec if facts.endpoint else None
    if worker.ready:
        text = f"{worker.ready} of {worker.wanted} pods are ready"
        return Finding(WORKERS_AVAILABLE, "True", "WorkersReady", text)
    if worker.wanted == 0:
        if spec and spec.suspend:
            return Finding(WORKERS_AVAILABLE, "True", "Suspended", "none runs while suspended")
        if spec and spec.replicas == 0:
            return Finding(WORKERS_AVAILABLE, "True", "Pinned", "spec.replicas is 0: none runs")
        return Finding(
            WORKERS_AVAILABLE, "True", "ScaledToZero", "none runs; the first job starts one"
        )
    if facts.worker_trouble:
        return _failed(WORKERS_AVAILABLE, facts.worker_trouble)
    text = f"none of {worker.wanted} pods is ready yet"
    return Finding(WORKERS_AVAILABLE, "False", "WorkersStarting", text)


def _queue(facts: Facts) -> Finding:
    queue = facts.queue
    if queue.reason is QueueReason.NOT_READ:
        return Finding(QUEUE_REACHABLE, "Unknown", queue.reason, "it was not read yet")
    message = queue.message
    if queue.reachable:
        message = "; ".join((f"{queue.identity or 'Redis'} answers", *queue.warnings))
    elif queue.reason is QueueReason.MOVED:
        message = message or (
            f"spec.redis leads to another Redis than {queue.identity}, which holds the jobs; put "
            f"it back, or leave them there with spec.redis.leaveQueue: {queue.identity}"
        )
    return Finding(QUEUE_REACHABLE, "True" if queue.reachable else "False", queue.reason, message)


def _scaling(facts: Facts) -> Finding:
    spec, scaling = facts.endpoint.spec if facts.endpoint else None, facts.scaling
    if spec and spec.suspend:
        text = "spec.suspend is true: jobs are accepted, none is run"
        return Finding(SCALING_ACTIVE, "False", "Suspended", text)
    if spec and spec.replicas is not None:
        by = f", written by {facts.pinned_by}" if facts.pinned_by else ""
        text = f"spec.replicas is {spec.replicas}{by}; `asyncendpoints unpin` takes it away"
        return Finding(SCALING_ACTIVE, "False", "Pinned", text)
    if facts.queue.reason is not QueueReason.NOT_READ and not facts.queue.reachable:
        text = f"kept at {facts.worker.wanted} workers: the queue cannot be read"
        return Finding(SCALING_ACTIVE, "False", "QueueUnreachable", text)
    if scaling.reason is None:
        return Finding(SCALING_ACTIVE, "Unknown", "NotYetDecided", "no decision was made yet")
    if scaling.reason is Reason.ERROR:
        return Finding(SCALING_ACTIVE, "False", "ReadingFailed", scaling.text)
    return Finding(SCALING_ACTIVE, "True", scaling.reason, scaling.text)


def _rolling(facts: Facts, before: Mapping[str, Any] | None) -> list[str]:
    """Return which Deployments replace pods of an older template.

    A Deployment that its controller has not looked at yet counts only after a change of the
    resource, not after each scaling step, or Ready would flicker with every one of them.
    """
    changed = before is not None and before.get("observedGeneration", 0) < facts.generation
    if before is not None and not changed:
        old = {c.get("type"): c for c in before.get("conditions") or ()}
        changed = old.get(PROGRESSING, {}).get("reason") == ROLLING_OUT
    named = (("gateway", facts.gateway), ("workers", facts.worker))
    return [name for name, one in named if _replaces(one, changed)]


def _replaces(deployment: Deployment, changed: bool) -> bool:
    """Tell whether pods are being replaced; where there are none, a new template changes none."""
    return deployment.replicas > 0 and (deployment.mixed or (changed and deployment.stale))


def _trouble(facts: Facts) -> list[Trouble]:
    """Return everything that will not mend itself by waiting, the cause before the effect."""
    found = [Trouble("InvalidSpec", _join(facts.faults))] if facts.faults else []
    found += [Trouble(r.reason, f"{r.kind} {r.name}: {r.message}") for r in facts.refusals]
    if facts.gateway_trouble:
        found.append(_of("gateway", facts.gateway_trouble))
    if facts.unsupported:
        found.append(Trouble(VERSION_UNSUPPORTED, _unsupported(facts)))
    if facts.worker_trouble and facts.worker_trouble.reason != VERSION_UNSUPPORTED:
        found.append(_of("workers", facts.worker_trouble))
    return found


def _of(who: str, trouble: Trouble) -> Trouble:
    return Trouble(trouble.reason, f"{who}: {trouble.message}" if trouble.message else who)


def _degraded(trouble: list[Trouble]) -> Finding:
    if not trouble:
        return Finding(DEGRADED, "False", "AsExpected", "nothing is known to be wrong")
    return Finding(DEGRADED, "True", trouble[0].reason, _join(one.message for one in trouble))


def _progressing(facts: Facts, rolling: list[str]) -> Finding:
    if rolling:
        text = f"pods of {' and '.join(rolling)} are being replaced"
        return Finding(PROGRESSING, "True", ROLLING_OUT, text)
    for name, deployment in (("gateway", facts.gateway), ("workers", facts.worker)):
        if deployment.exists and deployment.ready < deployment.wanted:
            text = f"{name}: {deployment.ready} of {deployment.wanted} pods are ready"
            return Finding(PROGRESSING, "True", "Starting", text)
    if facts.worker.replicas > facts.worker.wanted:
        return Finding(PROGRESSING, "True", "ScalingDown", "workers finish what they hold")
    return Finding(PROGRESSING, "False", "Settled", "everything that is wanted is there")


def _ready(facts: Facts, needed: list[Finding], rolling: list[str]) -> Finding:
    if facts.faults:
        return Finding(READY, "False", "InvalidSpec", _join(facts.faults))
    if facts.refusals:
        first = facts.refusals[0]
        text = f"{first.kind} {first.name}: {first.message}"
        return Finding(READY, "False", first.reason, text)
    for condition in needed:
        if condition.type == WORKERS_AVAILABLE and rolling:
            break
        if condition.status != "True" and not _may_wait(facts, condition):
            return Finding(READY, condition.status, condition.reason, condition.message)
    if rolling:
        text = f"pods of {' and '.join(rolling)} are being replaced"
        if facts.worker_trouble:
            return Finding(
                READY, "False", facts.worker_trouble.reason, facts.worker_trouble.message
            )
        return Finding(READY, "False", ROLLING_OUT, text)
    if facts.endpoint and facts.endpoint.spec.suspend:
        return Finding(READY, "True", "Suspended", "takes jobs and runs none")
    return Finding(READY, "True", "Serving", f"takes jobs; {_count(facts.worker.ready)}")


def _may_wait(facts: Facts, condition: Finding) -> bool:
    """Tell whether workers that are only starting are no reason against Ready.

    They are none when the resource asks for no minimum: they come and go with the work.
    """
    if condition.type != WORKERS_AVAILABLE or condition.reason != "WorkersStarting":
        return False
    spec = facts.endpoint.spec if facts.endpoint else None
    return bool(spec and spec.replicas is None and spec.autoscaling.min_replicas == 0)


def _count(ready: int) -> str:
    return {0: "no worker is needed now", 1: "1 worker is ready"}.get(
        ready, f"{ready} workers are ready"
    )


def _warnings(facts: Facts) -> list[Finding]:
    """Return the conditions that are only there when they apply."""
    queue, found = facts.queue, []
    if queue.reachable and queue.durable is False:
        found.append(
            Finding(
                QUEUE_NOT_DURABLE,
                "True",
                "PersistenceOff",
                "this Redis keeps nothing on disk: a restart of it loses every job. Turn AOF on "
                "(appendonly yes), or set spec.redis.durability: strict to refuse it",
            )
        )
    elif queue.reachable and queue.durable is None:
        found.append(
            Finding(QUEUE_NOT_DURABLE, "Unknown", "NotReadable", "the server does not tell")
        )
    if queue.shared:
        found.append(
            Finding(
                QUEUE_SHARED,
                "True",
                "AclOff",
                "this endpoint has no user of its own on the operator's Redis, so namespaces are "
                "not isolated from each other there",
            )
        )
    if facts.unsupported:
        found.append(Finding(VERSION_UNSUPPORTED, "True", "OtherFormat", _unsupported(facts)))
    return found


def _unsupported(facts: Facts) -> str:
    """Say what workers refuse, in their own words, and what to do about it."""
    worker = facts.endpoint.spec.worker if facts.endpoint else None
    if facts.queue.reason is QueueReason.NEWER_FORMAT:
        fix = "upgrade the operator, which does not read it either"
    elif worker is not None and worker.http is not None:
        fix = "the operator replaces their container by its own of the present version"
    else:
        fix = f"build the worker image on asyncendpoints/worker:{__version__}"
    count = len(facts.unsupported)
    who = "1 worker refuses" if count == 1 else f"{count} workers refuse"
    return f"{who} jobs: {_join(sorted(set(facts.unsupported)))}; {fix}"


def _failed(kind: str, trouble: Trouble) -> Finding:
    return Finding(kind, "False", trouble.reason, trouble.message)


def _join(messages: Iterable[str]) -> str:
    """Put messages together, shortened to what a condition may hold."""
    text = "; ".join(message for message in messages if message)
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
