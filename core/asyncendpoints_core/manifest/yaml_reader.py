"""YAML with places: text becomes plain values, each with the line and column it was written at.

Scalars mean what they mean to `kubectl` where that is beyond doubt; the words that YAML parsers
read differently (yes, no, on, off, y, n) are faults, as are duplicate keys and keys that are no
text. Anchors and merge keys work, with a limit on what they may grow to.
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
"""Values of one document after its aliases are followed."""

_TAG: Final = "tag:yaml.org,2002:"
_WORDS: Final = frozenset(
    [
        "y",
        "Y",
        "n",
        "N",
        "yes",
        "Yes",
        "YES",
        "no",
        "No",
        "NO",
        "on",
        "On",
        "ON",
        "off",
        "Off",
        "OFF",
    ]
)
_TRUE: Final = frozenset({"true", "True", "TRUE"})


class _Resolver(BaseResolver):
    """The types of plain scalars: those on which YAML 1.1, 1.2 and Go's parser agree."""


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
    """PyYAML's pure parser down to nodes: the values are made here, where their places are kept."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written, from 1; `raw` is a scalar's own text."""

    line: int
    column: int
    raw: str = ""


@dataclass(slots=True)
class Document:
    """One YAML document: its value, where each part of it is, and what was wrong with the text."""

    file: str
    start: Place
    value: Any = None
    keys: dict[Location, Place] = field(default_factory=dict)
    values: dict[Location, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, location: Location, message: str, *, at_key: bool = False) -> Fault:
        """Return a fault at a location, placed at its value, its key, or what is nearest to it."""
        return Fault(location, message, self.file, *self._place(location, at_key))

    def _place(self, location: Location, at_key: bool) -> tuple[int, int]:
        found = None if at_key else self.values.get(location)
        found = found or self.keys.get(location)
        steps = location
        while found is None and steps:  # not written at all: the record it would be in
            steps = steps[:-1]
            found = self.keys.get(steps) or self.values.get(steps)
        place = found or self.start
        return place.line, place.column

    def raw(self, location: Location) -> str:
        """Return the text of the scalar at a location as it was written, without quotes."""
        place = self.values.get(location)
        return place.raw if place else ""


def read_documents(text: str, file: str) -> Iterator[Document]:
    """Yield the documents of a text; one that cannot be parsed has a fault and no value.

    They are parsed apart, so that a fault in one does not hide those of the next.
    """
    lines = text.splitlines(keepends=True)
    starts = [i for i, line in enumerate(lines) if re.match(r"---(\s|$)", line)]
    for first, last in zip([0, *starts], [*starts, len(lines)], strict=True):
        chunk = lines[first:last]
        if any(line.strip() and line[0] not in "#%" for line in chunk):
            yield _read("".join(chunk), file, first)


def _read(text: str, file: str, offset: int) -> Document:
    document = Document(file, Place(offset + 1, 1))
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        message = _syntax(error, text.splitlines()[line] if mark and line < _lines(text) else "")
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
            document.start = Place(offset + node.start_mark.line + 1, node.start_mark.column + 1)
            document.value = _Builder(document, offset).build(node, ())
    return document


def _lines(text: str) -> int:
    return len(text.splitlines())


def _syntax(error: yaml.MarkedYAMLError, line: str) -> str:
    """Say what is wrong with the text, with the usual cause."""
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem or line.lstrip(" ").startswith("\t"):
        return "a tab: YAML is indented with spaces"
    if re.search(r"/[^\s\"']*\{", line) or "got '{'" in problem or "got '}'" in problem:
        return f'not YAML: {problem}; a value with braces is quoted: path: "/reports/{{customer}}"'
    if "mapping values are not allowed" in problem:
        return 'not YAML: a second ":" on a line; quote a value that holds ": " or begin a new line'
    if "cannot start any token" in problem:
        return f"not YAML: {problem}; quote the value"
    if "found '<scalar>'" in problem:
        return f"not YAML: {problem}; quote the whole value"
    if "end of stream" in problem or "stream end" in problem:
        return "not YAML: a bracket or a quote is never closed"
    return f"not YAML: {problem}"


