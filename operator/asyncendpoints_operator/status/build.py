"""The status of the resource, computed from what was observed, and when to write it. Pure.

A change of a condition's status or reason, of replicas or the generation is written immediately; a
change of counts, times and messages every second, or less often the more endpoints change, within a
budget that all endpoints share (docs/rules.md K19).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.replies import Stats
from asyncendpoints_operator.status.conditions import conditions
from asyncendpoints_operator.status.finding import SCALING_ACTIVE, Finding, condition_of, shorten
from asyncendpoints_operator.status.model import (
    MAX_FAILURE_CHARS,
    MAX_FAILURES,
    MAX_MESSAGE_CHARS,
    Condition,
    EndpointStatus,
    Failure,
    JobCounts,
    ScheduleStatus,
)
from asyncendpoints_operator.status.observed import Observed

Status = dict[str, Any]


def build(observed: Observed, before: Mapping[str, Any] | None, now: float) -> Status:
    """Return the desired status; `before` is the present one, `now` in s since the epoch.

    What could not be read keeps its last value: an error is never reported as zero.
    """
    before = before or {}
    stats = observed.queue.stats
    if stats is None:
        jobs, oldest = before.get("jobs"), before.get("oldestQueuedTime")
    else:
        jobs = _counts(stats.counts)
        oldest = time_text(stats.oldest_ms / 1_000) if stats.oldest_ms else None
    failures = observed.failures if observed.spec and observed.spec.report_failures else ()
    status = EndpointStatus(
        observed_generation=observed.generation,
        conditions=tuple(
            _condition(finding, before, observed.generation, now)
            for finding in conditions(observed, before)
        ),
        replicas=observed.worker.replicas,
        ready_replicas=observed.worker.ready,
        wanted_replicas=observed.scaling.target,
        selector=observed.selector,
        operator=before.get("operator"),
        ready_template=observed.ready_template or before.get("readyTemplate"),
        url=observed.url or before.get("url"),
        queue=observed.queue.identity or before.get("queue"),
        recent_failures=failures[:MAX_FAILURES],
    )
    document: Status = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    del document["schedules"]
    console = observed.console_secrets
    secrets = before.get("consoleSecrets") if console is None else dict(console)
    document |= {"consoleSecrets": secrets} if secrets else {}
    document |= {"jobs": jobs} if jobs else {}
    document |= {"oldestQueuedTime": oldest} if oldest else {}
    schedules = before.get("schedules") if stats is None else _schedules(observed, stats)
    document |= {"schedules": schedules} if schedules else {}
    return document


def time_text(seconds: float) -> str:
    """Return a time in the format of Kubernetes: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _counts(counts: Mapping[State, int]) -> dict[str, int]:
    return JobCounts(
        queued=counts.get(State.QUEUED, 0),
        scheduled=counts.get(State.SCHEDULED, 0),
        in_progress=counts.get(State.IN_PROGRESS, 0),
        completed=counts.get(State.COMPLETED, 0),
        failed=counts.get(State.FAILED, 0),
        canceled=counts.get(State.CANCELED, 0),
    ).model_dump(mode="json", by_alias=True)


def _schedules(observed: Observed, stats: Stats) -> list[dict[str, Any]]:
    if observed.spec is None:
        return []
    fired = {state.name: state.fired_ms for state in stats.schedules}
    found = []
    for one in sorted(observed.spec.schedules, key=lambda one: one.name):
        last, following = fired.get(one.name, 0), 0
        if not one.suspend:
            following = one.times.next(stats.now_ms)
        status = ScheduleStatus(
            name=one.name,
            last_time=time_text(last / 1_000) if last else None,
            next_time=time_text(following / 1_000) if following else None,
        )
        found.append(status.model_dump(mode="json", by_alias=True, exclude_none=True))
    return found


def _condition(
    finding: Finding, before: Mapping[str, Any], generation: int, now: float
) -> Condition:
    """Add timestamps to a finding; the transition time is kept while the status is unchanged."""
    old = condition_of(before, finding.type) or {}
    since = old.get("lastTransitionTime") if old.get("status") == finding.status else None
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=str(finding.reason),
        message=shorten(finding.message, MAX_MESSAGE_CHARS),
        last_transition_time=since or time_text(now),
        observed_generation=generation,
    )


