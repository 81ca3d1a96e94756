"""A sample body for a route's schema: made from the schema, and checked against it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.resource.schema_cost import lookup
from asyncendpoints_core.resource.schemas import validate
from asyncendpoints_gateway.openapi.pattern_sample import matching_text

if TYPE_CHECKING:
    from asyncendpoints_core.resource.schemas import CompiledSchema

_MAX_VALUES: Final = 300
_MAX_DEPTH: Final = 12
_DEPTH_OF_OPTIONAL: Final = 4  # deeper, only required properties are included

_FORMATS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1H",
    "email": "name@example.com",
    "hostname": "example.com",
    "idn-email": "name@example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "iri": "https://example.com/",
    "iri-reference": "/path",
    "json-pointer": "/name",
    "regex": ".*",
    "relative-json-pointer": "0",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uri-template": "/{name}",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_KINDS: Final = {
    "object": ("properties", "required", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "contains"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def sample(compiled: CompiledSchema) -> Any:
    """Return a value that the schema accepts, or msgspec.UNSET if none was found."""
    for given, optional, choice in product((True, False), (True, False), range(3)):
        try:
            value = _Builder(compiled.schema, given, optional, choice).value(compiled.schema, 0)
        except (ValueError, OverflowError):
            continue
        if not validate(compiled, value):
            return value
    return msgspec.UNSET


class _Builder:
    """Builds one candidate. `given`: use examples and defaults; `optional`: include properties that
    are not required; `choice`: which alternative of anyOf and oneOf.
    """

    def __init__(self, root: Mapping[str, Any], given: bool, optional: bool, choice: int) -> None:
        self._root = root
        self._given = given
        self._optional = optional
        self._choice = choice
        self._values = 0

    def value(self, schema: Any, depth: int, index: int = 0) -> Any:
        """Return a value; items of an array differ by `index`."""
        self._values += 1
        if self._values > _MAX_VALUES or depth > _MAX_DEPTH:
            raise ValueError("the sample becomes too large")
        schema = self._merged(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][index % len(schema["enum"])]
        if self._given and index == 0:
            if isinstance(schema.get("examples"), list) and schema["examples"]:
                return schema["examples"][0]
            for key in ("example", "default"):
                if key in schema:
                    return schema[key]
        return self._of_kind(_kind(schema), schema, depth, index)

    def _of_kind(self, kind: str, schema: dict[str, Any], depth: int, index: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _string(schema, index)
        if kind in ("integer", "number"):
            step: float = schema.get("multipleOf", 1)
            return _number(schema, whole=kind == "integer") + index * step
        return {"boolean": index % 2 == 0, "null": None}[kind]

    def _merged(self, schema: Any, depth: int) -> dict[str, Any]:
        """Return a schema with what it refers to, and with one of its alternatives."""
        if not isinstance(schema, Mapping):
            return {}
        parts: list[Any] = [{k: v for k, v in schema.items() if k not in _COMBINED}]
        reference = schema.get("$ref")
        if isinstance(reference, str):
            parts.append(lookup(dict(self._root), reference))
        parts += schema.get("allOf", ())
        for keyword in ("anyOf", "oneOf"):
            if options := schema.get(keyword):
                parts.append(options[self._choice % len(options)])
        if len(parts) == 1:
            return dict(parts[0])
        merged: dict[str, Any] = {}
        for position, part in enumerate(parts):
            if position and depth > _MAX_DEPTH:
                raise ValueError("the schema refers to itself")
            _merge(merged, self._merged(part, depth + 1) if position else part)
        return merged

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        known = schema.get("properties", {})
        required = list(schema.get("required", ()))
        wanted = dict.fromkeys(required)
        if self._optional and depth < _DEPTH_OF_OPTIONAL:
            allowed = [name for name, part in known.items() if part is not False]
            wanted = dict.fromkeys([*allowed, *required])
        others = schema.get("additionalProperties", True)
        least = schema.get("minProperties", 0)
        spare = [name for name in known if name not in wanted]
        while len(wanted) < least:
            wanted[spare.pop(0) if spare else f"property{len(wanted) + 1}"] = None
        return {name: self.value(known.get(name, others), depth + 1) for name in wanted}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = list(schema.get("prefixItems", ()))
        if "contains" in schema:
            first += [schema["contains"]] * schema.get("minContains", 1)
        items = schema.get("items", True)
        some = 1 if items is not False and self._optional and depth < _DEPTH_OF_OPTIONAL else 0
        count = max(schema.get("minItems", 0), len(first), some)
        count = min(count, schema.get("maxItems", count))
        each = [*first, *[items] * (count - len(first))][:count]
        return [self.value(part, depth + 1, index) for index, part in enumerate(each)]


_COMBINED: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "$defs"})


def _merge(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        if key == "properties" and key in into:
            into[key] = {**into[key], **value}
        elif key == "required" and key in into:
            into[key] = [*into[key], *(name for name in value if name not in into[key])]
        else:
            into.setdefault(key, value)


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the type to build: the first that is named and not null, or what the keywords mean."""
    named = schema.get("type", ())
    types = [named] if isinstance(named, str) else list(named)
    for each in types:
        if each != "null":
            return str(each)
    if types:
        return "null"
    for kind, keywords in _KINDS.items():
        if any(keyword in schema for keyword in keywords):
            return kind
    return "object"


def _string(schema: Mapping[str, Any], index: int) -> str:
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        text = matching_text(schema["pattern"])
        missing = least - len(text) + index
        return matching_text(schema["pattern"], missing) if missing > 0 else text
    text = f"text{index or ''}".ljust(least, "x")
    return text if most is None else text[: int(most)]


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    """Return a number within the bounds: 1 or 0 if possible, else near one of them."""
    step = schema.get("multipleOf", 1 if whole else None)
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    for guess in (1, 0, low, low + 1, (low + high) / 2, high, high - 1):
        if not math.isfinite(guess):
            continue
        count = 0 if step is None else math.floor(guess / step)
        near: tuple[float, ...] = (guess,)
        if step is not None:
            near = tuple(step * (count + more) for more in (0, 1, 2, -1))
        for value in near:
            if _in_bounds(schema, value):
                return int(value) if value == int(value) else value
    raise ValueError("no number is within the bounds")


def _in_bounds(schema: Mapping[str, Any], value: float) -> bool:
    if not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
        return False
    above = schema.get("exclusiveMinimum", -math.inf)
    below = schema.get("exclusiveMaximum", math.inf)
    return bool(above < value < below)
