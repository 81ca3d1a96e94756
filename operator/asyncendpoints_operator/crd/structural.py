"""Converts the JSON Schema of a pydantic model to the structural schema of a CRD. Pure.

Kubernetes rejects $ref, null types and numeric exclusive bounds. It applies defaults field by
field, so the default of an object is `{}`. Below a list there are no defaults, which would be a
difference for clients that compare lists as a whole (kubectl apply, GitOps tools): the operator
fills them in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]
Rules = Mapping[str, Sequence[Mapping[str, str]]]
"""CEL rules, by the name of the record that they validate."""

_KEPT: Final = (
    "type",
    "description",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "anyOf",
    "required",
)
_FORMATS: Final = frozenset({"date-time", "int32", "int64"})
_TYPED: Final = frozenset(
    ("type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
)
_BOUNDS: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def structural(schema: Mapping[str, Any], rules: Rules) -> Schema:
    """Return the structural form of a JSON Schema with `$defs`, and add the CEL rules.

    Raises ValueError for a construct without a structural form.
    """
    return _Structural(schema.get("$defs", {}), rules).convert(schema)


class _Structural:
    """One conversion, with the definitions it resolves and the rules it adds."""

    def __init__(self, definitions: Mapping[str, Any], rules: Rules) -> None:
        self._definitions = definitions
        self._rules = rules

    def convert(self, node: Mapping[str, Any]) -> Schema:
        """Convert one node and everything below it."""
        node = self._resolve(node)
        result: Schema = {key: node[key] for key in _KEPT if key in node}
        if "const" in node:
            result["enum"] = [node["const"]]
        if node.get("format") in _FORMATS:
            result["format"] = node["format"]
        for exclusive, bound in _BOUNDS.items():
            if exclusive in node:
                result |= {bound: node[exclusive], exclusive: True}
        result |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
        if "items" in node:
            result["items"] = _without_defaults(self.convert(node["items"]))
        if isinstance(node.get("additionalProperties"), Mapping):
            result["additionalProperties"] = self.convert(node["additionalProperties"])
        if "properties" in node:
            result["properties"] = {
                name: self.convert(child) for name, child in node["properties"].items()
            }
        if rules := list(_fractional_bounds(result)):
            result["x-kubernetes-validations"] = rules
        if not _TYPED & result.keys():
            raise ValueError(f"no type in {dict(node)}")
        return self._with_default(result, node)

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Inline a `$ref`, or the branch of `anyOf` that is not null.

        Keywords beside it (description, default) take precedence over those of the target.
        """
        if "anyOf" in node and not node.get("x-kubernetes-int-or-string"):
            branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
            if len(branches) != 1:
                raise ValueError(f"more than one type in {dict(node)}")
            node = {**branches[0], **{key: node[key] for key in node if key != "anyOf"}}
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            target = self._resolve(self._definitions[name])
            own = {key: node[key] for key in node if key != "$ref"}
            node = {**target, **own}
            if self._rules.get(name):
                node["x-kubernetes-validations"] = [dict(rule) for rule in self._rules[name]]
        return node

    @staticmethod
    def _with_default(result: Schema, node: Mapping[str, Any]) -> Schema:
        """Add the default unless it is null or an empty text, list or object."""
        default = node.get("default")
        if "properties" in result:
            if default is not None and _has_defaults(result):
                result["default"] = {}
        elif default not in (None, "", [], {}):
            result["default"] = _plain(default)
        return result


def _fractional_bounds(node: Schema) -> Iterator[dict[str, str]]:
    """Yield rules for the bounds of a number that are not whole.

    For a whole value the API server cuts off their fraction: 0 would be at least 0.1.
    """
    for bound, operator, words in (("minimum", ">=", "at least"), ("maximum", "<=", "at most")):
        value = node.get(bound, 0)
        if isinstance(value, float) and not value.is_integer():
            yield {"rule": f"self {operator} {value}", "message": f"must be {words} {value}"}


def _without_defaults(node: Schema) -> Schema:
    """Remove the defaults of a node and of everything below it."""
    walk(node, lambda _, below: below.pop("default", None))
    return node


def _has_defaults(node: Schema) -> bool:
    return any("default" in child for child in node["properties"].values())


def _plain(value: Any) -> Any:
    """Convert whole floats to integers and tuples to lists."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def walk(node: Schema, visit: Callable[[str, Schema], None], path: str = "") -> None:
    """Call `visit(path, node)` for every node of a structural schema, parents first."""
    visit(path, node)
    for name, child in node.get("properties", {}).items():
        walk(child, visit, f"{path}.{name}")
    if "items" in node:
        walk(node["items"], visit, f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        walk(node["additionalProperties"], visit, f"{path}{{}}")
