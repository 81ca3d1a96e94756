"""SIGTERM and SIGINT, noticed before the server that runs the application acts on them.

Servers wait for open connections before they end the lifespan, so long polls and event streams
would hold up a shutdown.
"""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class ChainedSignals:
    """Handlers in front of those that are there, from `install` to `restore`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
        """Make `call()` in `loop` when a signal arrives."""
        self._loop = loop
        self._call = call
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def install(self) -> None:
        """Set the handlers. Does nothing outside the main thread, and nothing for a signal without
        a handler: it ends the process.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._handle)

    def restore(self) -> None:
        """Set the handlers that were there, unless others were set since."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._call)
        self._before[number](number, frame)
