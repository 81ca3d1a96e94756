"""How a child ends with its supervisor, whatever either of them is doing at that moment."""

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
    """Let this process and its group be killed when `parent` ends.

    The kernel does it on Linux, even while the GIL is held. Elsewhere, and for what this process
    has started itself, a thread waits for the end of a pipe whose other end only the parent has.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we could ask to be told
        os._exit(1)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def adopt_orphans() -> None:
    """Become the parent of what children leave behind (Linux), so that it can be ended."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    # Not allowed in some sandboxes; then the thread's way is what there is.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(option, value, 0, 0, 0)
