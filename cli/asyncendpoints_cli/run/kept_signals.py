"""The signals that end `run`, which handlers in the same process may not take away."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Handlers = Mapping[signal.Signals, Callable[..., object]]

log = logging.getLogger("asyncendpoints.run")

CHECK_SECONDS: Final = 1.0


@contextmanager
def keep_signals(handlers: Handlers) -> Iterator[None]:
    """Keep `handlers` installed: without them, `run` could not be ended.

    `signal.signal` changes nothing for their signals meanwhile; what replaces them in another way
    is undone within a second. Processes that are forked may handle the signals as they like.
    """
    install = signal.signal
    logged: set[signal.Signals] = set()
    signal.signal = _guarded(install, handlers, logged)
    keeping = asyncio.get_running_loop().create_task(_check(install, handlers, logged))
    try:
        yield
    finally:
        keeping.cancel()
        signal.signal = install


def _guarded(install: Any, handlers: Handlers, logged: set[signal.Signals]) -> Any:
    process = os.getpid()

    @functools.wraps(install)
    def guarded(signalnum: Any, handler: Any) -> Any:
        in_main_thread = threading.current_thread() is threading.main_thread()
        known = callable(handler) or handler in (signal.SIG_IGN, signal.SIG_DFL)
        number = next((each for each in handlers if each == signalnum), None)
        if number is None or not known or os.getpid() != process or not in_main_thread:
            return install(signalnum, handler)
        if handler is not handlers[number]:
            _log_once(number, logged)
        return handlers[number]

    return guarded


async def _check(install: Any, handlers: Handlers, logged: set[signal.Signals]) -> None:
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                install(number, handler)
                _log_once(number, logged)


def _log_once(number: signal.Signals, logged: set[signal.Signals]) -> None:
    """Log that a handler is kept, once for each signal: some libraries set one for each job."""
    if number not in logged:
        logged.add(number)
        log.warning("user code set a handler of %s, and that of `run` is kept", number.name)
