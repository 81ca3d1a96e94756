"""Ends what a dead child has left behind: its process group, and what had left the group.

A job must not be handed out again while a process of its last run still works (store rule 14).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

VARIABLE: Final = "ASYNCENDPOINTS_CHILD"
"""Set in a child's environment, so that what it starts can be told from what others started."""


def kill_group(leader: int) -> None:
    """Kill the process group of a child that has not been waited for yet."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return


def kill_tagged(tag: str, proc: Path = Path("/proc")) -> int:
    """Kill processes that carry the environment of child `tag` (Linux); return how many."""
    wanted = f"{VARIABLE}={tag}".encode()
    killed = 0
    for folder in proc.glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
        except (OSError, ValueError):
            continue  # it has ended, or is another user's
    return killed
