"""Calls to the store that run to completion, even when the client disconnects meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

Value = TypeVar("Value")


class StoreCalls:
    """The calls in progress."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self, call: Coroutine[object, object, Value]) -> Value:
        """Run a call in a task of its own and return its result; cancellation does not reach it."""
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: the caller may have been cancelled

    async def drained(self) -> None:
        """Wait until no call is in progress."""
        if self._tasks:
            await asyncio.wait(self._tasks)
