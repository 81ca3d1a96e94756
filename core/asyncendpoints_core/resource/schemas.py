"""Parsing request bodies as strict JSON, and validating them against a route's JSON Schema.

Schemas are Draft 2020-12, and the formats that it defines are checked. Remote references are never
fetched, patterns match in linear time, and validation messages are derived from the schema, never
from the submitted values.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

import msgspec

from asyncendpoints_core.errors import MalformedBody, SchemaError
from asyncendpoints_core.resource.schema_cost import lookup, measure

if TYPE_CHECKING:
    import jsonschema_rs  # noqa: TC004 - imported where a schema is

MAX_JSON_DEPTH: Final = 100
"""Nested arrays and objects in a body."""
MAX_SCHEMA_BYTES: Final = 65_536
"""A schema as compact JSON."""
MAX_SCHEMA_DEPTH: Final = 32
"""Nested mappings and lists in a schema."""
MAX_ERRORS: Final = 20
"""Errors reported for one body."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# Values in a body times subschemas for each; beyond it only the first error is reported, since the
# validator makes all errors before the first can be read.
_MANY_NODES: Final = 5_000
_TEXT: Final = 80  # characters of a name or an option that are quoted in a message

Pointer = tuple[str | int, ...]


BYTE_ORDER_MARK: Final = (
    "the body is not JSON: it starts with a byte order mark, which RFC 8259 §8.1 does not allow"
)


def parse_json(data: bytes | bytearray | memoryview) -> object:
    """Parse one JSON text (RFC 8259) strictly; of duplicate names in an object the last counts.

    Raises MalformedBody for anything that is not UTF-8, nests deeper than 100, contains NaN,
    Infinity, a lone surrogate or a number beyond a double or 4,300 digits, or has trailing text.
    """
    try:
        value = msgspec.json.decode(data)
    except UnicodeDecodeError:
        raise MalformedBody(_byte_order_mark(data) or "the body is not UTF-8") from None
    except RecursionError:
        raise MalformedBody(f"the body nests deeper than {MAX_JSON_DEPTH} levels") from None
    except msgspec.ValidationError:
        raise MalformedBody("the body has a number out of range") from None
    except msgspec.DecodeError as error:
        # The library's message has only a description and a position, nothing of the body.
        raise MalformedBody(_byte_order_mark(data) or f"the body is not JSON: {error}") from None
    raw = bytes(data) if isinstance(data, memoryview) else data
    # Counting brackets is enough for nearly every body and avoids walking its values.
    if raw.count(b"[") + raw.count(b"{") > MAX_JSON_DEPTH and _deeper_than(value, MAX_JSON_DEPTH):
        raise MalformedBody(f"the body nests deeper than {MAX_JSON_DEPTH} levels")
    return value


def _byte_order_mark(data: bytes | bytearray | memoryview) -> str:
    """Return what is wrong with a body that starts with a byte order mark, "" for others."""
    start = bytes(data[:3])
    if start == codecs.BOM_UTF8:
        return BYTE_ORDER_MARK
    if start.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return "the body is not JSON: it is UTF-16, not UTF-8"
    return ""


def _deeper_than(value: object, limit: int) -> bool:
    """Whether arrays and objects nest deeper than `limit`, checked level by level."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return bool(level)


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A valid, compiled schema. It must not be changed.

    `weight`: how many subschemas apply to one value at most.
    """

    schema: Mapping[str, Any]
    validator: jsonschema_rs.Draft202012Validator
    traceable_depth: int
    weight: int


