"""What the container of this process may use, from its cgroup (v1 or v2): CPUs and memory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")
_UNLIMITED: Final = 1 << 60
"""Version 1 shows no limit as a number of this size."""


class Memory(NamedTuple):
    """`kills`: processes killed because the memory ran out. `limit`: bytes, None without one."""

    kills: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The cgroup of a process; `own` is its /proc/PID/cgroup."""

    root: Path = ROOT
    own: Path = OWN

    def quota(self) -> float | None:
        """Return the CPU quota in CPUs, None if it has none.

        The lowest limit up to the root counts: a pod's cgroup is above those of its containers.
        """
        folders = self._folders("cpu", "cpu,cpuacct")
        limits = [limit for each in folders for limit in (_cpus_v2(each), _cpus_v1(each))]
        return min((limit for limit in limits if limit is not None), default=None)

    def memory(self) -> Memory:
        """Return the lowest limit up to the root, and the kills of the lowest cgroup that counts
        them.
        """
        kills, limits = 0, []
        for folder in self._folders("memory"):
            for name in ("memory.events", "memory.oom_control"):
                kills = _counter(folder / name, "oom_kill", kills)
            limits += [_number(folder / "memory.max"), _number(folder / "memory.limit_in_bytes")]
        found = [limit for limit in limits if limit is not None and limit < _UNLIMITED]
        return Memory(kills, min(found, default=None))

    def _folders(self, controller: str, *mounted: str) -> Iterator[Path]:
        """Yield the folders of a controller from the root down to this cgroup, both versions."""
        yield from (self.root, *(self.root / name for name in (controller, *mounted)))
        for line in _lines(self.own):
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                bases = [self.root]
            elif controller in controllers.split(","):
                bases = [self.root / controllers, self.root / controller]
            else:
                continue
            parts = [part for part in path.split("/") if part not in ("", "..")]
            for base in bases:
                for depth in range(1, len(parts) + 1):
                    yield base.joinpath(*parts[:depth])


def default_concurrency(cgroup: Cgroup | None = None) -> int:
    """Return the number of CPUs that this process may use, rounded up, at least 1."""
    allowed = (cgroup or Cgroup()).quota()
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, count if allowed is None else min(count, math.ceil(allowed)))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _counter(file: Path, name: str, default: int) -> int:
    for line in _lines(file):
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return default


def _number(file: Path) -> int | None:
    text = "".join(_lines(file))
    return int(text) if text.isdecimal() else None


def _cpus_v2(folder: Path) -> float | None:
    try:
        most, period = (folder / "cpu.max").read_text().split()[:2]
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _cpus_v1(folder: Path) -> float | None:
    try:
        most = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return most / period if most > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
