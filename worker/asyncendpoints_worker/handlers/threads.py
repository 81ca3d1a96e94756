"""Threads for plain functions: started as needed, kept for reuse, never waited for at exit.

`concurrent.futures` joins its threads when the interpreter ends; a handler that never returns
would then keep its worker from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[], object]

log = logging.getLogger("asyncendpoints.worker")


class Threads:
    """As many threads as calls run at once."""

    def __init__(self, name: str) -> None:
        """Name the threads `name`."""
        self._name = name
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0

    async def run(
        self, function: Callable[..., Any], *arguments: Any
    ) -> tuple[Any, BaseException | None]:
        """Call `function(*arguments)` in a thread, in a copy of this context.

        Returns its value and what it raised. It does not raise that itself, so CancelledError here
        means that this wait was canceled; the thread then continues.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def work() -> None:
            try:
                self._post(loop, done, function(*arguments), None)
            except BaseException as error:
                self._post(loop, done, None, error)

        self.submit(work)
        return await done

    @staticmethod
    def _post(
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[tuple[Any, BaseException | None]],
        value: Any,
        error: BaseException | None,
    ) -> None:
        def set_result() -> None:
            if not done.done():
                done.set_result((value, error))

        try:
            loop.call_soon_threadsafe(set_result)
        except RuntimeError:
            log.debug("a handler's thread outlived its event loop")

    def submit(self, work: Work) -> None:
        """Call `work` in a thread, in a copy of this context; it must not raise."""
        context = contextvars.copy_context()
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._count += 1
                name = f"{self._name}-{self._count}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
        self._waiting.put(lambda: context.run(work))

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
