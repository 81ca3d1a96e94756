"""How long it took until the jobs that a fault interrupted ran again, and what the roles need."""

import asyncio
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from faults.system import Role, System
from support.history.events import History
from support.svg_chart import Line, chart

SAMPLE_SECONDS = 5.0
# Faults after which jobs that were running must be claimed again.
DEATHS = (
    *("child_killed", "child_stopped_past_its_lease", "worker_killed", "worker_partitioned"),
    *("worker_stopped_past_its_lease", "redis_killed", "master_killed", "master_stopped"),
)
COLORS = {"gateway": "#3d6fb4", "supervisor": "#b4623d", "child": "#3f8f4f"}
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault and when it began, ns of the monotonic clock."""

    fault: str
    begun: int


def recoveries(history: History, injected: Sequence[Injected]) -> Iterator[str]:
    """Yield a line for each kind of death: seconds from it to the next claim of a job that it
    interrupted. A job is one of those if it was claimed before, its claim was never settled by its
    own run, and its next claim came after; of several faults before that claim the last counts.
    """
    deaths = sorted((each for each in injected if each.fault in DEATHS), key=lambda d: d.begun)
    found: dict[str, list[float]] = defaultdict(list)
    for job in history.calls:
        claims = sorted(history.of(job, "claim"), key=lambda call: call.claim)
        own = {c.claim for c in history.of(job, "settle") if c.status == "applied"}
        for first, then in pairwise(claims):
            between = [d for d in deaths if first.ended < d.begun < then.begun]
            if first.claim not in own and between:
                death = between[-1]
                found[death.fault].append((then.ended - death.begun) / 1e9)
    for fault, seconds in sorted(found.items()):
        ordered = sorted(seconds)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        yield (
            f"claimed again after {fault}: {len(ordered)} jobs, "
            f"median {statistics.median(ordered):.1f} s, p99 {p99:.1f} s, worst {ordered[-1]:.1f} s"
        )


class Memory:
    """Samples the resident memory of each role's largest process, and draws it into `picture`."""

    def __init__(self, system: System, picture: Path | None = None) -> None:
        self._system = system
        self._picture = picture
        self._seen: dict[str, set[int]] = defaultdict(set)
        # By role: seconds since the begin, MB.
        self.found: dict[str, list[tuple[float, float]]] = defaultdict(list)

    async def run(self) -> None:
        """Sample until canceled; each time draw what there is, so that a kill loses nothing."""
        begun = time.monotonic()
        while True:
            for role, pids in self._pids().items():
                self._seen[role].update(pids)
                sizes = [size for pid in pids if (size := _resident_mb(pid))]
                if sizes:
                    self.found[role].append((time.monotonic() - begun, max(sizes)))
            if self._picture is not None:
                self._picture.write_text(memory_chart(self.found))
            await asyncio.sleep(SAMPLE_SECONDS)

    def _pids(self) -> dict[str, list[int]]:
        workers = self._system.workers
        return {
            "gateway": [role.pid for role in self._system.gateways],
            "supervisor": [role.pid for role in workers],
            "child": [pid for role in workers for pid in _children(role)],
        }

    def lines(self) -> Iterator[str]:
        """Yield a line for each role: its largest process, at four times of the soak."""
        for role, samples in self.found.items():
            sizes = [size for _, size in samples]
            at = [sizes[(len(sizes) - 1) * part // 3] for part in range(4)]
            shown = ", ".join(f"{size:.0f}" for size in at)
            yield (
                f"memory of the largest {role}, MB: {shown} (highest {max(sizes):.0f}; "
                f"{len(self._seen[role])} processes lived)"
            )


def memory_chart(found: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return an SVG with a line for each role from its samples: (seconds, MB)."""
    lines = [
        Line(role, COLORS[role], [(at, round(size, 1)) for at, size in samples])
        for role, samples in found.items()
    ]
    title = "Resident memory of the largest process of each role"
    return chart(title, lines, left="MB over minutes", right="")


def _children(role: Role) -> list[int]:
    try:
        return role.children()
    except OSError:  # it ended meanwhile
        return []


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
    except (OSError, IndexError):
        return 0.0
