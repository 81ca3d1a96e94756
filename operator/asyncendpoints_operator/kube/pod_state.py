"""Reads pods and Deployments, as the API gives them, into small frozen records. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from asyncendpoints_core.process.exit_report import version_refused
from asyncendpoints_operator.desired.naming import (
    AGENT_CONTAINER,
    COST_ANNOTATION,
    TEMPLATE_ANNOTATION,
)

Object = Mapping[str, Any]

# Why a container waits that no waiting will mend; the others (ContainerCreating) pass.
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
_CRASH_LOOP: Final = "CrashLoopBackOff"
VERSION_UNSUPPORTED: Final = "WorkerVersionUnsupported"
"""The store is of another format than the worker's image reads: it ends each time it starts."""
# The kubelet goes back and forth between these; a condition must not.
_SAME: Final = {"ErrImagePull": "ImagePullBackOff"}
_RESTARTS: Final = 2
"""A container that restarted so often and is not ready counts as crashing while it runs, too."""


def parse_time(text: str | None) -> float:
    """Return an RFC 3339 time as seconds since the epoch, 0 when absent."""
    if not text:
        return 0.0
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why pods do not get ready: a word for programs and a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. `cost` is its deletion cost (0 unless given); `created` in seconds since the epoch.

    `template` is the hash that the operator wrote into its template: that of the present one, or
    of an older one.
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
    trouble: Trouble | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing in it will ever run again."""
        return self.phase in {"Failed", "Succeeded"}


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
        trouble=_trouble(status, conditions),
    )


def container_statuses(status: Object) -> list[Object]:
    """Return the states of all containers, sidecars (`initContainerStatuses`) included."""
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _trouble(status: Object, conditions: Mapping[str, Object]) -> Trouble | None:
    for container in container_statuses(status):
        if refused := _refused_version(container):
            return Trouble(VERSION_UNSUPPORTED, refused)
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _STUCK:
            return Trouble(_SAME.get(reason, reason), _why(container, waiting))
        again = container.get("restartCount", 0) >= _RESTARTS and not container.get("ready")
        if again and _last_end(container):
            return Trouble(_CRASH_LOOP, _why(container, waiting))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Trouble(scheduled.get("reason", "Unschedulable"), scheduled.get("message", ""))
    return None


def _refused_version(container: Object) -> str:
    """Return what a worker said that its store's format ended, "" if none did or all is well now.

    Until it is ready again it counts as refusing: it is started over and over.
    """
    if container.get("ready") or container.get("name") != AGENT_CONTAINER:
        return ""
    state = container.get("state") or {}
    ended = state.get("terminated") or _last_end(container)
    return version_refused(ended.get("message") or "")


def _last_end(container: Object) -> Object:
    return (container.get("lastState") or {}).get("terminated") or {}


def _why(container: Object, waiting: Object) -> str:
    """Say in one sentence why a container is not there: how it ended last, where it did."""
    name, said, ended = container.get("name", "?"), waiting.get("message", ""), _last_end(container)
    if ended and waiting.get("reason", _CRASH_LOOP) == _CRASH_LOOP:
        words = f": {ended['message']}" if ended.get("message") else ""
        return (
            f"container {name} ends with {ended.get('reason', 'Error')}, "
            f"exit code {ended.get('exitCode')}, {container.get('restartCount', 0)} restarts{words}"
        )
    return f"container {name}: {said}" if said else f"container {name}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Deployment. `wanted` is its spec.replicas; `trouble` what its controller complains of."""

    wanted: int = 0
    generation: int = 0
    observed: int = 0
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    exists: bool = False
    trouble: Trouble | None = None

    @property
    def stale(self) -> bool:
        """Whether its controller has not yet seen its present spec."""
        return self.observed < self.generation

    @property
    def mixed(self) -> bool:
        """Whether pods of an older template are still there."""
        return self.updated < self.replicas

    @property
    def rolling(self) -> bool:
        """Whether a scale-down would be spread over ReplicaSets: it must wait (docs/rules.md K5).

        Pods that are refused (a quota) are no rollout: fewer are then just what helps.
        """
        missing = self.updated != self.wanted and self.trouble is None
        return self.stale or self.mixed or missing


NO_DEPLOYMENT: Final = Deployment()


def read_deployment(deployment: Object | None) -> Deployment:
    """Read a Deployment; None is one that is not there."""
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
        trouble=_complaint(status),
    )


def _complaint(status: Object) -> Trouble | None:
    for condition in status.get("conditions") or ():
        kind, value = condition["type"], condition["status"]
        failing = (kind == "ReplicaFailure" and value == "True") or (
            kind == "Progressing" and value == "False"
        )
        if failing:
            return Trouble(condition.get("reason", kind), condition.get("message", ""))
    return None


def trouble_of(deployment: Deployment, pods: Iterable[Pod]) -> Trouble | None:
    """Return why pods do not get ready: what a pod says is more telling than its Deployment.

    Of several pods the newest speaks, since it has the present template.
    """
    stuck = [pod for pod in pods if pod.trouble and not pod.ready and not pod.deleting]
    newest = max(stuck, key=lambda pod: (pod.created, pod.name), default=None)
    return newest.trouble if newest else deployment.trouble


def refusing_version(pods: Iterable[Pod]) -> tuple[str, ...]:
    """Return the sentence of each worker that refuses the store's format."""
    return tuple(
        pod.trouble.message
        for pod in pods
        if pod.trouble
        and pod.trouble.reason == VERSION_UNSUPPORTED
        and not (pod.deleting or pod.ended)
    )
