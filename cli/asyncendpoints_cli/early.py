"""Handling of signals before a role has started."""

import os
import signal
import threading

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


def obey_interrupts() -> None:
    """Make SIGINT raise KeyboardInterrupt, also in a process that was started ignoring it.

    A shell starts the background commands of a script so. The roles install handlers of their own;
    `jobs watch` and the actions would go on without an end.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
