"""Merges the resource of an Endpoint into a document: the code's fields win, the rest stays.

Works on plain dictionaries and on those of ruamel.yaml, which keep comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.faults import Location, format_path
from asyncendpoints_core.resource import EndpointSpec
from asyncendpoints_core.resource.fields import field_of, is_list, record_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

    from asyncendpoints_core.resource.base import Record

_OWNED: Final = ("methods", "job", "schema", "result")
_DEFAULT_METHODS: Final = ["POST"]


@dataclass(slots=True)
class Changes:
    """What a merge changed, and the routes that no function has, as paths in the document."""

    changed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def merge(
    into: MutableMapping[str, Any],
    code: Mapping[str, Any],
    made: Callable[[Any], Any],
    *,
    prune: bool = False,
) -> Changes:
    """Write the resource `code` into `into`; `made` makes a value what `into` holds."""
    merging = _Merge(made, prune)
    merging.resource(into, code)
    return merging.changes


class _Merge:
    """One merge of a resource."""

    def __init__(self, made: Callable[[Any], Any], prune: bool) -> None:
        self._made = made
        self._prune = prune
        self.changes = Changes()

    def resource(self, into: MutableMapping[str, Any], code: Mapping[str, Any]) -> None:
        """Write a resource."""
        for name, part in (("metadata", code["metadata"]), ("spec", {})):
            if not isinstance(into.get(name), dict):
                self._write(into, name, dict(part), (name,))
        for key, value in code["metadata"].items():
            self._set(into["metadata"], key, value, ("metadata", key))
        spec = into["spec"]
        routes = code["spec"]["routes"]
        if isinstance(spec.get("routes"), list):
            self._routes(spec["routes"], routes)
        else:
            self._write(spec, "routes", [_written(route) for route in routes], ("spec", "routes"))
        rest = {key: value for key, value in code["spec"].items() if key != "routes"}
        self._record(spec, rest, EndpointSpec, ("spec",))

    def _record(
        self,
        into: MutableMapping[str, Any],
        code: Mapping[str, Any],
        record: type[Record],
        at: Location,
    ) -> None:
        for key, value in code.items():
            found = field_of(record, key)
            below = None
            if found is not None and not is_list(found[1].annotation):
                below = record_in(found[1].annotation)
            present = into.get(key)
            if below is not None and isinstance(value, dict) and isinstance(present, dict):
                self._record(present, value, below, (*at, key))
            else:
                self._set(into, key, value, (*at, key))

    def _routes(self, into: list[Any], code: Iterable[Mapping[str, Any]]) -> None:
        """Write routes into those of a document, found by their path; new ones are appended."""
        wanted = {route["path"]: route for route in code}
        for index in reversed(range(len(into))):
            present = into[index]
            path = present.get("path") if isinstance(present, dict) else None
            if path in wanted:
                self._route(present, wanted.pop(path), ("spec", "routes", index))
                continue
            self.changes.stale.insert(0, f"spec.routes[{index}] ({path})")
            if self._prune:
                del into[index]
                self.changes.changed.append(f"spec.routes[{index}]")
        for route in wanted.values():
            into.append(self._made(_written(route)))
            self.changes.changed.append(f"spec.routes[{len(into) - 1}]")

    def _route(
        self, into: MutableMapping[str, Any], route: Mapping[str, Any], at: Location
    ) -> None:
        for key in dict.fromkeys((*_OWNED, *route)):
            if key == "path" or (
                key == "methods" and route[key] == into.get(key, _DEFAULT_METHODS)
            ):
                continue
            if key in route:
                self._set(into, key, route[key], (*at, key))
            elif key in into:
                del into[key]
                self.changes.changed.append(format_path((*at, key)))

    def _set(self, into: MutableMapping[str, Any], key: str, value: Any, at: Location) -> None:
        if key not in into or into[key] != value:
            self._write(into, key, value, at)

    def _write(self, into: MutableMapping[str, Any], key: str, value: Any, at: Location) -> None:
        into[key] = self._made(value)
        self.changes.changed.append(format_path(at))


def _written(route: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route without the methods that it has by default."""
    drop = route.get("methods") == _DEFAULT_METHODS
    return {key: value for key, value in route.items() if not (drop and key == "methods")}
