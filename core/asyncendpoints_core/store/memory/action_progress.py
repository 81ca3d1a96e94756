"""An action on many jobs, and where it stands."""

from __future__ import annotations

import dataclasses

from asyncendpoints_core.store.actions import Action, ActionState, NewAction
from asyncendpoints_core.store.memory.ordered import Key


@dataclasses.dataclass(slots=True)
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
