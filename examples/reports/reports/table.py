"""Reads CSV text into groups of numbers and reports its errors line by line."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_FAULTS = 5
BAD_SHARE = 0.1
"""The share of unusable rows above which the whole file is rejected."""


class BadTable(ValueError):
    """No report can be made from the text; the message says why."""


@dataclass
class Table:
    """The numbers of one column by group, and the errors of skipped rows."""

    groups: dict[str, list[float]] = field(default_factory=dict)
    rows: int = 0
    faults: list[str] = field(default_factory=list)
    bad: int = 0


def read(text: str, column: str, by: str | None, on_progress: Callable[[int], None]) -> Table:
    """Read `column` of CSV text with a header line, grouped by the column `by`.

    `on_progress` is called every thousand rows with the number of characters read so far; an
    exception that it raises stops the reading. Raises BadTable if the text lacks one of the
    columns, or has too many bad rows.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restval="")
    header = reader.fieldnames or []
    for name in (column, *([by] if by else [])):
        if name not in header:
            raise BadTable(f'no column "{name}"; there are: {", ".join(header) or "none"}')
    table, read_to = Table(), 0
    try:
        for row in reader:
            table.rows += 1
            read_to += sum(len(value) + 1 for value in row.values() if isinstance(value, str))
            _add(table, row, column, by, reader.line_num)
            if table.rows % 1_000 == 0:
                on_progress(read_to)
    except csv.Error as error:
        raise BadTable(f"line {reader.line_num}: {error}") from None
    if table.rows == table.bad:
        raise BadTable(f'no number in column "{column}"' if table.rows else "no rows")
    if table.bad > table.rows * BAD_SHARE:
        shown = "; ".join(table.faults)
        raise BadTable(f"{table.bad} of {table.rows} rows cannot be used: {shown}")
    return table


def _add(table: Table, row: dict[str, str], column: str, by: str | None, line: int) -> None:
    text = row[column].strip().replace(" ", "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        table.bad += 1
        if len(table.faults) < MAX_FAULTS:
            table.faults.append(f'line {line}: "{text[:20]}" is not a number')
        return
    table.groups.setdefault((row[by].strip() or "(none)") if by else "all", []).append(value)
