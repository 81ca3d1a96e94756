"""Generates the table of values in the chart's README from the comments in values.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, cast

import yaml
from tools.generate import ROOT, replace_block

VALUES: Final = ROOT / "charts" / "asyncendpoints" / "values.yaml"

# Descriptions of values that have the same meaning everywhere in a chart.
COMMON: Final = {
    "resources": "CPU and memory, as in a container.",
    "nodeSelector": "As in a pod.",
    "tolerations": "As in a pod.",
    "affinity": "As in a pod.",
    "topologySpreadConstraints": "As in a pod.",
    "priorityClassName": "As in a pod.",
    "labels": "Labels of the objects.",
    "podLabels": "Labels added to the pods.",
    "podAnnotations": "Annotations added to the pods.",
}


class Value(NamedTuple):
    """One row: the dotted name of a value, its default as written, and its description."""

    name: str
    default: str
    meaning: str


def chart_readme(present: str) -> str:
    """Return the README with a new table."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | `{default}` | {meaning} |" for name, default, meaning in read(VALUES)]
    return replace_block(present, "values", "\n".join(lines))


def read(file: Path) -> list[Value]:
    """Return every value on a line of its own, in the order of the file."""
    text = file.read_text(encoding="utf-8")
    root = cast("yaml.MappingNode", yaml.compose(text, Loader=yaml.SafeLoader))
    return list(_values(root, text.splitlines(), "", ""))


def _values(
    node: yaml.MappingNode, lines: list[str], prefix: str, inherited: str
) -> Iterator[Value]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        meaning = _comment(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            meaning = meaning or COMMON.get(key.value, "")
            yield from _values(value, lines, f"{name}.", meaning)
            continue
        meaning = meaning or COMMON.get(key.value, "") or inherited
        inherited = ""  # the description of a group is shown once, with its first value
        yield Value(name, _source(lines, value), meaning)


def _comment(lines: list[str], line: int) -> str:
    """Return the comment lines directly above a line, as one text."""
    found = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.append(lines[line].lstrip().lstrip("#").strip())
    return " ".join(reversed(found)).replace("|", "\\|").replace("<", "&lt;")


def _source(lines: list[str], value: yaml.Node) -> str:
    """Return a value as written; every value ends on the line where it starts."""
    start, end = value.start_mark, value.end_mark
    return lines[start.line][start.column : end.column if end.line == start.line else None].strip()
