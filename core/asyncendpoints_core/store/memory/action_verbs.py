"""The verbs of MemoryStore for actions on many jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.store.memory import actions

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.actions import Action, Begun, NewAction
    from asyncendpoints_core.store.memory.data import Data


class ActionVerbs:
    """Part of MemoryStore."""

    _data: Data

    if TYPE_CHECKING:

        def _now(self) -> int: ...
        def _wake(self, jobs: int) -> None: ...

    async def begin_action(self, new: NewAction) -> Begun:
        """See Store.begin_action."""
        return actions.begin(self._data, new, self._now())

    async def step_action(self, action_id: JobId) -> Action | None:
        """See Store.step_action."""
        before = self._data.totals["redriven"]
        action = actions.step(self._data, action_id, self._now())
        self._wake(self._data.totals["redriven"] - before)
        return action

    async def abort_action(self, action_id: JobId) -> Action | None:
        """See Store.abort_action."""
        return actions.abort(self._data, action_id, self._now())

    async def action(self, action_id: JobId | None) -> tuple[int, Action | None]:
        """See Store.action."""
        now, progress = self._now(), actions.find(self._data, action_id)
        return now, progress.view() if progress else None
