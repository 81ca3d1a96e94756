"""Whether the machine did something else while a benchmark ran, and the figures as a picture."""

import os
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from xml.sax.saxutils import escape

# Of the machine's processors; more than this and rates, ratios of them too, mean little.
TOLERATED = 0.1
WIDTH, ROW, LEFT = 720, 26, 300


class Others:
    """Measures the processor time that neither this process nor its ended children used (Linux)."""

    def __enter__(self) -> Self:
        """Begin."""
        self.share = 0.0
        self._begun = _machine_seconds(), _own_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        """End; `share` is then what others used, 1 being all processors all the time."""
        (busy, total), own = self._begun
        now_busy, now_total = _machine_seconds()
        others = (now_busy - busy) - (_own_seconds() - own)
        self.share = max(0.0, others / max(now_total - total, 0.01))

    @property
    def warning(self) -> str | None:
        """What is to be said of the figures, if anything."""
        if self.share <= TOLERATED:
            return None
        return f"spoiled by a busy machine: others used {self.share:.0%} of the processors"


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _machine_seconds() -> tuple[float, float]:
    """Return the processor time that was used, and all of it, since the machine started."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, idle, wait, irq, softirq, steal = (
        int(word) / os.sysconf("SC_CLK_TCK") for word in words
    )
    busy = user + nice + system + irq + softirq + steal
    return busy, busy + idle + wait


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Return an SVG with a bar for each name, value and unit, the longest for the largest value."""
    largest = max(value for _, value, _ in rows)
    height = ROW * (len(rows) + 1) + 14
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value, unit) in enumerate(rows, 1):
        top = ROW * number + 8
        long = max(1.0, (WIDTH - LEFT - 130) * value / largest)
        color = "#3d6fb4" if number == 1 else "#bbbbbb"
        lines += [
            f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{long:.1f}" height="18" fill="{color}"/>',
            f'<text x="{LEFT + long + 6:.1f}" y="{top + 13}">{value:,.0f} {escape(unit)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
