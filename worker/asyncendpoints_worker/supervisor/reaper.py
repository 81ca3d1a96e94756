"""Reaps ended processes, and kills what a dead child has left behind: its process group, and what
has left that group.

A job must not be given out again while a process of its last attempt still works
(docs/rules.md S14). Run as a program, this is the process of `tag_reaper`: it needs only the
standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VARIABLE: Final = "ASYNCENDPOINTS_CHILD"
"""Set in a child's environment, to identify the processes that it starts."""
ROUNDS: Final = 100
ROUND_SECONDS: Final = 0.05
_PROCESSES: Final = Path("/proc")


def reap(own: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Wait for every process that has ended; yield pid and exit status of those in `own`.

    The others were reparented to this process when their parents ended, and only it can reap them.
    Until a child is waited for, its process group id cannot be reused: so its group is killed
    first.
    """
    if not hasattr(os, "waitid"):  # macOS before Python 3.13, where nothing is reparented to us
        for pid in own:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                kill_group(pid)
                yield pid, os.waitstatus_to_exitcode(status)
        return
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None:
            return
        if found.si_pid in own:
            kill_group(found.si_pid)
        _, status = os.waitpid(found.si_pid, 0)
        if found.si_pid in own:
            yield found.si_pid, os.waitstatus_to_exitcode(status)


def kill_group(leader: int) -> None:
    """Kill the process group of a child that has not been waited for yet."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS raises the latter for zombies
        return


def kill_tagged(tag: str) -> int:
    """Kill processes whose environment has `tag`, or `tag`, a dot and more (Linux); return how
    many.
    """
    wanted = f"{VARIABLE}={tag}".encode()
    killed = 0
    for folder in _PROCESSES.glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            if any(each == wanted or each.startswith(wanted + b".") for each in environment):
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
        except (OSError, ValueError):
            continue  # it has ended, or belongs to another user
    return killed


def kill_descendants() -> None:
    """Kill what this process has started, and what that has started (Linux), whatever their
    environment.
    """
    children: dict[int, list[int]] = {}
    for folder in _PROCESSES.glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_bytes().rpartition(b")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(folder.name))
        except (OSError, ValueError):
            continue
    found = children.get(os.getpid(), [])
    for pid in found:
        found.extend(children.get(pid, []))
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue


def _kill_at_end_of(descriptor: int, tag: str) -> None:
    """Kill processes with `tag` once the other end of a pipe is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():  # user code that waits for all children of its process must not wait for this
        return
    while os.read(descriptor, 1):
        pass
    for _ in range(ROUNDS):  # a process may start another one while they are being listed
        if not kill_tagged(tag):
            return
        time.sleep(ROUND_SECONDS)


if __name__ == "__main__":
    _kill_at_end_of(int(sys.argv[1]), sys.argv[2])
