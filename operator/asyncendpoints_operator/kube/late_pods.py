"""Why a pod has not become ready in time: from its containers, its Events and its /readyz. Pure.

`pod_state.read_pod` reports what does not resolve by itself as soon as it is seen. This is for the
rest: what may be a normal start at first, and is worth a reason after 15 s; and what is ready for
a moment only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from asyncendpoints_operator.desired.naming import AGENT_CONTAINER, GATEWAY
from asyncendpoints_operator.kube.pod_state import (
    CRASH_LOOP,
    IMAGE_PULLING,
    RESTARTS,
    Deployment,
    Issue,
    Pod,
    container_statuses,
    containers_of,
    last_termination,
    parse_time,
    read_pod,
    reason_of,
    why_terminated,
)

Object = Mapping[str, Any]

PATIENCE_SECONDS: Final = 15.0
RESET_SECONDS: Final = 600.0
"""After a run of this length, the kubelet restarts a container without a pause again."""
PROBATION_SECONDS: Final = 60.0
"""A container that crashed is believed after a run of this length, however long it ran before."""
NOT_READY: Final = "NotReady"
_UNHEALTHY: Final = "Unhealthy"
_UNSCHEDULED: Final = "FailedScheduling"
"""Its Event outlives its cause: the pod may have a node by now."""
_GATES: Final = "ReadinessGatesNotReady"
_OWN: Final = (AGENT_CONTAINER, GATEWAY)
ENDED_SECONDS: Final = 60.0
"""How long a pod that the kubelet ended counts: where it refuses each one, the next follows."""


def unready_since(pod: Object) -> float | None:
    """Return since when (s, since the epoch) a pod that should be ready is not, None otherwise."""
    read = read_pod(pod)
    if read.ready or read.deleting or read.ended:
        return None
    return max(read.created, parse_time(_ready_condition(pod).get("lastTransitionTime")))


def crashing_until(pod: Object) -> float | None:
    """Return until when (s, since the epoch) a pod counts as crashing though it may be ready, or
    as one that the kubelet ended.

    A container without a readiness probe is ready as soon as it runs: one that crashes over and
    over is ready after each start, until it crashes again.
    """
    if read_pod(pod).ended:
        return _ended_at(pod) + ENDED_SECONDS
    return max((until for until, _ in _restarted(pod)), default=None)


def read_steady(pod: Object, now: float) -> Pod:
    """Read a pod, as one that is not ready while a container of it counts as crashing.

    One that the kubelet refused or evicted has the reason as its issue for a while.
    """
    read = read_pod(pod)
    if read.ended:
        recent = now < _ended_at(pod) + ENDED_SECONDS
        return replace(read, issue=_of_end(pod) if recent else None)
    crashing = next((status for until, status in _restarted(pod) if until > now), None)
    if crashing is None or read.issue:
        return read
    return replace(read, ready=False, issue=Issue(CRASH_LOOP, why_terminated(crashing)))


def _ended_at(pod: Object) -> float:
    """Return when a pod ended (s, since the epoch), as far as its status says so."""
    status = pod.get("status") or {}
    ends = [(one.get("state") or {}).get("terminated") or {} for one in container_statuses(status)]
    times = [
        pod["metadata"].get("creationTimestamp"),
        *(one.get("finishedAt") for one in ends),
        *(one.get("lastTransitionTime") for one in status.get("conditions") or ()),
    ]
    return max(map(parse_time, times))


def _of_end(pod: Object) -> Issue | None:
    """Return why the kubelet refused or evicted a pod (`OutOfcpu`, `Evicted`), if it did."""
    status = pod.get("status") or {}
    if not status.get("reason"):
        return None
    message = status.get("message") or "the kubelet ended it"
    return Issue(
        reason_of(status["reason"], NOT_READY), f"pod {pod['metadata']['name']}: {message}"
    )


def without_crashing(deployment: Deployment, pods: Sequence[Pod]) -> Deployment:
    """Return a Deployment whose ready pods are those that `read_steady` finds ready."""
    if not any(pod.issue and pod.issue.reason == CRASH_LOOP for pod in pods):
        return deployment
    ready = sum(pod.ready and not pod.deleting for pod in pods)
    available = min(deployment.available, ready)
    return replace(deployment, ready=min(deployment.ready, ready), available=available)


def _restarted(pod: Object) -> Iterator[tuple[float, Object]]:
    """Yield the containers that run again after crashes, each with the end of its probation: when
    it has run for longer than before its last crash, or for a minute and more.

    Whether one with a readiness probe is ready is known at once.
    """
    probed = {one["name"] for one in containers_of(pod) if one.get("readinessProbe")}
    for status in container_statuses(pod.get("status") or {}):
        if status["name"] in probed:
            continue
        started = ((status.get("state") or {}).get("running") or {}).get("startedAt")
        last = last_termination(status)
        if not (started and last) or status.get("restartCount", 0) < RESTARTS:
            continue
        ran = parse_time(last.get("finishedAt")) - parse_time(last.get("startedAt"))
        if ran < RESET_SECONDS:
            yield parse_time(started) + min(ran, PROBATION_SECONDS) + PATIENCE_SECONDS, status


def first_unready(pod: Object) -> Object | None:
    """Return the status of the container that the others, or the pod, wait for."""
    statuses = container_statuses(pod.get("status") or {})
    return next((one for one in statuses if not one.get("ready")), None)


def answers_readyz(pod: Object) -> bool:
    """Whether the pod waits for a running container of the operator's own."""
    status = first_unready(pod) or {}
    return status.get("name") in _OWN and "running" in (status.get("state") or {})


