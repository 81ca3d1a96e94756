"""From facts to the status of the resource, and when to write it. Pure.

A change of a condition's status or reason, of replicas or of the generation is written at once;
counts, times and messages at most every 10 s per endpoint, within a total budget (docs/rules.md
K19).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from asyncendpoints_core.jobs.states import State
from asyncendpoints_operator.status.conditions import SCALING_ACTIVE, Finding, conditions
from asyncendpoints_operator.status.model import (
    MAX_FAILURE_CHARS,
    MAX_FAILURES,
    MAX_MESSAGE_CHARS,
    Condition,
    EndpointStatus,
    Failure,
    JobCounts,
)
from asyncendpoints_operator.status.observed import Facts, LastFailure

Status = dict[str, Any]


def build(facts: Facts, before: Mapping[str, Any] | None, now: float) -> Status:
    """Return the status as it should be; `before` is the one that is there, `now` in s since 1970.

    What could not be read stays as it was: an error is never read as zero.
    """
    before = before or {}
    stats = facts.queue.stats
    endpoint = facts.endpoint
    if stats is None:
        jobs, oldest = before.get("jobs"), before.get("oldestQueuedTime")
    else:
        jobs = _counts(stats.counts)
        oldest = time_text(stats.oldest_ms / 1_000) if stats.oldest_ms else None
    failures = facts.failures if endpoint and endpoint.spec.report_failures else ()
    findings = [
        replace(finding, message=_scaling_text(finding, facts, before))
        if finding.type == SCALING_ACTIVE
        else finding
        for finding in conditions(facts, before)
    ]
    status = EndpointStatus(
        observed_generation=facts.generation,
        conditions=tuple(
            _condition(finding, before, facts.generation, now) for finding in findings
        ),
        replicas=facts.worker.replicas,
        ready_replicas=facts.worker.ready,
        wanted_replicas=facts.scaling.target,
        selector=facts.selector,
        url=facts.url or before.get("url"),
        queue=facts.queue.identity or before.get("queue"),
        recent_failures=tuple(_failure(failure) for failure in failures[:MAX_FAILURES]),
    )
    document: Status = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    document |= {"jobs": jobs} if jobs else {}
    document |= {"oldestQueuedTime": oldest} if oldest else {}
    return document


def time_text(seconds: float) -> str:
    """Return a time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
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


def _condition(
    finding: Finding, before: Mapping[str, Any], generation: int, now: float
) -> Condition:
    """Give a finding its times: the old one as long as its status is what it was."""
    old = condition_of(before, finding.type) or {}
    since = old.get("lastTransitionTime") if old.get("status") == finding.status else None
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=str(finding.reason),
        message=_shorten(finding.message, MAX_MESSAGE_CHARS),
        last_transition_time=since or time_text(now),
        observed_generation=generation,
    )


def _scaling_text(finding: Finding, facts: Facts, before: Mapping[str, Any]) -> str:
    """Keep the message of a decision that stands: its figures change with every reading."""
    old = condition_of(before, SCALING_ACTIVE) or {}
    stands = (
        finding.status == old.get("status") == "True"
        and str(finding.reason) == old.get("reason")
        and facts.scaling.target == before.get("wantedReplicas")
    )
    return str(old["message"]) if stands and "message" in old else finding.message


def condition_of(status: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    """Return a condition of a status by its type, or None."""
    for condition in (status or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return condition  # type: ignore[no-any-return]
    return None


def _failure(failure: LastFailure) -> Failure:
    return Failure(
        id=failure.id,
        job=failure.job,
        code=failure.code,
        message=_shorten(failure.message, MAX_FAILURE_CHARS),
        time=time_text(failure.at),
    )


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def patch_of(before: Mapping[str, Any] | None, after: Status) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) from one status to the other, {} when nothing differs.

    Lists are replaced whole; a field that is no longer there is null.
    """
    before = before or {}
    patch = {key: value for key, value in after.items() if before.get(key) != value}
    patch |= {key: None for key in before if key not in after}
    if isinstance(patch.get("jobs"), dict):
        patch["jobs"] = dict(patch["jobs"])
    return patch


class Urgency(Enum):
    """How soon a change of the status is written."""

    NONE = 0
    SOON = 1
    NOW = 2


_URGENT: Final = frozenset({"observedGeneration", "replicas", "wantedReplicas", "url", "queue"})


def urgency(before: Mapping[str, Any] | None, after: Status) -> Urgency:
    """Tell how soon `after` must be written over `before`.

    A reason of ScalingActive alone is not urgent: it may change with every reading.
    """
    patch = patch_of(before, after)
    if not patch:
        return Urgency.NONE
    if not before or _URGENT & patch.keys() or _signs(before) != _signs(after):
        return Urgency.NOW
    return Urgency.SOON


def _signs(status: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what of the conditions is urgent."""
    return {
        condition["type"]: (
            condition["status"],
            ""
            if condition["type"] == SCALING_ACTIVE and condition["status"] == "True"
            else condition["reason"],
        )
        for condition in status.get("conditions") or ()
    }


COUNTS_SECONDS: Final = 10.0
"""Least time between two patches of an endpoint that change only counts."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What all endpoints together may spend on patches of counts: a bucket of tokens.

    `per_second` fill it, up to `capacity`. Urgent patches are always made and take a token as well.
    """

    per_second: float = 10.0
    capacity: float = 50.0
    tokens: float = 50.0
    at: float = 0.0

    def take(self, now: float, urgent: bool) -> tuple[bool, "Budget"]:
        """Ask for one patch at `now` (s, monotonic); return whether it may be made, and the rest.

        Urgent ones may go into debt, down to one empty bucket below zero.
        """
        grown = min(self.capacity, self.tokens + max(0.0, now - self.at) * self.per_second)
        allowed = urgent or grown >= 1
        left = max(-self.capacity, grown - 1) if allowed else grown
        return allowed, replace(self, tokens=left, at=max(now, self.at))


@dataclass(frozen=True, slots=True)
class Write:
    """Whether to patch now; if not, `retry_in` says when to ask again (s), None: not at all."""

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
    interval: float = COUNTS_SECONDS,
) -> Write:
    """Decide whether `after` is written now. Times in s of one monotonic clock."""
    need = urgency(before, after)
    if need is Urgency.NONE:
        return Write(False, None, budget)
    if need is Urgency.SOON and last_write is not None and now - last_write < interval:
        return Write(False, interval - (now - last_write), budget)
    allowed, budget = budget.take(now, need is Urgency.NOW)
    return Write(allowed, None if allowed else 1 / budget.per_second, budget)
