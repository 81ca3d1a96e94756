"""Containers that ended: whose jobs they held, and whether it was a job's own doing. Pure.

A worker of the store is one start of a container (an incarnation), not a pod: a container that
restarts in place keeps its pod's UID. Which one ended is told by times of one clock, the node's: a
supervisor that started before the present container did is of an earlier one. Times of Kubernetes
are cut to seconds; where that leaves a doubt nothing is released, and the lease runs out instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.store.protocol import Cause, WorkerState
from asyncendpoints_operator.desired.naming import AGENT_CONTAINER
from asyncendpoints_operator.kube.pod_state import container_statuses, parse_time

Object = Mapping[str, Any]

_NO_CRASH_EXITS: Final = {
    1: "runtime failure",  # docs/cli.md: Redis or a port failed, not a job
    2: "bad configuration",
    143: "SIGTERM",
}
_UNKNOWN: Final = "ContainerStatusUnknown"
# What the kubelet says when a pod itself used too much, and not its neighbours.
_RESOURCES: Final = ("memory", "ephemeral-storage", "ephemeral storage", "ephemeral local storage")
_EMPTY_DIR: Final = "emptydir"


@dataclass(frozen=True, slots=True)
class Ended:
    """One container that ended; `finished` in s since the epoch, as exact as Kubernetes is.

    `worker`: it is the one whose incarnation held jobs, and not the user's container in HTTP mode.
    """

    container: str
    finished: float
    cause: Cause
    why: str
    worker: bool


@dataclass(frozen=True, slots=True)
class Release:
    """A worker of the store to be released, by cause; `why` is for people."""

    worker: str
    cause: Cause
    why: str


def ended_containers(pod: Object) -> list[Ended]:
    """Return every end that a pod's status tells of, sidecars included, the latest first."""
    ends = [
        (status, terminated)
        for status in container_statuses(pod.get("status") or {})
        for part in ("state", "lastState")
        if (terminated := (status.get(part) or {}).get("terminated"))
    ]
    found = [_ended(pod, status, terminated) for status, terminated in ends]
    return sorted(found, key=lambda ended: ended.finished, reverse=True)


def _ended(pod: Object, status: Object, terminated: Object) -> Ended:
    cause, why = cause_of(pod, terminated)
    return Ended(
        container=status["name"],
        finished=parse_time(terminated.get("finishedAt")),
        cause=cause,
        why=why,
        worker=status["name"] == AGENT_CONTAINER,
    )


def cause_of(pod: Object, terminated: Object) -> tuple[Cause, str]:
    """Return why a container ended, and in a few words.

    CRASH is charged to the crash budget: killed for memory, evicted for what it used itself, or
    dead for no reason that anyone gave. Everything that was done to the pod is LOST: preemption,
    node loss, API deletes (which have a cap of their own in the store). In good order is DRAINED.
    """
    exit_code = terminated.get("exitCode", 0)
    reason = terminated.get("reason") or ""
    if reason == "OOMKilled":
        return Cause.CRASH, reason
    disrupted = _disruption(pod)
    if disrupted is not None:
        return disrupted
    if reason == _UNKNOWN:
        return Cause.LOST, reason
    if exit_code == 0:
        return Cause.DRAINED, "in good order"
    if "deletionTimestamp" in pod["metadata"]:
        return Cause.LOST, f"pod deleted, exit code {exit_code}"
    if exit_code in _NO_CRASH_EXITS:
        return Cause.LOST, f"{_NO_CRASH_EXITS[exit_code]}, exit code {exit_code}"
    return Cause.CRASH, f"{reason or 'Error'}, exit code {exit_code}"


def _disruption(pod: Object) -> tuple[Cause, str] | None:
    """Return what was done to the pod as a whole, by its reason or its DisruptionTarget."""
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
    """Return which of the store's workers were of containers of `pod` that ended.

    A deletion is no end: the pod drains, and its container ends when it is done. A pod that is
    gone from the API without its container having been seen to end says nothing: it may still run.
    """
    uid = pod["metadata"]["uid"]
    own = [worker.info for worker in workers if worker.info.pod == uid]
    before = _ended_before(pod)
    if not own or before is None:
        return []
    last = next((ended for ended in ended_containers(pod) if ended.worker), None)
    if last is None:
        disrupted = _disruption(pod) or (Cause.LOST, "pod ended")
        cause, why = disrupted
    else:
        cause, why = last.cause, last.why
    return [Release(info.id, cause, why) for info in own if _is_before(info.started_ms, before)]


_ALL: Final = float("inf")


def _is_before(started_ms: int, before: float) -> bool:
    """Tell whether a supervisor's start (0 = unknown) is certainly before a time in seconds."""
    return before == _ALL or 0 < started_ms < before * 1_000


def _ended_before(pod: Object) -> float | None:
    """Return the time before which a supervisor must have started to be certainly gone.

    None: no container of it is known to have ended; infinite: none of this pod runs any more.
    """
    status = pod.get("status") or {}
    statuses = status.get("containerStatuses") or ()
    main: Object = next((c for c in statuses if c["name"] == AGENT_CONTAINER), {})
    state, last = main.get("state") or {}, (main.get("lastState") or {}).get("terminated")
    if "running" in state:
        # Truncation only lowers it, so that the present supervisor never counts as gone.
        return parse_time(state["running"].get("startedAt")) if last else None
    if status.get("phase") in {"Failed", "Succeeded"}:
        return _ALL
    terminated = state.get("terminated") or last
    if terminated is None:
        return None
    if "deletionTimestamp" in pod["metadata"] and "terminated" in state:
        return _ALL  # it is not started again
    # A successor may have started after this status was written, at the earliest in that second.
    return parse_time(terminated.get("finishedAt"))
