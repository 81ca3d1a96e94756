"""Prints what a command found: as a table for people, or as JSON, YAML or names for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_cli.remote.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, RenderableType

STATE_STYLES: Final = {
    "Completed": "green",
    "Failed": "red",
    "Canceled": "yellow",
    "InProgress": "cyan",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and the text of a cell; `wide` ones are for -o wide."""

    title: str
    text: Callable[[Any], object]
    wide: bool = False
    right: bool = False


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
    items: Iterable[dict[str, Any]], columns: Sequence[Column], *, wide: bool = False
) -> RenderableType:
    """Return a table, which rich fits to the terminal by cutting its cells."""
    from rich.table import Table
    from rich.text import Text

    shown = [column for column in columns if wide or not column.wide]
    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        found.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for item in items:
        texts = [escaped(column.text(item)) for column in shown]
        # Text objects: square brackets in the text of a job are no markup.
        found.add_row(*(Text(text, style=STATE_STYLES.get(text, "")) for text in texts))
    return found
