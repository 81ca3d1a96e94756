"""The tasks that attempts run in: those of handlers that never wait, many in one task.

A task costs more than a short handler. So what a claim brought starts in one task, an attempt after
the other, each in a context of its own. The first one that waits keeps that task, those behind it
get a task each, and so does from then on every attempt that is run by the same function.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from asyncendpoints_worker.handlers.attempt import Run, RunningAttempt

    Waiting = deque[tuple[RunningAttempt, Run, Context]]


class AttemptTasks:
    """Starts the attempts of one engine."""

    def __init__(self, run: Callable[[RunningAttempt, Run], Coroutine[Any, Any, None]]) -> None:
        """Make tasks of `run(attempt, run_of_its_job)`."""
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._waiting: Waiting = deque()  # for the task that begins next
        self._waits: set[Run] = set()  # what has waited before it returned

    def start(self, attempt: RunningAttempt, run: Run) -> None:
        """Run an attempt soon, in a copy of this context."""
        if run in self._waits:
            self.start_alone(attempt, run)
            return
        waiting = self._waiting
        waiting.append((attempt, run, copy_context()))
        if len(waiting) == 1:
            task = self._loop.create_task(self._run_waiting(waiting))
            task.add_done_callback(lambda _: self._start_left(waiting))

    def start_alone(self, attempt: RunningAttempt, run: Run) -> None:
        """Run an attempt soon, in a task of its own."""
        attempt.task = self._loop.create_task(self._run(attempt, run))

    async def _run_waiting(self, waiting: Waiting) -> None:
        # What comes from now on starts in another task, also if a handler runs the event loop.
        self._waiting = deque()
        task, rest = asyncio.current_task(), None
        try:
            while waiting and task is not None and not _is_canceled(task):
                attempt, run, context = waiting.popleft()
                attempt.task = task
                steps = self._run(attempt, run)
                try:
                    awaited = context.run(steps.send, None)
                except StopIteration:
                    continue
                self._waits.add(run)
                rest = _Rest(steps, context, awaited)
                break
        finally:
            self._start_each_alone(waiting)
        if rest is not None:
            await rest

    def _start_left(self, waiting: Waiting) -> None:
        """Start what a task has left that was canceled before its first step."""
        if waiting is self._waiting:
            self._waiting = deque()
            self._start_each_alone(waiting)

    def _start_each_alone(self, waiting: Waiting) -> None:
        while waiting:
            attempt, run, context = waiting.popleft()
            context.run(self.start_alone, attempt, run)


def _is_canceled(task: asyncio.Task[Any]) -> bool:
    """Return whether a handler has canceled its own task.

    Before Python 3.13, a task that was canceled and uncanceled in one step still gets the
    CancelledError where it waits next. Only a private attribute says so; it may be missing.
    """
    return task.cancelling() > 0 or getattr(task, "_must_cancel", False)


class _Rest:
    """What is left of a coroutine that was begun and waits for `awaited`; its steps are taken in
    its context, by the task that has begun it.
    """

    def __init__(self, steps: Coroutine[Any, Any, None], context: Context, awaited: Any) -> None:
        self._steps, self._context, self._awaited = steps, context, awaited

    def __await__(self) -> Generator[Any, Any, None]:
        steps, step, awaited = self._steps, self._context.run, self._awaited
        value, failure = None, None
        while True:
            try:
                value = yield awaited
            except BaseException as error:
                failure = error  # thrown outside of this block: it is not what those steps handle
            try:
                if failure is None:
                    awaited = step(steps.send, value)
                else:
                    awaited, failure = step(steps.throw, failure), None
            except StopIteration:
                failure = None
                return
