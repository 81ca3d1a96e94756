"""Find and remove the resources of a native node on the host: processes, cgroups, mounts."""

import contextlib
import os
import signal
from pathlib import Path

from support.kube.provider.shell import run, wait_until

CGROUPS = Path("/sys/fs/cgroup")


def node_processes(program: Path, argument: Path) -> list[int]:
    """Host process ids with both in their command line.

    The program may be that of another checkout: only the last two parts of its path count.
    """
    end = f"/{'/'.join(program.parts[-2:])}"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_text(errors="replace").split("\0")
                if str(argument) in words and any(word.endswith(end) for word in words):
                    found.append(int(entry.name))
    return found


def kill_node(init: Path, state: Path) -> None:
    """Kill the node's init, and with it every process of its namespaces."""
    for pid in node_processes(init, state):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until("the node's processes end", lambda: not node_processes(init, state), seconds=30)


def namespace_init(processes: list[int]) -> int | None:
    """Which of the processes is process 1 of a process namespace of its own, if one is yet."""
    for pid in processes:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[2:] == ["1"]:
                    return pid
    return None


def make_cgroup(name: str) -> None:
    """Create the cgroup below which a node's pods live, in every hierarchy."""
    unified = CGROUPS / "cgroup.subtree_control"
    for controller in ("cpu", "cpuset", "io", "memory", "pids") if unified.exists() else ():
        with contextlib.suppress(OSError):  # already enabled, or not permitted on this machine
            unified.write_text(f"+{controller}")
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove_cgroup(name: str) -> None:
    """Remove that cgroup and all below it; the kernel needs a moment after the last process."""
    wait_until(f"cgroup {name} is empty", lambda: _try_remove_cgroup(name), seconds=30)


def unmount_below(folder: Path) -> None:
    """Unmount whatever the host has mounted below `folder` (nothing, unless a start broke off)."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted(points, reverse=True):
        if Path(point).is_relative_to(folder):
            run(["umount", "--lazy", point])


def _hierarchies() -> list[Path]:
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [folder for folder in CGROUPS.iterdir() if (folder / "cgroup.procs").exists()]


def _try_remove_cgroup(name: str) -> bool:
    done = True
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                done = False
    return done
