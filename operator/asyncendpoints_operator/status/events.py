"""Events: what a person who looks at the resource wants to have been told. Pure values.

They come from the change of one status to the next, from a scaling step and from a recovery; the
memory of `admit` keeps any reason from being told more often than every half minute.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from asyncendpoints_core.scaling.decide import Decision
from asyncendpoints_core.store.protocol import Cause, Released
from asyncendpoints_core.store.recovery import Recovered
from asyncendpoints_operator.kube.pod_state import VERSION_UNSUPPORTED
from asyncendpoints_operator.status import conditions as c
from asyncendpoints_operator.status.build import condition_of

MAX_NOTE_CHARS: Final = 1_000
"""Characters of a message; the API takes 1,024 bytes."""
INTERVAL_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `reason` is in CamelCase, `action` what the operator was doing."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str = "Reconcile"


class Told(NamedTuple):
    """When a reason was last told (s, monotonic), and how often it was held back since."""

    at: float
    held_back: int


Memory = Mapping[str, Told]


class _Turn(NamedTuple):
    """What to tell when a condition becomes `status`; "" takes the condition's own reason."""

    condition: str
    status: str
    type: Literal["Normal", "Warning"]
    reason: str
    first: bool  # whether it is told of a status that did not exist before, too


_TURNS: Final = (
    _Turn(c.GATEWAY_AVAILABLE, "True", "Normal", "GatewayReady", True),
    _Turn(c.GATEWAY_AVAILABLE, "False", "Warning", "GatewayNotAvailable", False),
    _Turn(c.QUEUE_REACHABLE, "False", "Warning", "QueueUnreachable", True),
    _Turn(c.QUEUE_REACHABLE, "True", "Normal", "QueueReachable", False),
    _Turn(c.ROUTES_ACCEPTED, "False", "Warning", "InvalidSpec", True),
    _Turn(c.DEGRADED, "True", "Warning", "", True),
    _Turn(c.DEGRADED, "False", "Normal", "Mended", False),
    _Turn(c.QUEUE_NOT_DURABLE, "True", "Warning", "QueueNotDurable", True),
    _Turn(c.QUEUE_SHARED, "True", "Warning", "QueueShared", True),
    _Turn(VERSION_UNSUPPORTED, "True", "Warning", VERSION_UNSUPPORTED, True),
)


def of_change(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Event]:
    """Return what is told about the step from one status to the next."""
    found = []
    for turn in _TURNS:
        old = condition_of(before, turn.condition)
        new = condition_of(after, turn.condition)
        if new is None or new["status"] != turn.status:
            continue
        if old is None and not turn.first:
            continue
        changed = old is None or old["status"] != turn.status
        if turn.reason == "" and old is not None:
            changed = changed or old["reason"] != new["reason"]
        if changed:
            found.append(Event(turn.type, turn.reason or new["reason"], new["message"]))
    return [*_invalid_once(found), *_scaling_mode(before, after), *_rollout(before, after)]


def _invalid_once(found: list[Event]) -> list[Event]:
    """Drop what Degraded repeats of another condition."""
    seen: dict[str, Event] = {}
    for event in found:
        seen.setdefault(event.reason, event)
    return list(seen.values())


def _scaling_mode(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Event]:
    """Tell of pins and suspension, which are reasons of ScalingActive."""
    old = (condition_of(before, c.SCALING_ACTIVE) or {}).get("reason", "")
    new = condition_of(after, c.SCALING_ACTIVE) or {}
    if new.get("reason") == old:
        return []
    found = []
    if old == "Pinned":
        found.append(Event("Normal", "Unpinned", "spec.replicas is gone: autoscaling", "Scale"))
    if old == "Suspended":
        found.append(Event("Normal", "Resumed", "jobs run again", "Scale"))
    if new.get("reason") in {"Pinned", "Suspended"}:
        found.append(Event("Normal", new["reason"], new["message"], "Scale"))
    return found


def _rollout(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Event]:
    old = (condition_of(before, c.PROGRESSING) or {}).get("reason")
    new = condition_of(after, c.PROGRESSING) or {}
    if before is None or old == new.get("reason"):
        return []
    if new.get("reason") == c.ROLLING_OUT:
        return [Event("Normal", "RolloutStarted", new["message"])]
    if old == c.ROLLING_OUT:
        return [Event("Normal", "RolloutDone", "every pod has the present template")]
    return []


def of_scaling(before: int, decision: Decision) -> list[Event]:
    """Return what is told of a step of the workers' Deployment from `before` pods."""
    if decision.replicas == before:
        return []
    return [Event("Normal", str(decision.reason), decision.text, "Scale")]


def of_recovery(recovered: Recovered) -> list[Event]:
    """Return what is told of a round of recovery that took jobs back."""
    if recovered.held_still:
        text = "the queue had been away: leases were renewed, no job was taken from a worker"
        return [Event("Normal", "HeldStill", text, "Recover")]
    if not recovered.jobs:
        return []
    parts = [_jobs(recovered.released.requeued + recovered.orphans, "will run again")]
    parts += [_jobs(recovered.released.failed, "failed for good")]
    parts += [_jobs(recovered.timed_out, "overran their time")]
    parts += [_jobs(recovered.released.canceled, "were canceled")]
    whose = f" ({len(recovered.workers)} workers lost)" if recovered.workers else ""
    text = ", ".join(part for part in parts if part) + whose
    return [Event("Warning", "JobsRecovered", text, "Recover")]


def of_release(pod: str, why: str, cause: Cause, released: Released) -> list[Event]:
    """Return what is told when a container of `pod` ended while it held jobs."""
    if not (released.requeued or released.failed or released.canceled):
        return []
    parts = [_jobs(released.requeued, "will run again"), _jobs(released.failed, "failed for good")]
    charge = "charged to the crash budget" if cause is Cause.CRASH else "not charged"
    text = f"worker {pod} ended ({why}): {', '.join(part for part in parts if part)}; {charge}"
    return [Event("Warning", "WorkerLost", text, "Recover")]


def _jobs(count: int, what: str) -> str:
    return f"{count} {'job' if count == 1 else 'jobs'} {what}" if count else ""


def admit(
    memory: Memory, events: Iterable[Event], now: float, interval: float = INTERVAL_SECONDS
) -> tuple[list[Event], Memory]:
    """Return which events may be told now, and what to remember. `now` in s, monotonic.

    One that is held back is counted, and the next of its reason says how many there were. Reasons
    that were quiet for ten intervals are forgotten.
    """
    kept = {r: told for r, told in memory.items() if now - told.at < 10 * interval}
    sent = []
    for event in events:
        told = kept.get(event.reason)
        if told is not None and now - told.at < interval:
            kept[event.reason] = Told(told.at, told.held_back + 1)
            continue
        more = f" ({told.held_back} more before)" if told is not None and told.held_back else ""
        note = event.message[: MAX_NOTE_CHARS - len(more)] + more
        sent.append(Event(event.type, event.reason, note, event.action))
        kept[event.reason] = Told(now, 0)
    return sent, kept
