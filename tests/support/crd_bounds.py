"""Values at the edges of every bounded field of the CRD, each in an otherwise valid resource."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.resource import AsyncEndpoint, cluster_faults
from asyncendpoints_core.resource.base import alias_of
from asyncendpoints_core.resource.pods import PodOptions
from asyncendpoints_operator.crd.definition import crd
from support.resources import MINIMAL, merge

Node = dict[str, Any]

# A valid text for a required field, where `a` is none.
_TEXTS: Final = {
    "add": "A",
    "allow": "https://a",
    "allowOrigins": "https://a",
    "contentType": "text/a",
    "cron": "0 3 * * *",
    "drop": "A",
    "ip": "10.1.2.3",
    "key": "key",
    "mountPath": "/a",
    "path": "/a",
    "workingDir": "/a",
}
# What the rules of a record require beside a field of it: the names of the fields that need
# nothing, and what all others need.
_BESIDE: Final[dict[str, tuple[frozenset[str], Node]]] = {
    "autoscaling": (frozenset({"maxReplicas"}), {"maxReplicas": 1_000}),
    "dnsConfig": (frozenset({"nameservers"}), {"nameservers": ["10.1.2.3"]}),
    "envFrom": (frozenset({"configMapRef", "secretRef"}), {"secretRef": {"name": "a"}}),
    "secrets": (frozenset({"secretRef", "file"}), {"file": "/a"}),
    "volumes": (
        frozenset({"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}),
        {"emptyDir": {}},
    ),
    "webhooks": (frozenset({"url", "urlFrom"}), {"url": "https://a.example"}),
}
# What they require elsewhere in the spec.
_ELSEWHERE: Final[dict[str, Node]] = {
    "maxBytes": {"gateway": {"maxBodyBytes": 0}},
    "terminationGracePeriodSeconds": {"timeouts": {"drainSeconds": 0}},
}
_MOUNTED: Final = {"volumes": [{"name": "a", "emptyDir": {}}]}
_SHARED: Final = frozenset(map(alias_of, PodOptions.model_fields))
_RATED: Final = frozenset({"total", "perJob", "perKey", "keys"})


@dataclass(frozen=True, slots=True)
class Edge:
    """A value at a bound of the field at `path`, or just beyond it, and a resource with it."""

    path: str
    node: Node
    value: Any
    document: Node

    @property
    def accepted(self) -> bool:
        """Whether the model accepts the resource."""
        try:
            return not cluster_faults(AsyncEndpoint.parse(self.document))
        except ValueError:
            return False

    @property
    def within(self) -> bool:
        """Whether the value of a number is within its bounds."""
        return bool(self.node["minimum"] <= self.value <= self.node["maximum"])

    def __str__(self) -> str:
        shown = self.value if isinstance(self.value, int | float) else len(self.value)
        return f"{self.path}: {self.node['type']} {shown}"


def edges() -> list[Edge]:
    """Return the edges of every number, text and list of the spec that has bounds.

    Of the fields that gateway and worker share, those of the worker.
    """
    spec = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return [
        Edge(path, node, value, _document(steps, spec, value))
        for path, steps, node in _fields(spec, "spec", ())
        for value in _values(node, next((s for s in reversed(steps) if s != "[]"), ""))
    ]


def _document(steps: tuple[str, ...], spec: Node, value: Any) -> Node:
    """Return a resource that has a value at the end of the steps."""
    found = _around(steps, spec, value, "spec")
    if "volumeMounts" in steps:
        found[steps[0]] |= _MOUNTED
    base = merge(MINIMAL, {"spec": _ELSEWHERE.get(steps[-1], {})})
    return merge(base, {"spec": found})


def _fields(
    node: Node, path: str, steps: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...], Node]]:
    """Yield the path, the names on it ([] for an item) and the schema of every field."""
    yield path, steps, node
    for name, child in node.get("properties", {}).items():
        if steps != ("gateway",) or name not in _SHARED:
            yield from _fields(child, f"{path}.{name}", (*steps, name))
    if "items" in node:
        yield from _fields(node["items"], f"{path}[]", (*steps, "[]"))


def _values(node: Node, name: str) -> list[Any]:
    """Return the values at the bounds of a field, those just beyond, and what rounding may pass."""
    kind = node.get("type")
    if kind in {"integer", "number"}:
        low, high = node["minimum"], node["maximum"]
        numbers = {low, high, low - 1, high + 1, 0, int(low)}
        return sorted(numbers | ({low / 2, high + 0.5} if kind == "number" else set()))
    if kind == "string" and "maxLength" in node:
        text, most = _text(name), node["maxLength"]
        return ["", *(text + "a" * (size - len(text)) for size in (most, most + 1))]
    if kind == "array":
        most = node["maxItems"]
        return [[], *([_item(node, name, i) for i in range(size)] for size in (most, most + 1))]
    return []


def _text(name: str) -> str:
    return _TEXTS.get(name, "a")


def _item(node: Node, name: str, index: int) -> Any:
    """Return an item of a list that differs from those of other indexes."""
    item = _sample(node["items"], name)
    for key in node.get("x-kubernetes-list-map-keys", ()):
        item[key] = f"{item[key]}{index}"
    return f"{item}{index}" if isinstance(item, str) else item


def _sample(node: Node, name: str) -> Any:
    """Return the smallest valid value of a field."""
    match node.get("type"):
        case "string":
            return node["enum"][0] if "enum" in node else _text(name)
        case "integer" | "number":
            return node["maximum"]
        case "array":
            return [_sample(node["items"], name)]
        case _:
            return _beside(node, name, "")


def _beside(node: Node, name: str, child: str) -> Node:
    """Return what an object needs beside a field."""
    alone, needed = _BESIDE.get(name, (frozenset({child}), {}))
    found = {} if child in alone else dict(needed)
    if name in _RATED and child == "burst":
        found["ratePerSecond"] = 1
    required = (one for one in node.get("required", ()) if one != child)
    return found | {one: _sample(node["properties"][one], one) for one in required}


def _around(steps: tuple[str, ...], node: Node, value: Any, name: str) -> Any:
    """Return the smallest object that has a value at the end of the steps."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == "[]":
        return [_around(rest, node["items"], value, name)]
    below = node["properties"][step]
    if name == "spec":  # merged over the smallest resource
        return {step: _around(rest, below, value, step)}
    found = _beside(node, name, step) | {step: _around(rest, below, value, step)}
    if name == "worker":
        found.pop("image", None)
        if step == "http":
            found["handlers"] = None
    return found
