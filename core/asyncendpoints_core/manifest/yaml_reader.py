"""Parses YAML to plain values, with the line and column of each.

Scalars mean the same as to `kubectl`. Words that YAML parsers disagree on (yes, no, on, off, y, n)
are faults, and so are duplicate keys and keys that are not text. Anchors and merge keys work, up to
a limit on the expanded size.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from asyncendpoints_core.common.faults import Fault, Location

MAX_VALUES: Final = 50_000
"""Values of one document with its aliases expanded."""

_TAG: Final = "tag:yaml.org,2002:"
_WORDS: Final = frozenset(
    form
    for word in ("y", "n", "yes", "no", "on", "off")
    for form in (word, word.capitalize(), word.upper())
)
_TRUE: Final = frozenset({"true", "True", "TRUE"})


class _Resolver(BaseResolver):
    """The types of plain scalars on which YAML 1.1, YAML 1.2 and Go's parser agree."""


for _name, _expression, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (
        "int",
        r"[-+]?(0b[01_]+|0o[0-7_]+|0[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)",
        list("-+0123456789"),
    ),
    (
        "float",
        r"[-+]?((0|[1-9][0-9_]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)"
        r"|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", "<<", ["<"]),
):
    _Resolver.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_expression})$"), _first)


class _Loader(Reader, Scanner, Parser, Composer, _Resolver):
    """PyYAML's pure Python parser up to nodes; `_Builder` makes values with positions of them."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)


@dataclass(frozen=True, slots=True)
class Position:
    """A position in the text, counted from 1; `raw` is a scalar's source text."""

    line: int
    column: int
    raw: str = ""


@dataclass(slots=True)
class Document:
    """One YAML document: its value, the position of each part, and the faults of the text."""

    file: str
    start: Position
    value: Any = None
    keys: dict[Location, Position] = field(default_factory=dict)
    values: dict[Location, Position] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, location: Location, message: str, *, at_key: bool = False) -> Fault:
        """Return a fault with the position of the value, its key, or the nearest parent."""
        return Fault(location, message, self.file, *self._position(location, at_key))

    def _position(self, location: Location, at_key: bool) -> tuple[int, int]:
        found = None if at_key else self.values.get(location)
        found = found or self.keys.get(location)
        steps = location
        while found is None and steps:  # a missing field: the record that it belongs in
            steps = steps[:-1]
            found = self.keys.get(steps) or self.values.get(steps)
        position = found or self.start
        return position.line, position.column

    def raw(self, location: Location) -> str:
        """Return the source text of the scalar at a location, without quotes."""
        position = self.values.get(location)
        return position.raw if position else ""


def read_documents(text: str, file: str) -> Iterator[Document]:
    """Yield the documents of a text; an invalid one has a fault and no value.

    They are parsed separately, so that a fault in one does not hide those of the next.
    """
    lines = text.splitlines(keepends=True)
    starts = [i for i, line in enumerate(lines) if re.match(r"---(\s|$)", line)]
    for first, last in zip([0, *starts], [*starts, len(lines)], strict=True):
        chunk = lines[first:last]
        if any(line.strip() and line[0] not in "#%" for line in chunk):
            yield _read("".join(chunk), file, first)


def _read(text: str, file: str, offset: int) -> Document:
    document = Document(file, Position(offset + 1, 1))
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        lines = text.splitlines()
        message = _syntax(error, lines[line] if mark and line < len(lines) else "")
        document.faults.append(Fault((), message, file, offset + line + 1, column + 1))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        message = f"character U+{ord(text[error.position]):04X} is not allowed in YAML"
        document.faults.append(Fault((), message, file, offset + line + 1, column + 1))
    except RecursionError:
        document.faults.append(document.fault((), "nests too deep"))
    else:
        if node is not None:
            document.start = Position(offset + node.start_mark.line + 1, node.start_mark.column + 1)
            document.value = _Builder(document, offset).build(node, ())
    return document


def _syntax(error: yaml.MarkedYAMLError, line: str) -> str:
    """Describe a syntax error with its usual cause."""
    problem = error.problem or "cannot be parsed"
    if "'\\t'" in problem or line.lstrip(" ").startswith("\t"):
        return "invalid YAML: indent with spaces instead of tabs"
    if re.search(r"/[^\s\"']*\{", line) or "got '{'" in problem or "got '}'" in problem:
        return f'invalid YAML: {problem}; quote values with braces: path: "/reports/{{customer}}"'
    if "mapping values are not allowed" in problem:
        return 'invalid YAML: second ":" on a line; quote a value with ": " or start a new line'
    if "cannot start any token" in problem or re.search(r"\bcron: *\*", line):
        return f"invalid YAML: {problem}; quote the value"
    if "found '<scalar>'" in problem:
        return f"invalid YAML: {problem}; quote the whole value"
    if "end of stream" in problem or "stream end" in problem:
        return "invalid YAML: missing closing bracket or quote"
    return f"invalid YAML: {problem}"


