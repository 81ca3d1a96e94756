"""Kubernetes Events about an endpoint. Pure values.

They are derived from a change of the status, a scaling step or a recovery; `admit` limits each
reason to one Event in 30 seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from asyncendpoints_core.jobs.schedules import ScheduleState
from asyncendpoints_core.scaling.decide import Decision
from asyncendpoints_core.store.recovery import Recovered
from asyncendpoints_core.store.replies import Cause, Released, Stats
from asyncendpoints_operator.kube.pod_state import VERSION_UNSUPPORTED
from asyncendpoints_operator.status import finding as c
from asyncendpoints_operator.status.finding import condition_of

MAX_NOTE_BYTES: Final = 1_000
"""Of a message; the API accepts 1,024 bytes."""
INTERVAL_SECONDS: Final = 30.0
SHOWN_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class Event:
    """One Event. `reason` is in CamelCase, `action` is what the operator was doing."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str = "Reconcile"


class Sent(NamedTuple):
    """When a reason was last published (s, monotonic), and how many were suppressed since."""

    at: float
    suppressed: int


SentEvents = Mapping[str, Sent]
"""The last Event of each reason."""


class _Transition(NamedTuple):
    """The Event for a condition that becomes `status`. Reason "": the condition's own."""

    condition: str
    status: str
    type: Literal["Normal", "Warning"]
    reason: str
    initially: bool  # also published when there was no status before


_TRANSITIONS: Final = (
    _Transition(c.GATEWAY_AVAILABLE, "True", "Normal", "GatewayReady", True),
    _Transition(c.GATEWAY_AVAILABLE, "False", "Warning", "GatewayNotAvailable", False),
    _Transition(c.QUEUE_REACHABLE, "False", "Warning", "QueueUnreachable", True),
    _Transition(c.QUEUE_REACHABLE, "True", "Normal", "QueueReachable", False),
    _Transition(c.ROUTES_ACCEPTED, "False", "Warning", "InvalidSpec", True),
    _Transition(c.DEGRADED, "True", "Warning", "", True),
    _Transition(c.DEGRADED, "False", "Normal", "Resolved", False),
    _Transition(c.QUEUE_NOT_DURABLE, "True", "Warning", "QueueNotDurable", True),
    _Transition(c.QUEUE_SHARED, "True", "Warning", "QueueShared", True),
    _Transition(c.WEBHOOKS_HEALTHY, "False", "Warning", "WebhookFailing", True),
    _Transition(c.WEBHOOKS_HEALTHY, "True", "Normal", "WebhooksDelivering", False),
    _Transition(c.FEATURES_HELD, "True", "Warning", c.FEATURES_HELD, True),
    _Transition(c.JOBS_UNMATCHED, "True", "Warning", c.JOBS_UNMATCHED, True),
    _Transition(VERSION_UNSUPPORTED, "True", "Warning", VERSION_UNSUPPORTED, True),
)


def of_change(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Event]:
    """Return the Events for the change from one status to the next."""
    found: dict[str, Event] = {}  # one of each reason: Degraded repeats other conditions
    for transition in _TRANSITIONS:
        old = condition_of(before, transition.condition)
        new = condition_of(after, transition.condition)
        if new is None or new["status"] != transition.status:
            continue
        if old is None and not transition.initially:
            continue
        changed = old is None or old["status"] != transition.status
        if transition.reason == "" and old is not None:
            changed = changed or old["reason"] != new["reason"]
        if changed:
            reason = transition.reason or new["reason"]
            found.setdefault(reason, Event(transition.type, reason, new["message"]))
    return [*found.values(), *_scaling_mode(before, after), *_rollout(before, after)]


def _scaling_mode(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Event]:
    """Return the Events for pins, suspension and pauses, which are reasons of ScalingActive."""
    old = (condition_of(before, c.SCALING_ACTIVE) or {}).get("reason", "")
    new = condition_of(after, c.SCALING_ACTIVE) or {}
    if new.get("reason") == old:
        return []
    found = []
    if old == "Pinned":
        text = "spec.replicas was removed: autoscaling resumes"
        found.append(Event("Normal", "Unpinned", text, "Scale"))
    if old in {"Suspended", "Paused"}:
        found.append(Event("Normal", "Resumed", "jobs are run again", "Scale"))
    if new.get("reason") in {"Pinned", "Suspended", "Paused"}:
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
        return [Event("Normal", "RolloutDone", "all pods run the current template")]
    return []


