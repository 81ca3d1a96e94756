"""Ends a child together with its supervisor, whatever either of them is doing at that moment."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def end_with_parent(parent: int, descriptor: int) -> None:
    """Kill this process and its group when `parent` ends.

    The kernel does it on Linux, even while the GIL is held. On other systems, and for processes
    that this one has started, a thread waits for the end of a pipe that only the parent can write.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request was made
        os._exit(1)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="parent-death", daemon=True).start()


def become_subreaper() -> None:
    """Become the parent of orphaned descendants (Linux), so that they can be killed and reaped."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    # Some sandboxes forbid it; then only the thread remains.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(option, value, 0, 0, 0)
