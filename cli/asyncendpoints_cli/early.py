"""Handling of signals before a role has started."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FIRST = 1


def end_on_sigterm() -> None:
    """Exit immediately on SIGTERM, until a role installs its own handler.

    The kernel does not deliver unhandled signals to the first process of a container. A SIGTERM
    while the program is still being imported would be lost, and the pod would stay until its grace
    period is over.
    """
    first = os.getpid() == FIRST and threading.current_thread() is threading.main_thread()
    if first and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """Exit on SIGINT without a traceback, until `obey_interrupts`: while modules are imported.

    A KeyboardInterrupt would be raised inside of whichever class is being made there, and some of
    them turn it into an error of their own.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        obey_interrupts()


def obey_interrupts() -> None:
    """Make SIGINT raise KeyboardInterrupt, also in a process that was started ignoring it.

    A shell starts the background commands of a script so. The roles install handlers of their own;
    `jobs watch` and the actions would go on without an end.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, _end):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os._exit(128 + signal.SIGINT)
