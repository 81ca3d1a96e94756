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
    changes = Changes()
    metadata = {key: value for key, value in code["metadata"].items()}
    for name, part in (("metadata", metadata), ("spec", {})):
        if not isinstance(into.get(name), dict):
            into[name] = made(dict(part))
            changes.changed.append(name)
    for key, value in metadata.items():
        _set(into["metadata"], key, value, ("metadata", key), made, changes)
    spec = into["spec"]
    routes = code["spec"]["routes"]
    if not isinstance(spec.get("routes"), list):
        spec["routes"] = made([_written(route) for route in routes])
        changes.changed.append("spec.routes")
    else:
        merge_routes(spec["routes"], routes, made, changes, prune=prune)
    rest = {key: value for key, value in code["spec"].items() if key != "routes"}
    _merge_record(spec, rest, EndpointSpec, ("spec",), made, changes)
    return changes


def _merge_record(
    into: MutableMapping[str, Any],
    code: Mapping[str, Any],
    record: type[Record],
    at: Location,
    made: Callable[[Any], Any],
    changes: Changes,
) -> None:
    for key, value in code.items():
        found = field_of(record, key)
        below = (
            None
            if found is None or is_list(found[1].annotation)
            else record_in(found[1].annotation)
        )
        present = into.get(key)
        if below is not None and isinstance(value, dict) and isinstance(present, dict):
            _merge_record(present, value, below, (*at, key), made, changes)
        else:
            _set(into, key, value, (*at, key), made, changes)


def merge_routes(
    into: list[Any],
    code: Iterable[Mapping[str, Any]],
    made: Callable[[Any], Any],
    changes: Changes,
    *,
    prune: bool = False,
) -> None:
    """Write routes into those of a document, found by their path; new ones are appended."""
    wanted = {route["path"]: route for route in code}
    for index in reversed(range(len(into))):
        present = into[index]
        path = present.get("path") if isinstance(present, dict) else None
        if path not in wanted:
            changes.stale.insert(0, f"spec.routes[{index}] ({path})")
            if prune:
                del into[index]
                changes.changed.append(f"spec.routes[{index}]")
            continue
        _merge_route(present, wanted.pop(path), ("spec", "routes", index), made, changes)
    for route in wanted.values():
        into.append(made(_written(route)))
        changes.changed.append(f"spec.routes[{len(into) - 1}]")


def _merge_route(
    into: MutableMapping[str, Any],
    route: Mapping[str, Any],
    at: Location,
    made: Callable[[Any], Any],
    changes: Changes,
) -> None:
    for key in dict.fromkeys((*_OWNED, *route)):
        if key == "path" or (key == "methods" and route[key] == into.get(key, _DEFAULT_METHODS)):
            continue
        if key in route:
            _set(into, key, route[key], (*at, key), made, changes)
        elif key in into:
            del into[key]
            changes.changed.append(format_path((*at, key)))


def _written(route: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route without the methods that it has by default."""
    drop = route.get("methods") == _DEFAULT_METHODS
    return {key: value for key, value in route.items() if not (drop and key == "methods")}


def _set(
    into: MutableMapping[str, Any],
    key: str,
    value: Any,
    at: Location,
    made: Callable[[Any], Any],
    changes: Changes,
) -> None:
    if key not in into or into[key] != value:
        into[key] = made(value)
        changes.changed.append(format_path(at))