def failure_of(job: Job) -> Failure:
    """Return what the status shows of a failed job."""
    code, message = (job.error.code, job.error.message) if job.error else ("", "")
    return Failure(
        id=ids.text(job.id),
        job=job.name,
        code=code,
        message=shorten(message, MAX_FAILURE_CHARS),
        time=time_text(job.completed_ms / 1_000),
    )


def patch_of(before: Mapping[str, Any] | None, after: Status) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) from one status to the other, {} if they are equal.

    Lists are replaced as a whole; a removed field is null.
    """
    before = before or {}
    patch = {key: value for key, value in after.items() if before.get(key) != value}
    return patch | {key: None for key in before if key not in after}


class Urgency(Enum):
    """How soon a change of the status must be written."""

    NONE = 0
    SOON = 1
    NOW = 2


_URGENT: Final = frozenset({"observedGeneration", "replicas", "wantedReplicas", "url", "queue"})


def urgency(before: Mapping[str, Any] | None, after: Status) -> Urgency:
    """Return how soon `after` must be written over `before`.

    A change of ScalingActive's reason alone is not urgent: it may change with every reading.
    """
    patch = patch_of(before, after)
    if not patch:
        return Urgency.NONE
    if not before or _URGENT & patch.keys() or _urgent_part(before) != _urgent_part(after):
        return Urgency.NOW
    return Urgency.SOON


def _urgent_part(status: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the part of the conditions whose change is urgent."""
    return {
        condition["type"]: (
            condition["status"],
            ""
            if condition["type"] == SCALING_ACTIVE and condition["status"] == "True"
            else condition["reason"],
        )
        for condition in status.get("conditions") or ()
    }


OLDEST_COUNTS_SECONDS: Final = 10.0
"""The longest that the time between two patches of counts becomes because many endpoints change."""
PATCHES_PER_SECOND: Final = 50.0


def counts_interval(changing: int, least: float) -> float:
    """Return the time between two patches of an endpoint that change only counts (s): `least`, or
    longer, so that all `changing` endpoints together stay within PATCHES_PER_SECOND.
    """
    return max(least, min(OLDEST_COUNTS_SECONDS, changing / PATCHES_PER_SECOND))


@dataclass(frozen=True, slots=True)
class Budget:
    """A token bucket that limits the status patches of all endpoints together.

    Urgent patches are never refused; they take a token as well.
    """

    per_second: float = PATCHES_PER_SECOND
    capacity: float = 50.0
    tokens: float = 50.0
    at: float = 0.0

    def take(self, now: float, urgent: bool) -> tuple[bool, "Budget"]:
        """Take a token at `now` (s, monotonic); return whether there was one, and the new budget.

        Urgent patches may overdraw the bucket, by at most its capacity.
        """
        filled = min(self.capacity, self.tokens + max(0.0, now - self.at) * self.per_second)
        allowed = urgent or filled >= 1
        left = max(-self.capacity, filled - 1) if allowed else filled
        return allowed, replace(self, tokens=left, at=max(now, self.at))


@dataclass(frozen=True, slots=True)
class Write:
    """Whether to patch now; if not, `retry_in` is when to try again (s), None for never."""

    now: bool
    retry_in: float | None
    budget: Budget


def decide_write(
    before: Mapping[str, Any] | None,
    after: Status,
    *,
    now: float,
    last_write: float | None,
    budget: Budget,
    interval: float,
) -> Write:
    """Decide whether to write `after` now. Times in s of one monotonic clock; `interval`: between
    two patches that change only counts.
    """
    urgent = urgency(before, after)
    if urgent is Urgency.NONE:
        return Write(False, None, budget)
    if urgent is Urgency.SOON and last_write is not None and now - last_write < interval:
        return Write(False, interval - (now - last_write), budget)
    allowed, budget = budget.take(now, urgent is Urgency.NOW)
    return Write(allowed, None if allowed else 1 / budget.per_second, budget)
