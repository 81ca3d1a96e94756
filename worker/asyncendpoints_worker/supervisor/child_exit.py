"""How a child process ended, in words and for the metric."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from asyncendpoints_worker.cgroup import Memory

OUT_OF_MEMORY: Final = "out-of-memory"
CAUSES: Final = (OUT_OF_MEMORY, "signal", "exit")
"""Values of the metric's label."""
_MIB: Final = 1 << 20


class ChildExit(NamedTuple):
    """`cause` is one of CAUSES; `text` continues "its process was" or "died:"."""

    cause: str
    text: str


def describe(status: int, killed_before: int, memory: Memory) -> ChildExit:
    """Describe an exit status. `killed_before`: how many processes of the container had been killed
    for its memory before.
    """
    if status >= 0:
        return ChildExit("exit", f"exited with status {status}")
    try:
        text = f"killed by {signal.Signals(-status).name}"
    except ValueError:
        text = f"killed by signal {-status}"
    if status != -signal.SIGKILL or memory.kills <= killed_before:
        return ChildExit("signal", text)
    limit = "" if memory.limit is None else f" (limit {memory.limit / _MIB:.0f} MiB)"
    return ChildExit(OUT_OF_MEMORY, f"{text}: the container ran out of memory{limit}")
