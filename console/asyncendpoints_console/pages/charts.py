"""The geometry of the charts: figures over time, and when the attempts of a job ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.time_source import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncendpoints_core.store.figures import Figures, Point

WIDTH: Final = 480
HEIGHT: Final = 96
COLUMNS: Final = 240
"""Points that share a column are drawn as the largest of them."""
_TOP: Final = 16


def over_time(
    found: Figures, step_s: int, lines: Mapping[str, Callable[[Point], float | None]]
) -> dict[str, Any] | None:
    """Return the lines of figures by their names, each as its parts between gaps; None without
    figures. `marks` are the scaling steps.
    """
    if not found.points:
        return None
    begin, step_ms = found.points[0].at_ms, 1_000 * step_s
    length = max(found.now_ms, found.points[-1].at_ms + step_ms) - begin
    column_ms = -(-length // (COLUMNS * step_ms)) * step_ms
    heights = {
        name: _heights([((p.at_ms - begin) // column_ms, value(p)) for p in found.points])
        for name, value in lines.items()
    }
    most = max((max(line.values(), default=0) for line in heights.values()), default=0)
    across = column_ms / length * WIDTH
    return {
        "lines": {name: _parts(line, most or 1, across) for name, line in heights.items()},
        "most": most,
        "seconds": length / 1_000,
        "marks": [
            {"x": round((each.at_ms - begin) / length * WIDTH, 1), "text": each.text}
            for each in found.steps
            if each.at_ms >= begin
        ],
    }


def _heights(values: Sequence[tuple[int, float | None]]) -> dict[int, float]:
    """Return the largest value of each column that has one."""
    found: dict[int, float] = {}
    for column, value in values:
        if value is not None:
            found[column] = max(value, found.get(column, 0))
    return found


def _parts(line: Mapping[int, float], most: float, across: float) -> list[dict[str, Any]]:
    """Return the parts of a line between gaps: its points, and where it begins and ends."""
    parts: list[list[int]] = []
    for column in sorted(line):
        if parts and parts[-1][-1] == column - 1:
            parts[-1].append(column)
        else:
            parts.append([column])

    def point(edge: int, column: int) -> str:
        height = line[column] / most * (HEIGHT - _TOP)
        return f"{min(edge * across, WIDTH):.1f},{HEIGHT - height:.1f}"

    return [
        {
            # The last column is as wide as its time, so that a single one is seen.
            "points": " ".join([*(point(at, at) for at in part), point(part[-1] + 1, part[-1])]),
            "begin": round(part[0] * across, 1),
            "end": round(min((part[-1] + 1) * across, WIDTH), 1),
        }
        for part in parts
    ]


def timeline(job: Mapping[str, Any], now_ms: int) -> list[dict[str, Any]]:
    """Return a bar for each attempt of a job, between its creation and its end or now."""
    begin = parse_rfc3339(job["createdAt"])
    end = parse_rfc3339(job["completedAt"]) if job["completedAt"] else now_ms
    bars = [
        (parse_rfc3339(each["startedAt"]), parse_rfc3339(each["endedAt"]), each["outcome"])
        for each in job["attempts"]
        if each["startedAt"] and each["endedAt"]
    ]
    if job["state"] == "InProgress" and job["startedAt"]:
        since = max([parse_rfc3339(job["startedAt"]), *(bar[1] for bar in bars)])
        bars.append((since, end, "running"))
    length = max(1.0, end - begin)
    return [
        {
            "outcome": outcome,
            "x": round((start - begin) / length * WIDTH, 1),
            "width": round(max(3.0, (stop - start) / length * WIDTH), 1),
        }
        for start, stop, outcome in bars
    ]
