"""JSON Schemas of routes as components of the document, with their references adjusted."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Container

_SAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def unique_name(name: str, taken: Container[str]) -> str:
    """Return `name`, with a number appended if it is taken."""
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique


def hoist(schema: dict[str, Any], name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Add `schema` and each of its `$defs` to `schemas`; return the reference to it.

    A schema with a nested `$id` or an anchor is added as a whole: its references are relative to
    these and would change their meaning.
    """
    schema = copy.deepcopy(schema)
    own = schema.pop("$id", None)
    if isinstance(own, str):
        schema = _without(schema, own)
    reference = {"$ref": f"#/components/schemas/{name}"}
    if _has_id(schema):
        schemas[name] = schema
        return reference
    definitions = schema.pop("$defs", {})
    names: dict[str, str] = {}
    for key in definitions:
        names[key] = unique_name(f"{name}.{_SAFE.sub('_', key)}", {*schemas, *names.values(), name})
    schemas[name] = _moved(schema, name, names)
    for key, definition in definitions.items():
        schemas[names[key]] = _moved(definition, name, names)
    return reference


def _without(node: Any, own: str) -> Any:
    """Return a schema that refers to itself as `#`, not by its own `$id`."""
    if isinstance(node, list):
        return [_without(child, own) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: "#" + child.partition("#")[2]
        if key == "$ref" and isinstance(child, str) and child.partition("#")[0] == own
        else _without(child, own)
        for key, child in node.items()
    }


def _has_id(node: Any) -> bool:
    if isinstance(node, dict):
        special = any(key in node for key in ("$id", "$anchor", "$dynamicAnchor", "$dynamicRef"))
        return special or any(_has_id(child) for child in node.values())
    return isinstance(node, list) and any(_has_id(child) for child in node)


# Below these, a key that looks like a keyword is the name of a property, or plain data.
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
_DATA: Final = frozenset({"const", "enum", "default", "examples"})


def _moved(node: Any, name: str, names: dict[str, str]) -> Any:
    """Return a schema whose references point to the new locations of their targets."""
    if isinstance(node, list):
        return [_moved(child, name, names) for child in node]
    if not isinstance(node, dict):
        return node
    moved: dict[str, Any] = {}
    for key, child in node.items():
        if key == "$ref" and isinstance(child, str) and child.startswith("#"):
            moved[key] = _target(child, name, names)
        elif key == "discriminator" and isinstance(child, dict):
            moved[key] = _discriminator(child, name, names)
        elif key == "$schema":
            continue  # the document names the dialect
        elif key in _NAMED and isinstance(child, dict):
            moved[key] = {each: _moved(below, name, names) for each, below in child.items()}
        elif key in _DATA:
            moved[key] = child
        else:
            moved[key] = _moved(child, name, names)
    return moved


def _discriminator(found: dict[str, Any], name: str, names: dict[str, str]) -> dict[str, Any]:
    """Return OpenAPI's discriminator whose mapping points to the new locations."""
    mapping = found.get("mapping")
    if not isinstance(mapping, dict):
        return found
    moved = {
        value: _target(target, name, names)
        if isinstance(target, str) and target.startswith("#")
        else target
        for value, target in mapping.items()
    }
    return {**found, "mapping": moved}


def _target(reference: str, name: str, names: dict[str, str]) -> str:
    here = f"#/components/schemas/{name}"
    plain = unquote(reference)
    for key, component in names.items():
        old = "#/$defs/" + key.replace("~", "~0").replace("/", "~1")
        if plain == old or plain.startswith(old + "/"):
            rest = quote(plain[len(old) :], safe="/~")
            return f"#/components/schemas/{component}{rest}"
    return here + reference[1:]
