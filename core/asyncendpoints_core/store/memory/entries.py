"""What the memory store keeps of workers, schedules, actions, locks and idempotency keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from asyncendpoints_core.jobs.schedules import ScheduleState
from asyncendpoints_core.store.actions import Action, ActionState, NewAction
from asyncendpoints_core.store.memory.ordered import Key, Ordered

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.jobs.states import State
    from asyncendpoints_core.store.replies import WorkerInfo


class Groups(dict[str, dict["JobId", None]]):
    """Jobs by a name, in the order in which they were added. A name without jobs is not in it."""

    def add(self, name: str, job_id: JobId) -> None:
        """Add a job; with the name "" it is in no group."""
        if name:
            self.setdefault(name, {})[job_id] = None

    def remove(self, name: str, job_id: JobId) -> None:
        """Remove a job from the group that it was added to."""
        if name:
            del self[name][job_id]
            if not self[name]:
                del self[name]


class Worker:
    """A registered worker: its lease, its cordons by owner, and its last claim."""

    def __init__(self, info: WorkerInfo, lease_ms: int) -> None:
        """Start a lease that ends at `lease_ms`."""
        self.info = info
        self.lease_ms = lease_ms
        self.cordons: dict[str, int] = {}
        self.draining = False
        self.request: int | None = None
        self.claims: tuple[Claim, ...] = ()

    @property
    def cordoned_until(self) -> int:
        """When the last of its cordons ends; 0 without one."""
        return max(self.cordons.values(), default=0)


class Schedule:
    """What is known of a schedule; see ScheduleState. `removed_ms`: 0 while the policy has it."""

    def __init__(self) -> None:
        self.hash = ""
        self.last_ms = self.fired_ms = self.removed_ms = 0
        self.missed = self.missed_ms = self.skipped = self.skipped_ms = 0

    def state(self, name: str) -> ScheduleState:
        """Return it as callers see it."""
        return ScheduleState(
            name=name,
            hash=self.hash,
            last_ms=self.last_ms,
            fired_ms=self.fired_ms,
            missed=self.missed,
            missed_ms=self.missed_ms,
            skipped=self.skipped,
            skipped_ms=self.skipped_ms,
        )


@dataclass(slots=True)
class Progress:
    """An action and where it stands."""

    new: NewAction
    begun_ms: int
    state: ActionState = ActionState.RUNNING
    ended_ms: int = 0
    stepped_ms: int = 0
    waiting: bool = False
    matched: int = 0
    done: int = 0
    skipped: int = 0
    section: int = 0
    below: Key | None = None
    taken_ids: int = 0
    passes: int = 1
    found: int = 0

    def view(self) -> Action:
        """Return it as callers see it."""
        return Action(
            self.new.id,
            self.new.kind,
            self.state,
            self.new.dry_run,
            self.waiting,
            self.matched,
            self.done,
            self.skipped,
            self.begun_ms,
            self.ended_ms,
            self.stepped_ms,
        )

    def finish(self, state: ActionState, now: int) -> None:
        """End it."""
        self.state, self.ended_ms, self.waiting = state, now, False


class IndexEntry(NamedTuple):
    """Where a record is indexed, so that it can be removed even when it cannot be read."""

    name: str
    state: State
    size: int
    worker: str
    schedule: str
    key: str  # of a waiting job
    keys: tuple[tuple[Ordered, Key], ...]


class Binding(NamedTuple):
    """What an idempotency key is bound to; kept until `until`, and as long as its job."""

    job_id: JobId
    fingerprint: bytes
    until: int


class HeldLock(NamedTuple):
    """A lock: who holds it, the last submission that was decided by it, and `claim`, the number of
    the job's claim when it began.
    """

    job_id: JobId
    submission: JobId
    ends_ms: int
    claim: int
    until_started: bool
