"""Converts pods and Deployments of the API into small frozen records. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.common.time_source import parse_rfc3339
from asyncendpoints_core.process.exit_report import version_refused
from asyncendpoints_operator.desired.naming import (
    AGENT_CONTAINER,
    COST_ANNOTATION,
    TEMPLATE_ANNOTATION,
)

Object = Mapping[str, Any]

# Waiting reasons of a container that do not resolve by themselves (as ContainerCreating does).
_STUCK: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "RunContainerError",
    }
)
CRASH_LOOP: Final = "CrashLoopBackOff"
IMAGE_PULLING: Final = "ImagePulling"
"""An image is being pulled for longer than usual: a start, and not a fault."""
VERSION_UNSUPPORTED: Final = "WorkerVersionUnsupported"
"""The store has a format that the worker's image cannot read: it exits each time it starts."""
# The kubelet alternates between these; a condition must not flap.
_SAME_AS: Final = {"ErrImagePull": "ImagePullBackOff"}
_REASON: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
ENDED: Final = frozenset({"Failed", "Succeeded"})
"""The phases of a pod that has terminated for good."""
RESTARTS: Final = 2
"""A container that restarted this often and is not ready counts as crashing even while it runs."""


def parse_time(text: str | None) -> float:
    """Return an RFC 3339 time as seconds since the epoch, 0 when absent."""
    return parse_rfc3339(text) / 1000 if text else 0.0


def reason_of(text: str | None, default: str) -> str:
    """Return a reason that somebody else chose as a condition of an endpoint may have it."""
    return text if text and _REASON.fullmatch(text) else default


@dataclass(frozen=True, slots=True)
class Issue:
    """Why pods do not become ready: a reason for programs and a message for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. `cost` is its deletion cost (0 unless given); `created` in seconds since the epoch.

    `template` is the hash that the operator wrote into the template that it was made from.
    """

    name: str
    uid: str
    phase: str
    ready: bool
    deleting: bool
    scheduled: bool
    template: str
    cost: int
    created: float
    issue: Issue | None = None

    @property
    def ended(self) -> bool:
        """Whether it has terminated for good."""
        return self.phase in ENDED


def read_pod(pod: Object) -> Pod:
    """Read one pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    notes = metadata.get("annotations") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    cost = str(notes.get(COST_ANNOTATION, ""))
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        phase=status.get("phase", "Pending"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        deleting="deletionTimestamp" in metadata,
        scheduled=bool((pod.get("spec") or {}).get("nodeName")),
        template=notes.get(TEMPLATE_ANNOTATION, ""),
        cost=int(cost) if cost.lstrip("-").isdecimal() else 0,
        created=parse_time(metadata.get("creationTimestamp")),
        issue=_pod_issue(status, conditions),
    )


def container_statuses(status: Object) -> list[Object]:
    """Return the statuses of all containers, including sidecars (`initContainerStatuses`)."""
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def agent_status(pod: Object) -> Object:
    """Return the status of a worker pod's main container, {} before it has one."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((one for one in statuses if one["name"] == AGENT_CONTAINER), {})


def containers_of(pod: Object) -> list[Object]:
    """Return all containers that a pod's spec has."""
    spec = pod.get("spec") or {}
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def has_ended(pod: Object) -> bool:
    """Whether a pod has terminated for good."""
    return (pod.get("status") or {}).get("phase") in ENDED


def _pod_issue(status: Object, conditions: Mapping[str, Object]) -> Issue | None:
    for container in container_statuses(status):
        if refused := _refused_version(container):
            return Issue(VERSION_UNSUPPORTED, refused)
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _STUCK:
            return Issue(_SAME_AS.get(reason, reason), _why(container, waiting))
        again = container.get("restartCount", 0) >= RESTARTS and not container.get("ready")
        if again and last_termination(container):
            return Issue(CRASH_LOOP, _why(container, waiting))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        reason = reason_of(scheduled.get("reason"), "Unschedulable")
        return Issue(reason, scheduled.get("message", ""))
    return None


def _refused_version(container: Object) -> str:
    """Return the message of a worker that exited because of the store's format, "" for any other.

    It counts as refusing until it is ready again, because it is restarted over and over.
    """
    if container.get("ready") or container.get("name") != AGENT_CONTAINER:
        return ""
    state = container.get("state") or {}
    terminated = state.get("terminated") or last_termination(container)
    return version_refused(terminated.get("message") or "")


