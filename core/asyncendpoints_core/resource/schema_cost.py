"""Estimates the cost of validating with a JSON Schema, before the schema is used.

A short schema can make a validator work exponentially: references that each lead to two more. The
estimate follows references the way a validator does, so that such a schema is rejected when it is
submitted, instead of blocking a gateway when a client sends a matching body.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

MAX_IN_PLACE: Final = 2_000
"""Subschemas that apply to one value through references and combinators."""
MAX_UNFOLDED: Final = 100_000
"""Subschemas in total, with every reference replaced by its target."""

_MAX_CHAIN: Final = 400  # nested references and levels; a deeper schema is too expensive

_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE: Final = ("not", "if", "then", "else")
_BELOW: Final = (
    "additionalProperties",
    "contains",
    "items",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_BELOW_MAPS: Final = ("patternProperties", "properties")


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of validation; counting stops at MAX_IN_PLACE and MAX_UNFOLDED.

    `references` is the number that a validator may follow, `recursive` whether one of them is
    recursive. Validation remains linear then (results are cached), but locating errors does not:
    see `traceable_depth`.
    """

    in_place: int
    unfolded: int
    references: int
    recursive: bool

    @property
    def too_high(self) -> bool:
        """Whether the schema must be rejected."""
        return self.in_place > MAX_IN_PLACE or self.unfolded > MAX_UNFOLDED

    @property
    def traceable_depth(self) -> int:
        """The nesting depth of a body up to which errors are located in well under a second.

        With a recursive schema this takes time in the order of (references + ½) ^ depth.
        """
        if not self.recursive or self.references < 2:
            return 1_000
        depth, work = 0, 1.0
        while work < 20_000:
            depth, work = depth + 1, work * (self.references + 0.5)
        return depth


def measure(schema: Mapping[str, Any]) -> Cost:
    """Return the cost of validating with `schema`, which must conform to the meta-schema."""
    walk = _Walk(schema)
    try:
        in_place, unfolded = walk.cost(schema, 0)
    except _TooLong:
        in_place, unfolded = MAX_IN_PLACE + 1, MAX_UNFOLDED + 1
    return Cost(in_place, unfolded, walk.references, walk.recursive)


class _TooLong(Exception):
    """References and levels are nested deeper than _MAX_CHAIN."""


@dataclass(slots=True)
class _Walk:
    """One walk over a schema; the costs of each mapping are cached by its identity."""

    root: Mapping[str, Any]
    references: int = 0
    recursive: bool = False
    known: dict[int, tuple[int, int]] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def cost(self, node: object, depth: int) -> tuple[int, int]:
        """Return (in place, unfolded) of one subschema."""
        if not isinstance(node, Mapping):
            return 1, 1
        key = id(node)
        if key in self.open:
            self.recursive = True
            return 1, 1
        if key in self.known:
            return self.known[key]
        if depth > _MAX_CHAIN:
            raise _TooLong
        self.open.add(key)
        in_place = unfolded = 1
        most_below = 0
        for child in self._in_place(node):
            beside, whole = self.cost(child, depth + 1)
            in_place, unfolded = in_place + beside, unfolded + whole
        for child in _below(node):
            beside, whole = self.cost(child, depth + 1)
            most_below, unfolded = max(most_below, beside), unfolded + whole
        self.open.discard(key)
        # The most expensive value may be further down, so the node counts as the larger of both.
        found = (
            min(max(in_place, most_below), MAX_IN_PLACE + 1),
            min(unfolded, MAX_UNFOLDED + 1),
        )
        self.known[key] = found
        return found

    def _in_place(self, node: Mapping[str, Any]) -> Iterator[object]:
        for keyword in _IN_PLACE_LISTS:
            yield from node.get(keyword, ())
        for keyword in _IN_PLACE:
            if keyword in node:
                yield node[keyword]
        yield from node.get("dependentSchemas", {}).values()
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in node:
                self.references += 1
                yield lookup(self.root, node[keyword])


def _below(node: Mapping[str, Any]) -> Iterator[object]:
    for keyword in _BELOW:
        if keyword in node:
            yield node[keyword]
    for keyword in _BELOW_MAPS:
        yield from node.get(keyword, {}).values()
    yield from node.get("prefixItems", ())


def lookup(root: Mapping[str, Any], reference: str) -> object | None:
    """Return the target of a `$ref` within its document, None if there is none."""
    base, _, fragment = reference.partition("#")
    if base not in ("", root.get("$id")):
        return None
    fragment = unquote(fragment)
    if fragment and not fragment.startswith("/"):
        return _anchored(root, fragment)
    target: object = root
    for step in fragment.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping):
            target = target.get(name)
        elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            return None
    return target


def _anchored(node: object, name: str) -> object:
    """Return the subschema with the anchor `name`, or None."""
    if isinstance(node, Mapping):
        if name in (node.get("$anchor"), node.get("$dynamicAnchor")):
            return node
        children: Iterator[object] = iter(node.values())
    elif isinstance(node, list):
        children = iter(node)
    else:
        return None
    return next((found for child in children if (found := _anchored(child, name))), None)
