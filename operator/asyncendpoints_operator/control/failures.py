"""Steps that the API server refuses: since when, how often, when to try again, what to report."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from asyncendpoints_operator.status.observed import Refusal, RefusalReason

log = logging.getLogger("asyncendpoints.operator")

SHOWN_SECONDS: Final = 5.0
"""A failure that lasts this long is reported; one that is certain to last, at once."""
FIRST_SECONDS: Final = 0.2
MAX_SECONDS: Final = 10.0
"""The longest pause before a step is tried again."""


class Step(NamedTuple):
    """A step of one endpoint: the action, and the object that it writes."""

    action: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed `count` times in a row. `since` and `due` are in s, monotonic."""

    refusal: Refusal
    lasting: bool
    since: float
    due: float
    count: int = 1

    @property
    def certain(self) -> bool:
        """Whether it is more than a race with another writer, which the next attempt resolves."""
        return self.lasting or self.count > 1

    def shown(self, now: float) -> bool:
        """Whether it is to be reported."""
        return self.lasting or now - self.since >= SHOWN_SECONDS


class Failures:
    """The failing steps of all endpoints, by UID. Equal failures are logged once, then counted."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._by_uid: dict[str, dict[Step, Failure]] = {}

    def forget(self, uid: str) -> None:
        """Drop the failures of an endpoint."""
        self._by_uid.pop(uid, None)

    def record(
        self,
        key: str,
        uid: str,
        step: Step,
        reason: RefusalReason,
        text: str,
        *,
        lasting: bool = False,
    ) -> None:
        """Record that a step failed. `lasting`: it does so until something else changes."""
        now, refusal = self._monotonic(), Refusal(step.kind, step.name, reason, text)
        known = self._by_uid.get(uid, {}).get(step)
        since, count = (known.since, known.count + 1) if known else (now, 1)
        due = now + (FIRST_SECONDS if count == 1 and not lasting else _pause(now - since))
        failure = Failure(refusal, lasting, since, due, count)
        self._by_uid.setdefault(uid, {})[step] = failure
        equal = known is not None and known.certain and known.refusal.message == refusal.message
        if failure.certain and not equal:
            log.warning("%s: cannot %s %s %s: %s", key, *step, refusal.message)

    def clear(self, key: str, uid: str, step: Step) -> None:
        """Record that a step succeeded, or is not needed any more."""
        failing = self._by_uid.get(uid, {})
        failure = failing.pop(step, None)
        if failure is None:
            return
        if not failing:
            del self._by_uid[uid]
        if failure.certain:
            seconds = self._monotonic() - failure.since
            text = "%s: %s %s %s: resolved after %d failed attempts in %.0f s"
            log.info(text, key, *step, failure.count, seconds)

    def keep(self, key: str, uid: str, action: str, steps: Collection[Step]) -> None:
        """Drop the failures of an action except those of `steps`: the others are not needed."""
        for step in [one for one in self._by_uid.get(uid, {}) if one.action == action]:
            if step not in steps:
                self.clear(key, uid, step)

    def due(self, uid: str, step: Step) -> bool:
        """Whether a step may be tried now."""
        failure = self._by_uid.get(uid, {}).get(step)
        return failure is None or failure.due <= self._monotonic()

    def last(self, uid: str, step: Step) -> Refusal | None:
        """Return the answer to a step's last attempt, None if it did not fail."""
        failure = self._by_uid.get(uid, {}).get(step)
        return None if failure is None else failure.refusal

    def shown(self, uid: str) -> tuple[Refusal, ...]:
        """Return what is to be reported of an endpoint, the oldest first."""
        now = self._monotonic()
        failing = sorted(self._by_uid.get(uid, {}).values(), key=lambda each: each.since)
        return tuple(failure.refusal for failure in failing if failure.shown(now))

    def retry_seconds(self, uid: str) -> float | None:
        """Return in how many seconds the next of its failed steps is due, None without any.

        One that is due and was not tried waits for something else, such as Redis.
        """
        failing = self._by_uid.get(uid)
        if not failing:
            return None
        now = self._monotonic()
        later = [each.due - now for each in failing.values() if each.due > now]
        return max(FIRST_SECONDS, min(later)) if later else MAX_SECONDS


def _pause(age: float) -> float:
    """Return the pause after a failure: it doubles, and meets the time at which it is shown."""
    if age < SHOWN_SECONDS:
        return max(1.0, min(age, SHOWN_SECONDS - age))
    return min(MAX_SECONDS, age)
