"""Renders a report as one self-contained HTML page with a bar chart."""

from collections.abc import Sequence
from html import escape

from reports.figures import Figures

STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2rem auto;max-width:52rem;color:#222}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;text-align:right}"
    "th:first-child,td:first-child{text-align:left}tr+tr{border-top:1px solid #ddd}"
)
COLUMNS = ("group", "count", "total", "mean", "low", "high", "median", "deviation", "least", "most")
BAR, GAP, LEFT, WIDTH = 22, 8, 160, 720


def chart(found: Sequence[Figures]) -> str:
    """Return an SVG with the means as bars, each with its confidence interval."""
    low = min(0.0, *(f.low for f in found)) if found else 0.0
    high = max(0.0, *(f.high for f in found)) if found else 1.0
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return LEFT + (value - low) / span * (WIDTH - LEFT - 20)

    parts = []
    for row, figures in enumerate(found):
        top = GAP + row * (BAR + GAP)
        middle = top + BAR / 2
        begin, end = sorted((x(0), x(figures.mean)))
        parts.append(
            f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">'
            f"{escape(figures.group[:20])}</text>"
            f'<rect x="{begin:.1f}" y="{top}" width="{end - begin:.1f}" height="{BAR}" '
            'fill="#7aa6d8"/>'
            f'<path d="M{x(figures.low):.1f} {middle}H{x(figures.high):.1f}" stroke="#234" '
            'stroke-width="2"/>'
        )
    height = GAP + len(found) * (BAR + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def page(title: str, found: Sequence[Figures], notes: Sequence[str]) -> str:
    """Return the whole page."""
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(f.as_json()[name])}</td>" for name in COLUMNS) + "</tr>"
        for f in found
    )
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>{chart(found)}"
        f"<table><tr>{head}</tr>{rows}</table>"
        + (f"<h2>Skipped rows</h2><ul>{listed}</ul>" if listed else "")
        + "</html>"
    )


def _cell(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else escape(str(value))