@dataclass(slots=True)
class _Builder:
    """Makes plain values of nodes and notes where each is."""

    document: Document
    offset: int
    count: int = 0
    open: set[int] = field(default_factory=set)

    def _at(self, node: yaml.Node, raw: str = "") -> Place:
        return Place(self.offset + node.start_mark.line + 1, node.start_mark.column + 1, raw)

    def _fault(self, location: Location, message: str, place: Place) -> None:
        self.document.faults.append(
            Fault(location, message, self.document.file, place.line, place.column)
        )

    def build(self, node: yaml.Node, location: Location) -> Any:
        """Return the value of a node; what cannot be a value is a fault and becomes None."""
        place = self._at(node, node.value if isinstance(node, yaml.ScalarNode) else "")
        self.document.values[location] = place
        self.count += 1
        if id(node) in self.open:
            return self._fault(location, "an alias that holds itself", place)
        if self.count > MAX_VALUES:
            if self.count == MAX_VALUES + 1:
                self._fault((), f"has more than {MAX_VALUES} values", place)
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node, location)
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
                return [self.build(item, (*location, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, location, place)
        finally:
            self.open.discard(id(node))
        return self._fault(location, f"the tag {_tag(node)} means nothing here", place)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        written: dict[str, Place] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            place = self._at(key_node)
            if key_node.tag == _TAG + "merge":
                several = isinstance(value_node, yaml.SequenceNode)
                merged += value_node.value if several else [value_node]
                continue
            key = self._key(key_node, location, place)
            if key is None:
                continue
            if key in written:
                where = f"line {written[key].line}"
                self._fault((*location, key), f"is there twice; first in {where}", place)
                continue
            written[key] = self.document.keys[*location, key] = place
            result[key] = self.build(value_node, (*location, key))
        for source in merged:
            self._merge(source, location, result)
        return result

    def _merge(self, source: yaml.Node, location: Location, into: dict[str, Any]) -> None:
        """Take what a `<<` brings, as far as it is not written in the mapping itself."""
        if not isinstance(source, yaml.MappingNode):
            return self._fault(location, '"<<" takes a mapping', self._at(source))
        if id(source) in self.open:
            return self._fault(location, "an alias that holds itself", self._at(source))
        wanted = [(k, v) for k, v in source.value if k.value not in into]
        part = yaml.MappingNode(source.tag, wanted, source.start_mark, source.end_mark)
        self.open.add(id(source))
        into.update(self._mapping(part, location))
        self.open.discard(id(source))
        return None

    def _key(self, node: yaml.Node, location: Location, place: Place) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(location, "a key is text, no list and no mapping", place)
            return None
        key = str(node.value)
        if node.style is None and key in _WORDS:
            self._fault((*location, key), _word(key, "key"), place)
        elif node.tag != _TAG + "str":
            self._fault((*location, key), f'a key is text: write "{key}"', place)
        return key

    def _scalar(self, node: yaml.ScalarNode, location: Location, place: Place) -> Any:
        text = str(node.value)
        if node.tag == _TAG + "str":
            if node.style is None and text in _WORDS:
                self._fault(location, _word(text, "value"), place)
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
                return self._fault(location, f"JSON has no number such as {text}", place)
        except ValueError:
            pass
        return self._fault(location, f'{_tag(node)} does not fit "{text[:40]}"', place)


def _tag(node: yaml.Node) -> str:
    return str(node.tag).replace(_TAG, "!!")


def _word(word: str, kind: str) -> str:
    truth = "true" if word.lower() in ("y", "yes", "on") else "false"
    instead = f'"{word}" in quotes' + ("" if kind == "key" else f", or {truth}")
    return f"{word} is {truth} to some YAML parsers and text to others; write {instead}"


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)  # 0644, as Kubernetes reads it
    return sign * int(digits, 0)
