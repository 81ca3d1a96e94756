"""How many CPUs this process may use: the quota of its container, not those of the machine."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")


def default_concurrency(root: Path = ROOT, own: Path = OWN) -> int:
    """Return the number of CPUs that this process may use, rounded up, at least 1."""
    allowed = quota(root, own)
    count = _count()
    return max(1, count if allowed is None else min(count, math.ceil(allowed)))


def _count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Return the quota of this process's cgroup (v1 or v2) in CPUs, None if it has none.

    The lowest limit up to the root counts: the cgroup of a pod is above those of its containers.
    """
    limits = []
    for folder in _folders(root, own):
        limits += [_v2(folder / "cpu.max"), _v1(folder)]
    found = [limit for limit in limits if limit is not None]
    return min(found, default=None)


def _folders(root: Path, own: Path) -> list[Path]:
    """Return the folders of this process's cgroup and of those above it, in both versions."""
    folders = [root, root / "cpu", root / "cpu,cpuacct"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            bases = [root]
        elif "cpu" in controllers.split(","):
            bases = [root / controllers, root / "cpu"]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        folders += [
            base.joinpath(*parts[:depth]) for base in bases for depth in range(1, len(parts) + 1)
        ]
    return folders


def _v2(file: Path) -> float | None:
    try:
        most, period = file.read_text().split()[:2]
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _v1(folder: Path) -> float | None:
    try:
        most = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return most / period if most > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
