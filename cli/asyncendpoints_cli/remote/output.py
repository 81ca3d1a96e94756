"""Prints what a command found: as a table for people, or as JSON, YAML or names for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_cli.remote.text import escaped
from asyncendpoints_console.pages import sorting

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, RenderableType

STATE_STYLES: Final = {
    "Completed": "green",
    "Failed": "red",
    "Canceled": "yellow",
    "InProgress": "cyan",
}
FLEXIBLE_WIDTH: Final = 8
"""The least that is shown of a column that may be cut."""
GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and the text of a cell; `wide` ones are for -o wide. Only a `flexible`
    one is cut where the terminal is narrow. Of those with a number in `spare` the highest is
    omitted first where even that is not enough.
    """

    title: str
    text: Callable[[Any], object]
    wide: bool = False
    right: bool = False
    flexible: bool = False
    spare: int = 0


def in_order(
    items: Iterable[Mapping[str, Any]], columns: Mapping[str, sorting.Column], options: Namespace
) -> list[dict[str, Any]]:
    """Return items as `--sort` and `--reverse` say, in their own order without them."""
    if options.sort is None:
        return [dict(item) for item in items]
    descending = columns[options.sort].largest is not options.reverse
    order = sorting.Order(columns, options.sort, descending, ())
    return [dict(item) for item in order.rows(items)]


def show(
    items: Sequence[dict[str, Any]], columns: Sequence[Column], form: str, name: str, nothing: str
) -> None:
    """Print items; `name` is the field that -o name prints, `nothing` is printed for none."""
    if form in ("json", "yaml"):
        write(list(items), form)
    elif form == "name":
        sys.stdout.writelines(f"{escaped(item[name])}\n" for item in items)
    elif not items:
        sys.stderr.write(f"{nothing}\n")
    else:
        console().print(table(items, columns, wide=form == "wide"))


def write(value: Any, form: str) -> None:
    """Print a value as JSON or YAML, in ASCII: a terminal may show it."""
    if form == "yaml":
        import yaml

        yaml.safe_dump(value, sys.stdout, sort_keys=False)
    else:
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


def console() -> Console:
    """Return standard output for tables; piped ones are as wide as they need."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000
    return Console(markup=False, highlight=False, emoji=False, width=width)


def details(rows: Iterable[tuple[str, object]]) -> RenderableType:
    """Return names with their values, which are wrapped where they do not fit."""
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False, show_header=False)
    found.add_column(no_wrap=True)
    found.add_column(overflow="fold")
    for name, value in rows:
        text = escaped(value)
        found.add_row(name, Text(text, style=STATE_STYLES.get(text, "")))
    return found


def table(
    items: Iterable[dict[str, Any]],
    columns: Sequence[Column],
    *,
    wide: bool = False,
    width: int | None = None,
) -> RenderableType:
    """Return a table that fits a terminal of so many columns, None for that of standard output."""
    from rich.table import Table
    from rich.text import Text

    chosen = [column for column in columns if wide or not column.wide]
    texts = [{each.title: escaped(each.text(item)) for each in chosen} for item in items]
    shown = _that_fit(chosen, texts, console().width if width is None else width)
    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        found.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.flexible,  # rich narrows the others first
            overflow="ellipsis",
        )
    for row in texts:
        cells = [row[column.title] for column in shown]
        # Text objects: square brackets in the text of a job are no markup.
        found.add_row(
            *(Text(text, style=STATE_STYLES.get(text, ""), no_wrap=True) for text in cells)
        )
    return found


def _that_fit(
    columns: Sequence[Column], rows: Sequence[Mapping[str, str]], width: int
) -> list[Column]:
    """Return the columns for which there is room, with a minimum for the flexible ones."""
    from rich.cells import cell_len

    widths = {
        each.title: max(map(cell_len, (each.title, *(row[each.title] for row in rows))))
        for each in columns
    }
    left = list(columns)

    def needed() -> int:
        sizes = (
            min(FLEXIBLE_WIDTH, widths[each.title]) if each.flexible else widths[each.title]
            for each in left
        )
        return sum(sizes) + GAP * (len(left) - 1)

    while needed() > width and any(each.spare for each in left):
        left.remove(max(left, key=lambda each: each.spare))
    return left
