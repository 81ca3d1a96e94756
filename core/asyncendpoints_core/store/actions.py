"""Actions on many jobs: what they are, and where in a store they look for jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Idempotency
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import ALL_JOBS, JobFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK: Final = 25
"""How many jobs a step of an action looks at."""
MAX_PASSES: Final = 10
"""How often a cancel begins again for jobs that moved while it looked."""
SHARE: Final = 0.9
"""Of a queue's limits, what retries may use; the rest is left to clients."""
KEPT_MS: Final = 86_400_000
MAX_KEPT: Final = 100


class ActionKind(StrEnum):
    """What is done to each job."""

    CANCEL = "cancel"
    RETRY = "retry"
    PURGE = "purge"


class ActionState(StrEnum):
    """Whether an action goes on."""

    RUNNING = "Running"
    DONE = "Done"
    ABORTED = "Aborted"


class NewAction(msgspec.Struct, frozen=True):
    """An action to begin: on the jobs of `ids` if there are any, else on those of a state (None:
    any) that match `only`. `dry_run`: only count them.
    """

    id: JobId
    kind: ActionKind
    state: State | None = None
    only: JobFilter = ALL_JOBS
    ids: tuple[JobId, ...] = ()
    dry_run: bool = False
    idempotency: Idempotency | None = None


class Action(msgspec.Struct, frozen=True):
    """An action as it is now. `matched`: jobs that it found so far (of given ids, how many there
    are); `skipped`: those that could not be changed. `waiting`: a retry waits for room in the
    queue. Times in ms: `stepped_ms` is that of the last step, `ended_ms` 0 while it runs.
    """

    id: JobId
    kind: ActionKind
    state: ActionState
    dry_run: bool
    waiting: bool
    matched: int
    done: int
    skipped: int
    begun_ms: int
    ended_ms: int
    stepped_ms: int


class BeginStatus(StrEnum):
    """What became of a request to begin an action."""

    STARTED = "started"  # also when the same id is sent again
    REPLAYED = "replayed"  # the idempotency key belongs to an earlier, equal request
    MISMATCH = "mismatch"  # the idempotency key belongs to a different request
    BUSY = "busy"  # another one is running


class Begun(msgspec.Struct, frozen=True):
    """The reply: this action, or the earlier or running one."""

    status: BeginStatus
    action: Action


_WAITING: Final = ("suspects", "high", "normal", "low")
_SECTIONS: Final[Mapping[ActionKind, Mapping[State, tuple[str, ...]]]] = {
    # In the order in which jobs move, so that few are missed while it looks.
    ActionKind.CANCEL: {
        State.SCHEDULED: ("scheduled",),
        State.QUEUED: _WAITING,
        State.IN_PROGRESS: ("running",),
    },
    ActionKind.RETRY: {State.FAILED: ("failed",), State.CANCELED: ("canceled",)},
    ActionKind.PURGE: {
        State.COMPLETED: ("completed",),
        State.FAILED: ("failed",),
        State.CANCELED: ("canceled",),
    },
}


def states_of(kind: ActionKind, state: State | None) -> tuple[State, ...]:
    """Return the states whose jobs an action takes, of all or of that one. Raises ValueError for
    one in which it can do nothing.
    """
    sections = _SECTIONS[kind]
    if state is None:
        return tuple(sections)
    if state not in sections:
        known = ", ".join(each.value for each in sections)
        raise ValueError(f"{kind.value} acts on jobs that are {known}, not {state.value}")
    return (state,)


def sections_of(kind: ActionKind, state: State | None) -> tuple[str, ...]:
    """Return where jobs of that state, or of any, are for an action. Raises as states_of."""
    sections = _SECTIONS[kind]
    return tuple(section for each in states_of(kind, state) for section in sections[each])