def of_scaling(before: int, decision: Decision) -> list[Event]:
    """Return the Event for a change of the workers' Deployment from `before` replicas."""
    if decision.replicas == before:
        return []
    return [Event("Normal", str(decision.reason), decision.text, "Scale")]


def of_recovery(recovered: Recovered) -> list[Event]:
    """Return the Event for a round of recovery that released jobs or renewed all leases."""
    if recovered.leases_extended:
        text = "the queue was unavailable: all leases were renewed, no job was taken from a worker"
        return [Event("Normal", "LeasesExtended", text, "Recover")]
    if not recovered.jobs:
        return []
    counts = _counts(
        (recovered.released.requeued + recovered.orphaned, "will run again"),
        (recovered.released.failed, "failed permanently"),
        (recovered.timed_out, "exceeded the timeout"),
        (recovered.released.canceled, "canceled"),
    )
    lost = len(recovered.workers)
    workers = f" ({lost} worker{'' if lost == 1 else 's'} lost)" if lost else ""
    return [Event("Warning", "JobsRecovered", counts + workers, "Recover")]


def of_release(pod: str, why: str, cause: Cause, released: Released) -> list[Event]:
    """Return the Event for a container of `pod` that terminated while it held jobs."""
    if not (released.requeued or released.failed or released.canceled):
        return []
    counts = _counts((released.requeued, "will run again"), (released.failed, "failed permanently"))
    charge = "charged to the crash budget" if cause is Cause.CRASH else "not charged"
    text = f"worker {pod} terminated ({why}): {counts}; {charge}"
    return [Event("Warning", "WorkerLost", text, "Recover")]


def of_schedules(before: Iterable[ScheduleState] | None, stats: Stats) -> list[Event]:
    """Return the Events for times of schedules that created no job since the reading `before`; at
    the first reading of a leader (None), for those of the last 10 minutes.
    """
    known = None if before is None else {state.name: state for state in before}
    recent = stats.now_ms - SHOWN_MS
    missed, skipped = [], []
    for state in stats.schedules:
        old = (known or {}).get(state.name, ScheduleState(state.name, "", 0))
        if known is not None or state.missed_ms > recent:
            missed.append((state.name, state.missed - old.missed))
        if known is not None or state.skipped_ms > recent:
            skipped.append((state.name, state.skipped - old.skipped))
    found = []
    if text := _times(missed):
        why = "no job could be created before the deadline"
        found.append(Event("Warning", "ScheduleMissed", f"times missed: {text}: {why}", "Schedule"))
    if text := _times(skipped):
        why = "an earlier job is not finished"
        found.append(
            Event("Normal", "ScheduleSkipped", f"times skipped: {text}: {why}", "Schedule")
        )
    return found


def of_deliveries(before: Mapping[str, int] | None, totals: Mapping[str, int]) -> list[Event]:
    """Return the Events for deliveries of webhooks that were lost since the totals `before`; none
    at the first reading of a leader (None).
    """
    found = []
    for total, reason, why in (
        ("webhooks_dead", "WebhookDeliveriesDead", "were given up and can be replayed"),
        ("webhooks_dropped", "WebhookDeliveriesDropped", "were dropped: too many wait"),
    ):
        count = 0 if before is None else totals.get(total, 0) - before.get(total, 0)
        if count > 0:
            text = f"deliveries of webhooks that {why}: {count}"
            found.append(Event("Warning", reason, text, "Deliver"))
    return found


def _times(counted: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counted if count > 0)


def _counts(*parts: tuple[int, str]) -> str:
    return ", ".join(
        f"{count} {'job' if count == 1 else 'jobs'} {what}" for count, what in parts if count
    )


def admit(sent: SentEvents, events: Iterable[Event], now: float) -> tuple[list[Event], SentEvents]:
    """Return the events to publish now, and the new record of sent ones. `now` in s, monotonic.

    Suppressed events are counted, and the next of their reason shows the count. A reason without
    an event for ten intervals is dropped from the record.
    """
    kept = {r: last for r, last in sent.items() if now - last.at < 10 * INTERVAL_SECONDS}
    admitted = []
    for event in events:
        last = kept.get(event.reason)
        if last is not None and now - last.at < INTERVAL_SECONDS:
            kept[event.reason] = Sent(last.at, last.suppressed + 1)
            continue
        more = f" ({last.suppressed} more before)" if last is not None and last.suppressed else ""
        cut = event.message.encode()[: MAX_NOTE_BYTES - len(more)]
        note = cut.decode(errors="ignore") + more
        admitted.append(Event(event.type, event.reason, note, event.action))
        kept[event.reason] = Sent(now, 0)
    return admitted, kept
