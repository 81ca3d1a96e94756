"""Containers that ended: which workers of the store they were, and whether a job caused it. Pure.

A worker in the store is one start of a container (an incarnation), not a pod: a container that
restarts in place keeps its pod's UID. Which incarnation ended follows from times of one clock, the
node's: a supervisor that started before the present container did belongs to an earlier one.
Kubernetes truncates times to seconds; in a case of doubt nothing is released, and the lease expires
instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.store.replies import Cause, WorkerState
from asyncendpoints_operator.desired.naming import AGENT_CONTAINER
from asyncendpoints_operator.kube.pod_state import (
    agent_status,
    container_statuses,
    containers_of,
    has_ended,
    parse_time,
)

Object = Mapping[str, Any]

_NO_CRASH_EXITS: Final = {
    1: "runtime failure",  # docs/cli.md: Redis or a port failed, not a job
    2: "bad configuration",
    143: "SIGTERM",
}
OOM_KILLED: Final = "OOMKilled"
KILL_SHOWN_SECONDS: Final = 600.0
"""How long it is shown that a container was killed for memory."""
_UNKNOWN: Final = "ContainerStatusUnknown"
# In the kubelet's message when the pod itself used too much of a resource.
_RESOURCES: Final = ("memory", "ephemeral-storage", "ephemeral storage", "ephemeral local storage")
_EMPTY_DIR: Final = "emptydir"


@dataclass(frozen=True, slots=True)
class ContainerExit:
    """One termination of a container; `finished` in whole seconds since the epoch.

    `is_worker`: the container held jobs; it is not the user's container in HTTP mode.
    """

    container: str
    finished: float
    cause: Cause
    why: str
    is_worker: bool


@dataclass(frozen=True, slots=True)
class Release:
    """A worker of the store to release; `why` is for people."""

    worker: str
    cause: Cause
    why: str


def container_exits(pod: Object) -> list[ContainerExit]:
    """Return every termination in a pod's status, including sidecars, the latest first."""
    terminations = [
        (status, terminated)
        for status in container_statuses(pod.get("status") or {})
        for part in ("state", "lastState")
        if (terminated := (status.get(part) or {}).get("terminated"))
    ]
    found = [_exit_of(pod, status, terminated) for status, terminated in terminations]
    return sorted(found, key=lambda exit_: exit_.finished, reverse=True)


def _exit_of(pod: Object, status: Object, terminated: Object) -> ContainerExit:
    cause, why = cause_of(pod, terminated)
    if why == OOM_KILLED:
        why += _memory_limit(pod, status["name"])
    return ContainerExit(
        container=status["name"],
        finished=parse_time(terminated.get("finishedAt")),
        cause=cause,
        why=why,
        is_worker=status["name"] == AGENT_CONTAINER,
    )


def _memory_limit(pod: Object, name: str) -> str:
    found: Object = next((each for each in containers_of(pod) if each["name"] == name), {})
    limit = ((found.get("resources") or {}).get("limits") or {}).get("memory")
    return f", memory limit {limit}" if limit else ""


def memory_kills(pods: Iterable[Object], now: float) -> tuple[str, ...]:
    """Return which containers were killed for memory in the 10 minutes before `now` (s)."""
    return tuple(
        f"container {exit_.container} of pod {pod['metadata']['name']} ran out of memory "
        f"({exit_.why})"
        for pod in pods
        for exit_ in container_exits(pod)
        if exit_.why.startswith(OOM_KILLED) and now - exit_.finished < KILL_SHOWN_SECONDS
    )


def how_died(release: Release) -> str:
    """Return how a worker's process died, for the errors of its jobs; "" if none is charged."""
    if release.cause is not Cause.CRASH:
        return ""
    if release.why.startswith(OOM_KILLED):
        return f"killed by SIGKILL: the container ran out of memory ({release.why})"
    return f"its container terminated ({release.why})"


def cause_of(pod: Object, terminated: Object) -> tuple[Cause, str]:
    """Return the cause of a termination, and a short description.

    CRASH is charged to the crash budget: killed for memory, evicted for its own usage, or ended
    without another explanation. A disruption of the pod is LOST: preemption, node loss, deletion
    (limited by a cap of its own in the store). A normal exit is DRAINED.
    """
    exit_code = terminated.get("exitCode", 0)
    reason = terminated.get("reason") or ""
    if reason == OOM_KILLED:
        return Cause.CRASH, reason
    disrupted = _disruption(pod)
    if disrupted is not None:
        return disrupted
    if reason == _UNKNOWN:
        return Cause.LOST, reason
    if exit_code == 0:
        return Cause.DRAINED, "normal exit"
    if "deletionTimestamp" in pod["metadata"]:
        return Cause.LOST, f"pod deleted, exit code {exit_code}"
    if exit_code in _NO_CRASH_EXITS:
        return Cause.LOST, f"{_NO_CRASH_EXITS[exit_code]}, exit code {exit_code}"
    return Cause.CRASH, f"{reason or 'Error'}, exit code {exit_code}"


def _disruption(pod: Object) -> tuple[Cause, str] | None:
    """Return the disruption of the pod as a whole, by its reason or its DisruptionTarget."""
    status = pod.get("status") or {}
    reason, message = status.get("reason") or "", status.get("message") or ""
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            reason = reason or condition.get("reason") or "DisruptionTarget"
            message = message or condition.get("message") or ""
    if not reason:
        return None
    if reason in {"Evicted", "TerminationByKubelet"} and _used_too_much(message):
        return Cause.CRASH, f"{reason}: {message[:200]}"
    return Cause.LOST, reason


def _used_too_much(message: str) -> bool:
    text = message.lower()
    return any(resource in text for resource in _RESOURCES) or _EMPTY_DIR in text


def releases(pod: Object, workers: Iterable[WorkerState]) -> list[Release]:
    """Return the store's workers that ran in containers of `pod` that ended.

    A deletion is not an end: the pod drains, and its container ends when that is done. Nor is the
    absence of a pod from the API: its container may still run.
    """
    uid = pod["metadata"]["uid"]
    own = [worker.info for worker in workers if worker.info.pod == uid]
    before = _gone_before(pod)
    if not own or before is None:
        return []
    last = next((exit_ for exit_ in container_exits(pod) if exit_.is_worker), None)
    if last is None:
        cause, why = _disruption(pod) or (Cause.LOST, "pod ended")
    else:
        cause, why = last.cause, last.why
    return [Release(info.id, cause, why) for info in own if _is_before(info.started_ms, before)]


_ALL: Final = float("inf")


def _is_before(started_ms: int, before: float) -> bool:
    """Whether a supervisor certainly started (0: unknown) before a time in seconds."""
    return before == _ALL or 0 < started_ms < before * 1_000


def _gone_before(pod: Object) -> float | None:
    """Return the time (s) before which a supervisor must have started to be certainly gone.

    None: no container is known to have ended; infinite: no container of this pod runs any more.
    """
    main = agent_status(pod)
    state, last = main.get("state") or {}, (main.get("lastState") or {}).get("terminated")
    if "running" in state:
        # Truncation only lowers it, so the present supervisor never counts as gone.
        return parse_time(state["running"].get("startedAt")) if last else None
    if has_ended(pod):
        return _ALL
    terminated = state.get("terminated") or last
    if terminated is None:
        return None
    if "deletionTimestamp" in pod["metadata"] and "terminated" in state:
        return _ALL  # it is not restarted
    # A successor may have started after this status was written, at the earliest in that second.
    return parse_time(terminated.get("finishedAt"))
