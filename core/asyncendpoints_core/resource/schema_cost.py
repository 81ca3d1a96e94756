"""What a JSON Schema may cost to validate, measured before it is used.

A short schema can make a validator work exponentially: references that each lead to two more. The
measure here unfolds references the way a validator does, so that such a schema is refused when it
is written instead of stopping a gateway when a client sends the body that shows it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

MAX_IN_PLACE: Final = 2_000
"""Subschemas one value may meet through references and combinators."""
MAX_UNFOLDED: Final = 100_000
"""Subschemas in all, with every reference replaced by what it leads to."""

_MAX_CHAIN: Final = 400  # references and levels in a row; beyond it the measure is "too much"

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
    """How much a validator does: see MAX_IN_PLACE and MAX_UNFOLDED, at which counting stops.

    `references` counts those a validator may follow, and `recursive` tells whether one of them
    leads back to where it stands. Validation stays linear then (results are remembered), but
    telling where a value fails does not: see `traceable_depth`.
    """

    in_place: int
    unfolded: int
    references: int
    recursive: bool

    @property
    def too_high(self) -> bool:
        """Whether the schema is to be refused."""
        return self.in_place > MAX_IN_PLACE or self.unfolded > MAX_UNFOLDED

    @property
    def traceable_depth(self) -> int:
        """How deep a body may nest for its faults to be found in well under a second.

        Finding them in a recursive schema takes time in the order of (references + ½) ^ depth.
        """
        if not self.recursive or self.references < 2:
            return 1_000
        depth, work = 0, 1.0
        while work < 20_000:
            depth, work = depth + 1, work * (self.references + 0.5)
        return depth


def measure(schema: Mapping[str, Any]) -> Cost:
    """Return what validating against `schema`, which passed the meta-schema, may cost."""
    walk = _Walk(schema)
    try:
        in_place, unfolded = walk.cost(schema, 0)
    except _TooLong:
        in_place, unfolded = MAX_IN_PLACE + 1, MAX_UNFOLDED + 1
    return Cost(in_place, unfolded, walk.references, walk.recursive)


class _TooLong(Exception):
    """A chain of references and levels is longer than _MAX_CHAIN."""


@dataclass(slots=True)
class _Walk:
    """One walk over a schema; the costs of each mapping are kept by its identity."""

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
        # The dearest value may be one further down, so the larger of the two stands for the node.
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
    """Return what a `$ref` leads to inside its own document, None if it leads out or nowhere."""
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