def last_termination(container: Object) -> Object:
    """Return how the container terminated before its present start, {} if it did not."""
    return (container.get("lastState") or {}).get("terminated") or {}


def _why(container: Object, waiting: Object) -> str:
    """Describe why a container is not running: its last termination, or why it waits."""
    name, message = container.get("name", "?"), waiting.get("message", "")
    if last_termination(container) and waiting.get("reason", CRASH_LOOP) == CRASH_LOOP:
        return why_terminated(container)
    return f"container {name}: {message}" if message else f"container {name}"


def why_terminated(container: Object) -> str:
    """Describe the latest termination of a container."""
    last = (container.get("state") or {}).get("terminated") or last_termination(container)
    report = f": {last['message']}" if last.get("message") else ""
    return (
        f"container {container.get('name', '?')} terminated with {last.get('reason', 'Error')}, "
        f"exit code {last.get('exitCode')}, {container.get('restartCount', 0)} restarts{report}"
    )


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Deployment. `wanted` is its spec.replicas; `issue` is what its controller reports."""

    wanted: int = 0
    generation: int = 0
    observed: int = 0
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    exists: bool = False
    issue: Issue | None = None

    @property
    def stale(self) -> bool:
        """Whether its controller has not yet observed the current spec."""
        return self.observed < self.generation

    @property
    def mixed(self) -> bool:
        """Whether pods of an older template still exist."""
        return self.updated < self.replicas

    @property
    def rolling(self) -> bool:
        """Whether a scale-down would be spread over ReplicaSets and must wait (docs/rules.md K5).

        Pods that cannot be created (a quota) are not a rollout: scaling down helps then.
        """
        missing = self.updated != self.wanted and self.issue is None
        return self.stale or self.mixed or missing


NO_DEPLOYMENT: Final = Deployment()


def read_deployment(deployment: Object | None) -> Deployment:
    """Read a Deployment; None if it does not exist."""
    if deployment is None:
        return NO_DEPLOYMENT
    status = deployment.get("status") or {}
    return Deployment(
        wanted=deployment["spec"].get("replicas", 1),
        generation=deployment["metadata"].get("generation", 0),
        observed=status.get("observedGeneration", 0),
        replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        available=status.get("availableReplicas", 0),
        exists=True,
        issue=_deployment_issue(status),
    )


def template_of(deployment: Object | None) -> str:
    """Return the hash of a workers' Deployment's template, "" if it has none."""
    metadata = ((deployment or {}).get("spec") or {}).get("template", {}).get("metadata") or {}
    return str((metadata.get("annotations") or {}).get(TEMPLATE_ANNOTATION, ""))


def _deployment_issue(status: Object) -> Issue | None:
    for condition in status.get("conditions") or ():
        kind, value = condition["type"], condition["status"]
        failing = (kind == "ReplicaFailure" and value == "True") or (
            kind == "Progressing" and value == "False"
        )
        if failing:
            reason = reason_of(condition.get("reason"), kind)
            return Issue(reason, condition.get("message", ""))
    return None


def issue_of(
    deployment: Deployment, pods: Iterable[Pod], cause: Issue | None = None
) -> Issue | None:
    """Return why pods do not become ready: a pod's own issue, else the Deployment's.

    Of several pods the newest counts, since it has the current template. One that the kubelet
    refused or evicted counts until its successor is ready. `cause` is what was found out about a
    pod that is late.
    """
    stuck = [pod for pod in pods if pod.issue and not (pod.ready or pod.deleting)]
    newest = _newest(pod for pod in stuck if not pod.ended)
    if newest or cause:
        return newest.issue if newest else cause
    missing = deployment.ready < deployment.wanted
    ended = _newest(pod for pod in stuck if pod.ended) if missing else None
    return ended.issue if ended else deployment.issue


def _newest(pods: Iterable[Pod]) -> Pod | None:
    return max(pods, key=lambda pod: (pod.created, pod.name), default=None)


def refusing_version(pods: Iterable[Pod]) -> tuple[str, ...]:
    """Return the message of each worker that refuses the store's format."""
    return tuple(
        pod.issue.message
        for pod in pods
        if pod.issue and pod.issue.reason == VERSION_UNSUPPORTED and not (pod.deleting or pod.ended)
    )