def explain(pod: Object, events: Iterable[Object], readyz: str) -> Issue:
    """Return why a pod is not ready; `readyz` is what its /readyz answers, "" if unknown."""
    scheduled = read_pod(pod).scheduled
    newest = [
        event
        for event in sorted(events, key=_time_of, reverse=True)
        if not (scheduled and event.get("reason") == _UNSCHEDULED)
    ]
    status = first_unready(pod)
    if status is None:
        return _of_gates(pod) or _of_event(newest) or _of_pod(pod)
    name, state = status.get("name", "?"), status.get("state") or {}
    newest = [event for event in newest if _concerns(event, name)]
    if state.get("terminated") or last_termination(status):
        return Issue(CRASH_LOOP, why_terminated(status))
    if "running" not in state:
        waiting = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        reason = reason_of(waiting, NOT_READY)
        return _of_event(newest) or Issue(reason, f"container {name} is being created")
    if name in _init_containers(pod):
        return Issue(NOT_READY, f"init container {name} has not ended")
    unhealthy = next((e.get("message", "") for e in newest if e.get("reason") == _UNHEALTHY), "")
    cause = (readyz or unhealthy).strip().removesuffix(":") or "it is not ready"
    return Issue(NOT_READY, f"container {name}: {cause}")


def _concerns(event: Object, container: str) -> bool:
    """Whether an Event is about this container, or about the whole pod."""
    path: str = (event.get("involvedObject") or {}).get("fieldPath", "")
    return not path or path.endswith(f"{{{container}}}")


def _init_containers(pod: Object) -> set[str]:
    """Return the names of the containers that have to end before the others start."""
    containers = (pod.get("spec") or {}).get("initContainers") or ()
    return {one["name"] for one in containers if one.get("restartPolicy") != "Always"}


def _of_gates(pod: Object) -> Issue | None:
    """Return which readiness gate of the pod is not true, where its containers are ready."""
    ready = _ready_condition(pod)
    if ready.get("reason") != _GATES:
        return None
    return Issue(_GATES, ready.get("message", ""))


def _of_pod(pod: Object) -> Issue:
    """Return whom a pod waits for of which nothing else is known."""
    spec = pod.get("spec") or {}
    text, node = "is not ready", spec.get("nodeName")
    if not node:
        scheduler = spec.get("schedulerName", "default-scheduler")
        text = f"is not scheduled: scheduler {scheduler} has reported nothing"
    elif not (pod.get("status") or {}).get("startTime"):
        text = f"has not started: the kubelet of node {node} has reported nothing"
    return Issue(NOT_READY, f"pod {pod['metadata']['name']} {text}")


def _ready_condition(pod: Object) -> Object:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == "Ready"), {})


def _of_event(newest: Iterable[Object]) -> Issue | None:
    """Return what keeps a container from being created: a warning, or the pull of its image."""
    for event in newest:
        reason, message = reason_of(event.get("reason"), NOT_READY), event.get("message", "")
        if event.get("type") == "Warning" and reason != _UNHEALTHY:
            return Issue(reason, message)
        if reason == "Pulling":
            return Issue(IMAGE_PULLING, message)
    return None


def _time_of(event: Object) -> float:
    series = (event.get("series") or {}).get("lastObservedTime")
    at = series or event.get("lastTimestamp") or event.get("eventTime")
    return parse_time(at or event["metadata"].get("creationTimestamp"))
