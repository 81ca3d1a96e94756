"""Concurrent callers that want the same connection share one attempt to open it, and its error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from redis import exceptions as redis_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """The attempts in progress, by name. Nothing is kept once an attempt has ended."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Value]] = {}

    async def run(self, name: str, attempt: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Return the result of the attempt in progress for `name`; without one, start `attempt()`.

        A caller that is cancelled leaves the attempt to the others.
        """
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.get_running_loop().create_task(attempt())
            task.add_done_callback(lambda ended: self._ended(name, ended))
        await asyncio.wait((task,))
        if task.cancelled():
            raise redis_errors.ConnectionError("closed")
        return task.result()

    def _ended(self, name: str, task: asyncio.Task[Value]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if not task.cancelled():
            task.exception()  # retrieved, even if every caller was cancelled

    async def close(self) -> None:
        """Cancel the attempts in progress; their callers get redis-py's ConnectionError."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
