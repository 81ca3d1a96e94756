"""A step chart as SVG text without a library: a few lines over time, two scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 52, 40, 34


@dataclass(frozen=True)
class Line:
    """One line: its points are (x, y); `right` puts it on the scale of the right-hand side."""

    label: str
    color: str
    points: Sequence[tuple[float, float]]
    right: bool = False
    dashed: bool = False
    width: float = 1.6


def nice(top: float) -> float:
    """Return the next of 1, 2, 4, 5, 8, 10 times a power of ten that is not below `top`."""
    if top <= 0:
        return 1.0
    power = 10.0 ** ceil(log10(top) - 1)
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= top * 0.999)


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    left: str,
    right: str,
    bands: Sequence[tuple[float, float]] = (),
) -> str:
    """Return the chart. x is in seconds; `bands` shades spans of it; without the name `right`
    there is no scale on that side.
    """
    end = max((x for line in lines for x, _ in line.points), default=1.0) or 1.0
    tops = [
        nice(max((y for line in lines if line.right is side for _, y in line.points), default=1))
        for side in (False, True)
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="15" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    for begin, finish in bands:
        x, width = _x(begin, end), _x(finish, end) - _x(begin, end)
        parts.append(
            f'<rect x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            'fill="#f6d5d5"/>'
        )
    parts += _grid(end, tops, left, right)
    for line in lines:
        top = tops[line.right]
        dash = ' stroke-dasharray="4 3"' if line.dashed else ""
        parts.append(
            f'<path d="{_steps(line.points, end, top)}" fill="none" stroke="{line.color}" '
            f'stroke-width="{line.width}"{dash}/>'
        )
    x = LEFT
    for line in lines:
        parts.append(f'<rect x="{x}" y="23" width="10" height="3" fill="{line.color}"/>')
        parts.append(f'<text x="{x + 14}" y="29">{escape(line.label)}</text>')
        x += 30 + 6 * len(line.label)
    return "\n".join([*parts, "</svg>", ""])


def _x(value: float, end: float) -> float:
    return LEFT + value / end * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _steps(points: Sequence[tuple[float, float]], end: float, top: float) -> str:
    """Draw only where the value changes: an hour of seconds stays a short path."""
    path, last = "", None
    for x, y in points:
        if last is None:
            path = f"M{_x(x, end):.1f} {_y(y, top):.1f}"
        elif y != last:
            path += f"H{_x(x, end):.1f}V{_y(y, top):.1f}"
        last = y
    return path + f"H{_x(points[-1][0], end):.1f}" if points else ""


def _grid(end: float, tops: Sequence[float], left: str, right: str) -> list[str]:
    parts = []
    for i in range(5):
        y = _y(i / 4, 1)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tops[0] * i / 4:g}</text>'
        )
        if right:
            parts.append(
                f'<text x="{WIDTH - RIGHT + 6}" y="{y + 4:.1f}">{tops[1] * i / 4:g}</text>'
            )
    step = next(s for s in (10, 30, 60, 120, 300, 600) if end / s <= 10 or s == 600)
    for second in range(0, int(end) + 1, step):
        label = f"{second // 60}:{second % 60:02}"
        parts.append(
            f'<text x="{_x(second, end):.1f}" y="{HEIGHT - BOTTOM + 15}" '
            f'text-anchor="middle">{label}</text>'
        )
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 4}" fill="#666">{escape(left)}</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end" fill="#666">'
        f"{escape(right)}</text>"
    )
    return parts
