"""The conditions of an endpoint, computed from what was observed. Pure.

`Ready` follows kstatus: with `observedGeneration` current it is True when the endpoint accepts jobs
and will run them as its spec says. Scaled to zero while there is no work, and suspended, count as
Ready. It is False while pods of an older template are being replaced.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from asyncendpoints_core.resource import EndpointSpec
from asyncendpoints_core.scaling.decide import Reason
from asyncendpoints_operator.kube.pod_state import (
    IMAGE_PULLING,
    VERSION_UNSUPPORTED,
    Deployment,
    Issue,
)
from asyncendpoints_operator.status import finding as c
from asyncendpoints_operator.status import webhook_findings
from asyncendpoints_operator.status.finding import Finding, condition_of, join
from asyncendpoints_operator.status.observed import Observed, QueueReason, Refusal, RefusalReason
from asyncendpoints_operator.status.warnings import describe_unsupported, warnings

_NAMED: Final = 5
_NOT_CREATED: Final = ("NotCreated", "its Deployment does not exist")
_PAUSED: Final = "paused by a person: jobs are accepted but not run"


def conditions(observed: Observed, before: Mapping[str, Any] | None) -> list[Finding]:
    """Return every condition that applies, Ready first. `before` is the previous status."""
    routes = _routes(observed)
    gateway = _gateway(observed)
    workers = _workers(observed)
    queue = _queue(observed)
    rolling = _rolling(observed, before)
    return [
        _ready(observed, [routes, gateway, queue, workers], rolling),
        _progressing(observed, rolling),
        _degraded(observed),
        gateway,
        workers,
        queue,
        _scaling(observed, before),
        routes,
        *_webhooks(observed),
        *warnings(observed),
    ]


def _routes(observed: Observed) -> Finding:
    if observed.faults:
        return Finding(c.ROUTES_ACCEPTED, "False", "InvalidSpec", join(observed.faults))
    return Finding(c.ROUTES_ACCEPTED, "True", "Accepted", "all routes are served")


def _gateway(observed: Observed) -> Finding:
    spec = observed.spec
    chosen = spec.gateway.replicas if spec else None
    wanted = observed.gateway.wanted if chosen is None else chosen
    available = observed.gateway.available
    if wanted == 0 and (chosen == 0 or observed.gateway.exists):
        what = "spec.gateway.replicas is" if chosen == 0 else "its Deployment is scaled to"
        text = f"{what} 0: the gateway is stopped"
        return Finding(c.GATEWAY_AVAILABLE, "False", "GatewayStopped", text)
    if available:
        text = f"{available} of {wanted} pods are available"
        return Finding(c.GATEWAY_AVAILABLE, "True", "GatewayReady", text)
    if not observed.gateway.exists:
        return Finding(c.GATEWAY_AVAILABLE, "False", *_NOT_CREATED)
    if issue := observed.gateway_issue:
        return Finding(c.GATEWAY_AVAILABLE, "False", issue.reason, issue.message)
    return Finding(c.GATEWAY_AVAILABLE, "False", "GatewayStarting", f"0 of {wanted} pods are ready")


def _workers(observed: Observed) -> Finding:
    worker, spec = observed.worker, observed.spec
    if worker.ready:
        text = f"{worker.ready} of {worker.wanted} pods are ready"
        return Finding(c.WORKERS_AVAILABLE, "True", "WorkersReady", text)
    if not worker.exists:
        return Finding(c.WORKERS_AVAILABLE, "False", *_NOT_CREATED)
    if worker.wanted == 0:
        reason, text = "ScaledToZero", "scaled to zero; the first job starts a worker"
        if spec and spec.suspend:
            reason, text = "Suspended", "suspended: no workers are running"
        elif observed.queue.paused:
            reason, text = "Paused", "paused: no workers are running"
        elif spec and spec.replicas == 0:
            reason, text = "Pinned", "spec.replicas is 0: no workers are running"
        return Finding(c.WORKERS_AVAILABLE, "True", reason, text)
    if issue := observed.worker_issue:
        return Finding(c.WORKERS_AVAILABLE, "False", issue.reason, issue.message)
    text = f"0 of {worker.wanted} pods are ready"
    return Finding(c.WORKERS_AVAILABLE, "False", "WorkersStarting", text)


def _queue(observed: Observed) -> Finding:
    queue = observed.queue
    if queue.reason is QueueReason.NOT_READ:
        return Finding(
            c.QUEUE_REACHABLE, "Unknown", queue.reason, "the queue has not been read yet"
        )
    message = queue.message
    if queue.reachable:
        message = "; ".join((f"{queue.identity or 'Redis'} is reachable", *queue.warnings))
    elif queue.reason is QueueReason.MOVED:
        message = message or (
            f"the jobs are in {queue.identity}, but spec.redis points to a different Redis; change "
            f"it back, or leave those jobs behind with spec.redis.leaveQueue: {queue.identity}"
        )
    return Finding(c.QUEUE_REACHABLE, "True" if queue.reachable else "False", queue.reason, message)


def _scaling(observed: Observed, before: Mapping[str, Any] | None) -> Finding:
    spec, scaling = observed.spec, observed.scaling
    if spec and spec.suspend:
        text = "spec.suspend is true: jobs are accepted but not run"
        return Finding(c.SCALING_ACTIVE, "False", "Suspended", text)
    if spec and spec.replicas is not None:
        by = f", set by {observed.pinned_by}" if observed.pinned_by else ""
        text = f"spec.replicas is {spec.replicas}{by}; `asyncendpoints unpin` resumes autoscaling"
        return Finding(c.SCALING_ACTIVE, "False", "Pinned", text)
    if observed.queue.reason is not QueueReason.NOT_READ and not observed.queue.reachable:
        text = f"kept at {observed.worker.wanted} workers: the queue cannot be read"
        return Finding(c.SCALING_ACTIVE, "False", "QueueUnreachable", text)
    if observed.queue.paused:
        return Finding(c.SCALING_ACTIVE, "False", "Paused", _PAUSED)
    for refusal in observed.refusals:
        if refusal.reason is RefusalReason.SCALING:
            text = f"{observed.worker.wanted} of {scaling.target} workers: {_sentence(refusal)}"
            return Finding(c.SCALING_ACTIVE, "False", refusal.reason, text)
    if scaling.reason is None:
        text = "no scaling decision has been made yet"
        return Finding(c.SCALING_ACTIVE, "Unknown", "NotYetDecided", text)
    if scaling.reason is Reason.ERROR:
        return Finding(c.SCALING_ACTIVE, "False", "ReadingFailed", scaling.text)
    # The message is kept while the decision is: its numbers change with every reading.
    old, target = condition_of(before, c.SCALING_ACTIVE) or {}, (before or {}).get("wantedReplicas")
    same = old.get("status") == "True" and old.get("reason") == str(scaling.reason)
    kept = old.get("message") if same and target == scaling.target else None
    text = scaling.text if kept is None else str(kept)
    return Finding(c.SCALING_ACTIVE, "True", scaling.reason, text)


def _webhooks(observed: Observed) -> Iterator[Finding]:
    """Report on receivers of events, if the spec has any."""
    spec, queue = observed.spec, observed.queue
    if spec is None or not spec.webhooks_digest:
        return
    if queue.webhooks is None:
        reason = QueueReason.NOT_READ if queue.reachable else queue.reason
        yield Finding(c.WEBHOOKS_HEALTHY, "Unknown", reason, "the queue cannot be read")
        return
    found, text = webhook_findings.find(spec, queue.webhooks)
    healthy = found == webhook_findings.DELIVERING
    yield Finding(c.WEBHOOKS_HEALTHY, "True" if healthy else "False", found, join([text]))


def _rolling(observed: Observed, before: Mapping[str, Any] | None) -> str:
    """Return the components whose pods are being replaced ("gateway and workers"), "" if none.

    A Deployment whose controller has not seen its latest spec counts only after a change of the
    resource, not after each scaling step: Ready would flap on every one of them.
    """
    changed = before is not None and before.get("observedGeneration", 0) < observed.generation
    if not changed:
        changed = (condition_of(before, c.PROGRESSING) or {}).get("reason") == c.ROLLING_OUT
    named = (("gateway", observed.gateway), ("workers", observed.worker))
    return " and ".join(name for name, one in named if _replaces(one, changed))


def _replaces(deployment: Deployment, changed: bool) -> bool:
    """Whether pods are being replaced; without pods, a new template replaces nothing."""
    return deployment.replicas > 0 and (deployment.mixed or (changed and deployment.stale))


def _degraded(observed: Observed) -> Finding:
    """Report everything that does not resolve by itself, causes before effects."""
    found = [Issue("InvalidSpec", join(observed.faults))] if observed.faults else []
    found += [Issue(refusal.reason, _sentence(refusal)) for refusal in observed.refusals]
    if observed.gateway_issue and observed.gateway_issue.reason != IMAGE_PULLING:
        found.append(_about("gateway", observed.gateway_issue))
    if observed.unsupported:
        found.append(Issue(VERSION_UNSUPPORTED, describe_unsupported(observed)))
    listed = (IMAGE_PULLING, VERSION_UNSUPPORTED)
    if observed.worker_issue and observed.worker_issue.reason not in listed:
        found.append(_about("workers", observed.worker_issue))
    if observed.without_handler:
        named = ", ".join(f'"{name}"' for name in observed.without_handler[:5])
        found.append(Issue(c.HANDLER_MISSING, f"no worker has a handler for jobs named {named}"))
    found += [
        Issue(c.WORKER_CRASHED, f"a worker's process died: {how}") for how in observed.crashes[:3]
    ]
    found += [Issue(c.WORKER_CRASHED, how) for how in observed.memory_kills[:3]]
    found += [Issue(c.GATEWAY_CRASHED, how) for how in observed.gateway_kills[:3]]
    if not found:
        return Finding(c.DEGRADED, "False", "AsExpected", "no known problems")
    return Finding(c.DEGRADED, "True", found[0].reason, join(issue.message for issue in found))


def _about(component: str, issue: Issue) -> Issue:
    return replace(issue, message=f"{component}: {issue.message}" if issue.message else component)


def _progressing(observed: Observed, rolling: str) -> Finding:
    if observed.finalizers is not None:
        return Finding(c.PROGRESSING, "True", c.TERMINATING, _terminating(observed.finalizers))
    if rolling:
        text = f"pods of {rolling} are being replaced"
        return Finding(c.PROGRESSING, "True", c.ROLLING_OUT, text)
    if observed.faults:
        return Finding(c.PROGRESSING, "False", "InvalidSpec", "the spec is not applied")
    if observed.refusals:
        first = observed.refusals[0]
        return Finding(c.PROGRESSING, "False", first.reason, _sentence(first))
    for name, deployment in (("gateway", observed.gateway), ("workers", observed.worker)):
        if not deployment.exists:
            text = f"{name}: the Deployment does not exist yet"
            return Finding(c.PROGRESSING, "True", "Starting", text)
        if deployment.ready < deployment.wanted:
            text = f"{name}: {deployment.ready} of {deployment.wanted} pods are ready"
            return Finding(c.PROGRESSING, "True", "Starting", text)
    if observed.worker.replicas > observed.worker.wanted:
        return Finding(c.PROGRESSING, "True", "ScalingDown", "workers are finishing their jobs")
    return Finding(c.PROGRESSING, "False", "Settled", "all pods are in place")


def _ready(observed: Observed, needed: list[Finding], rolling: str) -> Finding:
    if observed.finalizers is not None:
        return Finding(c.READY, "False", c.TERMINATING, _terminating(observed.finalizers))
    if observed.faults:
        return Finding(c.READY, "False", "InvalidSpec", join(observed.faults))
    for refusal in observed.refusals:
        if refusal.reason is RefusalReason.CONSOLE:
            continue
        if refusal.reason is RefusalReason.SECRET and observed.queue.reachable:
            continue  # its URL is known
        # Refused scaling keeps no job from being run while there is a worker.
        if refusal.reason is RefusalReason.SCALING and observed.worker.ready:
            continue
        return Finding(c.READY, "False", refusal.reason, _sentence(refusal))
    for condition in needed:
        if condition.type == c.WORKERS_AVAILABLE and rolling:
            break
        if condition.status != "True" and not _may_start(observed.spec, condition):
            return replace(condition, type=c.READY)
    issue = observed.gateway_issue or observed.worker_issue
    if rolling and issue and issue.reason != IMAGE_PULLING:
        text = "pods of the previous spec continue: "
        return Finding(c.READY, "False", issue.reason, text + issue.message)
    if rolling:
        return Finding(c.READY, "False", c.ROLLING_OUT, f"pods of {rolling} are being replaced")
    if observed.spec and observed.spec.suspend:
        return Finding(c.READY, "True", "Suspended", "jobs are accepted but not run")
    if observed.queue.paused:
        return Finding(c.READY, "True", "Paused", _PAUSED)
    if jobs := observed.queue.paused_jobs:
        named = ", ".join(jobs[:_NAMED]) + (
            f" and {len(jobs) - _NAMED} more" * (len(jobs) > _NAMED)
        )
        text = f"paused by a person: {named}; jobs of other names run"
        return Finding(c.READY, "True", "Paused", text)
    ready = observed.worker.ready
    count = {0: "no workers are needed now", 1: "1 worker is ready"}.get(
        ready, f"{ready} workers are ready"
    )
    return Finding(c.READY, "True", "Serving", f"accepting jobs; {count}")


def _terminating(finalizers: tuple[str, ...]) -> str:
    waits = f"; it waits for finalizers: {', '.join(finalizers)}" if finalizers else ""
    return f"the resource was deleted: accepted jobs are run, no more are accepted{waits}"


def _sentence(refusal: Refusal) -> str:
    return f"{refusal.kind} {refusal.name}: {refusal.message}"


def _may_start(spec: EndpointSpec | None, condition: Finding) -> bool:
    """Whether starting workers leave Ready as it is: they do when no minimum is configured."""
    if condition.type != c.WORKERS_AVAILABLE:
        return False
    if condition.reason not in {"WorkersStarting", IMAGE_PULLING, _NOT_CREATED[0]}:
        return False
    return bool(spec and spec.replicas is None and spec.autoscaling.min_replicas == 0)