def compile_schema(schema: Mapping[str, Any]) -> CompiledSchema:
    """Check and compile a schema; raises SchemaError with all faults."""
    # The parts of the meta-schema report the same for a value that is not a schema at all.
    faults = list(_limit_faults(schema)) or list(dict.fromkeys(_meta_faults(schema)))
    if faults:
        raise SchemaError(faults)
    import jsonschema_rs  # 3 MB, which no process without a schema needs

    plain = dict(schema)
    try:
        validator = jsonschema_rs.Draft202012Validator(
            plain,
            retriever=_refuse_remote,
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=True,
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(_compile_faults(plain, error)) from None
    cost = measure(plain)
    if cost.too_high:
        raise SchemaError(
            [((), "too expensive: nested references and combinators multiply the subschemas")]
        )
    return CompiledSchema(plain, validator, cost.traceable_depth, cost.in_place)


def is_valid(compiled: CompiledSchema, instance: object) -> bool:
    """Return whether `instance` matches the schema."""
    return compiled.validator.is_valid(instance)


def validate(compiled: CompiledSchema, instance: object) -> list[tuple[str, str]]:
    """Return the errors of `instance` as (JSON pointer such as `#/a/0`, detail); [] if valid.

    At most 20 errors, and only the first for a body with very many values, to bound the cost.
    Details are derived from the schema; of the body they quote only names of unexpected properties,
    shortened.
    """
    validator = compiled.validator
    if validator.is_valid(instance):
        return []
    if _deeper_than(instance, compiled.traceable_depth):
        return [("#", "does not match the schema, and nests too deep to locate the error")]
    if not nodes_within(instance, _MANY_NODES // compiled.weight):
        import jsonschema_rs

        try:
            validator.validate(instance)
        except jsonschema_rs.ValidationError as error:
            return [(_pointer(error.instance_path), _detail(error))]
    errors = islice(validator.iter_errors(instance), MAX_ERRORS)
    return list(dict.fromkeys((_pointer(e.instance_path), _detail(e)) for e in errors))


def nodes_within(value: object, limit: int) -> bool:
    """Return whether a JSON value contains at most `limit` values, visiting at most that many."""
    stack: list[object] = [value]
    seen = 0
    while stack:
        node = stack.pop()
        seen += 1
        if isinstance(node, dict | list):
            if seen + len(stack) + len(node) > limit:
                return False
            stack.extend(node.values() if isinstance(node, dict) else node)
    return seen <= limit


# The message for each failed keyword, from the keyword's value in the schema.
_DETAILS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "additionalItems": lambda k: f"must have at most {k['limit']} items",
    "additionalProperties": lambda k: f"must not have {_names(k['unexpected'])}",
    "anyOf": lambda _: "must match at least one of the allowed forms",
    "const": lambda k: f"must be {_option(k['expected_value'])}",
    "contains": lambda _: "must contain an item of the required form",
    "contentEncoding": lambda k: f"must be encoded as {k['content_encoding']}",
    "contentMediaType": lambda k: f"must contain {k['content_media_type']}",
    "enum": lambda k: "must be one of " + _list(_option(o) for o in k["options"]),
    "exclusiveMaximum": lambda k: f"must be less than {k['limit']}",
    "exclusiveMinimum": lambda k: f"must be greater than {k['limit']}",
    "falseSchema": lambda _: "is not allowed",
    "format": lambda k: f"must be a valid {k['format']}",
    "maxItems": lambda k: f"must have at most {k['limit']} items",
    "maximum": lambda k: f"must be at most {k['limit']}",
    "maxLength": lambda k: f"must have at most {k['limit']} characters",
    "maxProperties": lambda k: f"must have at most {k['limit']} properties",
    "minItems": lambda k: f"must have at least {k['limit']} items",
    "minimum": lambda k: f"must be at least {k['limit']}",
    "minLength": lambda k: f"must have at least {k['limit']} characters",
    "minProperties": lambda k: f"must have at least {k['limit']} properties",
    "multipleOf": lambda k: f"must be a multiple of {k['multiple_of']}",
    "not": lambda _: "must not have this form",
    "oneOf": lambda _: "must match exactly one of the allowed forms",
    "pattern": lambda k: f"must match the pattern {_short(k['pattern'])}",
    "propertyNames": lambda _: "has a property whose name is not allowed",
    "required": lambda k: f"must have {_names([k['property']])}",
    "type": lambda k: f"must be of type {' or '.join(k['types'])}",
    "unevaluatedItems": lambda _: "has items that are not allowed",
    "unevaluatedProperties": lambda k: f"must not have {_names(k['unexpected'])}",
    "uniqueItems": lambda _: "must not have duplicate items",
}


def _detail(error: jsonschema_rs.ValidationError) -> str:
    describe = _DETAILS.get(error.kind.name)
    return describe(error.kind.as_dict()) if describe else "does not match the schema"


def _short(text: object) -> str:
    plain = str(text)
    return plain if len(plain) <= _TEXT else plain[: _TEXT - 1] + "…"


def _option(value: object) -> str:
    return _short(json.dumps(value, ensure_ascii=False))


def _list(texts: Iterable[str]) -> str:
    shown = list(islice(texts, 11))
    return ", ".join(shown[:10] + ["…"] * (len(shown) > 10))


def _names(names: list[str]) -> str:
    return ("properties " if len(names) > 1 else "property ") + _list(_option(n) for n in names)


def _pointer(path: Iterable[str | int]) -> str:
    """Return the JSON pointer as a URI fragment (RFC 6901 §6)."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "#" + "".join("/" + quote(step, safe="!$&'()*+,;=:@~") for step in steps)


def _refuse_remote(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not in the schema, and remote references are not fetched")


def _limit_faults(schema: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
    """Yield why a schema is too large, too deep or not JSON at all."""
    if _deeper_than(schema, MAX_SCHEMA_DEPTH):
        yield (), f"must nest at most {MAX_SCHEMA_DEPTH} levels"
        return
    try:
        text = json.dumps(schema, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError):
        text, size = "null", 0
    if json.loads(text) != schema:
        yield (), "must be valid JSON: text keys, no dates, no NaN"
    if size > MAX_SCHEMA_BYTES:
        yield (), f"must have at most {MAX_SCHEMA_BYTES} bytes as JSON, but has {size}"


@cache
def _meta_schema() -> jsonschema_rs.Draft202012Validator:
    """Return the validator of schemas, which takes 4 MB and which no process without one needs."""
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator({"$ref": DIALECT}, retriever=_refuse_remote)


def _meta_faults(schema: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
    """Yield every violation of the Draft 2020-12 meta-schema."""
    dialect = schema.get("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
        yield ("$schema",), f'must be Draft 2020-12: write "{DIALECT}", or omit it'
        return
    for error in _meta_schema().iter_errors(dict(schema)):
        path: Pointer = tuple(error.instance_path)
        if path and path[-1] == "type" and error.kind.name == "anyOf":
            yield path, "must be array, boolean, integer, null, number, object or string"
        elif error.kind.name == "format":
            yield path, _NOT_A_PATTERN if path[-1] == "pattern" else _detail(error)
        else:
            yield path, _detail(error)


_NOT_A_PATTERN: Final = (
    "must be a short regular expression without look-around or back-references, so that matching "
    "takes linear time"
)


def _compile_faults(schema: dict[str, Any], error: Exception) -> list[tuple[Pointer, str]]:
    """Return the patterns and references that cannot be compiled."""
    faults: list[tuple[Pointer, str]] = []
    for path, node in _walk(schema, ()):
        patterns = [((*path, "pattern"), node.get("pattern"))]
        groups = node.get("patternProperties")
        if isinstance(groups, dict):
            patterns += [((*path, "patternProperties", key), key) for key in groups]
        faults += [
            (where, _NOT_A_PATTERN)
            for where, pattern in patterns
            if isinstance(pattern, str) and not _pattern_compiles(pattern)
        ]
        for keyword in ("$ref", "$dynamicRef"):
            target = node.get(keyword)
            if isinstance(target, str) and lookup(schema, target) is None:
                faults.append(((*path, keyword), _unresolved(target)))
    return faults or [((), _short(error).splitlines()[0])]


def _unresolved(target: str) -> str:
    if target.startswith("#"):
        return f'"{_short(target)}" does not exist in this schema'
    return f'"{_short(target)}" is a remote reference, which is not fetched; copy it into $defs'


def _pattern_compiles(pattern: str) -> bool:
    import jsonschema_rs

    try:
        jsonschema_rs.Draft202012Validator(
            {"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions()
        )
    except ValueError:
        return False
    return True


def _walk(node: object, path: Pointer) -> Iterator[tuple[Pointer, dict[str, Any]]]:
    """Yield every mapping below a node with its path, including data such as `const`."""
    if isinstance(node, dict):
        yield path, node
        for key, child in node.items():
            yield from _walk(child, (*path, key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _walk(child, (*path, index))