@dataclass(slots=True)
class _Builder:
    """Converts nodes to plain values and records their positions."""

    document: Document
    offset: int
    count: int = 0
    open: set[int] = field(default_factory=set)

    def _at(self, node: yaml.Node, raw: str = "") -> Position:
        return Position(self.offset + node.start_mark.line + 1, node.start_mark.column + 1, raw)

    def _fault(self, location: Location, message: str, position: Position) -> None:
        self.document.faults.append(
            Fault(location, message, self.document.file, position.line, position.column)
        )

    def build(self, node: yaml.Node, location: Location) -> Any:
        """Return the value of a node, or None with a fault."""
        position = self._at(node, node.value if isinstance(node, yaml.ScalarNode) else "")
        self.document.values[location] = position
        self.count += 1
        if id(node) in self.open:
            return self._fault(location, "recursive alias", position)
        if self.count > MAX_VALUES:
            if self.count == MAX_VALUES + 1:
                self._fault((), f"has more than {MAX_VALUES} values", position)
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node, location)
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
                return [self.build(item, (*location, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, location, position)
        finally:
            self.open.discard(id(node))
        return self._fault(location, f"the tag {_tag(node)} is not supported", position)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        written: dict[str, Position] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            position = self._at(key_node)
            if key_node.tag == _TAG + "merge":
                several = isinstance(value_node, yaml.SequenceNode)
                merged += value_node.value if several else [value_node]
                continue
            key = self._key(key_node, location, position)
            if key is None:
                continue
            if key in written:
                where = f"line {written[key].line}"
                self._fault((*location, key), f"duplicate key; first in {where}", position)
                continue
            written[key] = self.document.keys[*location, key] = position
            result[key] = self.build(value_node, (*location, key))
        for source in merged:
            self._merge(source, location, result)
        return result

    def _merge(self, source: yaml.Node, location: Location, into: dict[str, Any]) -> None:
        """Add the keys of a `<<` that the mapping itself does not have."""
        if not isinstance(source, yaml.MappingNode):
            return self._fault(location, '"<<" requires a mapping', self._at(source))
        if id(source) in self.open:
            return self._fault(location, "recursive alias", self._at(source))
        wanted = [(k, v) for k, v in source.value if k.value not in into]
        part = yaml.MappingNode(source.tag, wanted, source.start_mark, source.end_mark)
        self.open.add(id(source))
        into.update(self._mapping(part, location))
        self.open.discard(id(source))
        return None

    def _key(self, node: yaml.Node, location: Location, position: Position) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(location, "keys must be text, not a list or mapping", position)
            return None
        key = str(node.value)
        if node.style is None and key in _WORDS:
            self._fault((*location, key), _word(key, "key"), position)
        elif node.tag != _TAG + "str":
            self._fault((*location, key), f'keys must be text: write "{key}"', position)
        return key

    def _scalar(self, node: yaml.ScalarNode, location: Location, position: Position) -> Any:
        text = str(node.value)
        if node.tag == _TAG + "str":
            if node.style is None and text in _WORDS:
                self._fault(location, _word(text, "value"), position)
            return text
        if node.tag == _TAG + "null":
            return None
        if node.tag == _TAG + "bool" and text.lower() in ("true", "false"):
            return text in _TRUE
        try:
            if node.tag == _TAG + "int":
                return _integer(text)
            if node.tag == _TAG + "float":
                number = float(re.sub(r"_|\.(?=inf|nan)", "", text.lower()))
                if isfinite(number):
                    return number
                return self._fault(location, f"{text} is not a JSON number", position)
        except ValueError:
            pass
        return self._fault(location, f'"{text[:40]}" is not a valid {_tag(node)}', position)


def _tag(node: yaml.Node) -> str:
    return str(node.tag).replace(_TAG, "!!")


def _word(word: str, kind: str) -> str:
    truth = "true" if word.lower() in ("y", "yes", "on") else "false"
    instead = f'"{word}" in quotes' + ("" if kind == "key" else f", or {truth}")
    return f"{word} is {truth} for some YAML parsers and text for others; write {instead}"


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)  # 0644, as Kubernetes reads it
    return sign * int(digits, 0)
