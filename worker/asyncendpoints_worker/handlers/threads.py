"""Threads for plain functions: started as needed, kept for reuse, never waited for at exit.

`concurrent.futures` joins its threads when the interpreter ends; a handler that never returns
would then keep its worker from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.common.event_loop import keep_exception_hook

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[], object]


class Threads:
    """As many threads as calls run at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0

    def submit(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function(*arguments)` in a thread, in a copy of this context; it must not raise."""
        context = contextvars.copy_context()
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._count += 1
                name = f"{self._name}-{self._count}"
                keep_exception_hook()
                threading.Thread(target=self._serve, name=name, daemon=True).start()
        self._waiting.put(lambda: context.run(function, *arguments))

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call `function()` in a thread; return its value or raise what it raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def finish(value: Any, error: BaseException | None) -> None:
            if not done.done():
                done.set_result((value, error))

        def work() -> None:
            try:
                value = function()
            except BaseException as error:
                loop.call_soon_threadsafe(finish, None, error)
            else:
                loop.call_soon_threadsafe(finish, value, None)

        self.submit(work)
        value, error = await done
        if error is not None:
            raise error
        return value

    def _serve(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()
            del work
            with self._lock:
                self._idle += 1

    def close(self) -> None:
        """Make idle threads end, and the others when their calls return."""
        with self._lock:
            for _ in range(self._count):
                self._waiting.put(None)
