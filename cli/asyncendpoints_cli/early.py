"""SIGTERM for the first process of a container, before anything is there that could drain."""

import os
import signal
import threading

FIRST = 1


def end_on_sigterm() -> None:
    """Let SIGTERM end this process at once, until a role says what it means.

    The kernel keeps signals that nobody handles from the first process of a container. One that
    comes while the program is still being imported would be lost, and the pod stay until the
    kubelet's patience is over. There is nothing to drain yet.
    """
    first = os.getpid() == FIRST and threading.current_thread() is threading.main_thread()
    if first and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
