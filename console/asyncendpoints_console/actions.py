"""Carries out actions on many jobs, also those that another process left unfinished."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.actions import ActionState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.actions import Action

log = logging.getLogger("asyncendpoints.console")

PACE_SECONDS: Final = 0.002
"""Between two steps, so that clients and workers get their turn at the store."""
WAIT_SECONDS: Final = 1.0
"""Before the next step while the queue is full, or the store cannot be reached."""
SEARCH_SECONDS: Final = 10.0
"""Between two looks for actions that another process has left: one short call an endpoint."""
MAX_SEARCH_SECONDS: Final = 60.0
"""The same where none was running for a while: the time is doubled each time."""
LEFT_MS: Final = 5_000
"""After so long without a step, another process has left an action."""


class ActionRunner:
    """Carries out the actions of all endpoints between `start` and `stop`."""

    def __init__(self, targets: Callable[[], Sequence[Target]], time: TimeSource) -> None:
        """Look for unfinished actions in what `targets` returns at each moment."""
        self._targets = targets
        self._time = time
        self._tasks: dict[JobId, asyncio.Task[Action | None]] = {}
        self._search: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for unfinished actions in the background."""
        self._search = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop; what is unfinished goes on where it stands in the next process."""
        tasks: list[asyncio.Task[Any]] = [*self._tasks.values()]
        tasks += [self._search] if self._search else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def carry_out(self, target: Target, action_id: JobId) -> asyncio.Task[Action | None]:
        """Carry out an action in the background; return its task, which returns it as it ended."""
        task = self._tasks.get(action_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._steps(target, action_id))
            self._tasks[action_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(action_id, None))
        return task

    async def _steps(self, target: Target, action_id: JobId) -> Action | None:
        while True:
            pause = PACE_SECONDS
            try:
                action = await target.store.step_action(action_id)
            except StoreError as error:
                log.debug("%s: the action waits: %s", target.key, error)
                pause = WAIT_SECONDS
            else:
                if action is None or action.state is not ActionState.RUNNING:
                    _report(target, action)
                    return action
                if action.waiting:
                    pause = WAIT_SECONDS
            await self._time.sleep(pause)

    def go_on(self, target: Target, action: Action, now_ms: int) -> None:
        """Carry out an action that another process has left."""
        if action.state is ActionState.RUNNING and now_ms - action.stepped_ms > LEFT_MS:
            self.carry_out(target, action.id)

    async def _run(self) -> None:
        wait = SEARCH_SECONDS / 2
        while True:
            targets = [each for each in self._targets() if not each.elsewhere]
            running = [await self._look(target) for target in targets]
            wait = SEARCH_SECONDS if any(running) else min(2 * wait, MAX_SEARCH_SECONDS)
            await self._time.sleep(wait)

    async def _look(self, target: Target) -> bool:
        """Go on with the action of an endpoint if it was left; return whether one is running."""
        try:
            now_ms, action = await target.store.action(None)
        except StoreError as error:
            log.debug("%s: cannot look for actions: %s", target.key, error)
            return False
        if action is not None:
            self.go_on(target, action, now_ms)
        return action is not None


def _report(target: Target, action: Action | None) -> None:
    if action is not None and not action.dry_run:
        log.info(
            "%s of many jobs of %s: %s",
            action.kind.value,
            target.key,
            action.state.value,
            extra={"matched": action.matched, "done": action.done, "skipped": action.skipped},
        )
