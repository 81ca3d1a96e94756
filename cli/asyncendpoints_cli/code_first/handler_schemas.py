"""Compares the schemas of hand-written files with the annotations of the handlers they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncendpoints_cli.code_first.yaml_file import YamlFile, styled
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.job_names import without_handler
from asyncendpoints_worker.code_first.schemas import Described, body_schema, result_of
from asyncendpoints_worker.handlers import modules
from asyncendpoints_worker.handlers.signature import hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping

    from asyncendpoints_core.common.faults import Fault
    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.resource import Route
    from asyncendpoints_worker.handlers.registry import Declaration, Registry


@dataclass(frozen=True, slots=True)
class Difference:
    """A route whose schemas are not those of its handler's annotations."""

    index: int
    body: dict[str, Any] | None
    result: Described | None


def compare(loaded: Loaded) -> tuple[list[Fault], list[Difference]]:
    """Return jobs without a handler, and the routes with other schemas than their handlers.

    Raises UsageError if the handlers cannot be imported or an annotation has no schema.
    """
    module = loaded.endpoint.spec.worker.handlers
    if module is None:
        return [], []
    registry = modules.load([module], [loaded.folder])
    missing = without_handler(loaded.endpoint.spec, registry.handlers)
    faults = [loaded.fault(*found) for found in missing]
    differences = []
    for index, route in enumerate(loaded.endpoint.spec.routes):
        declared = registry.handlers.get(route.job)
        if declared is not None and (found := _difference(index, route, declared)) is not None:
            differences.append(found)
            faults += _faults(loaded, found, registry, route)
    return sorted(faults, key=lambda fault: fault.line), differences


def _difference(index: int, route: Route, declared: Declaration) -> Difference | None:
    try:
        body_hint, result_hint = hints(declared.function)
        body = body_schema(body_hint)
        result = result_of(result_hint, by_alias=declared.by_annotation)
    except UsageError as error:
        raise UsageError(f'handler "{declared.name}" ({declared.location}): {error}') from error
    if body == route.schema_:
        body = None
    if result is not None and route.result is not None:
        content_type = result.content_type or "application/json"
        if (result.schema, content_type) == (route.result.schema_, route.result.content_type):
            result = None
    return Difference(index, body, result) if body is not None or result is not None else None


def _faults(loaded: Loaded, found: Difference, registry: Registry, route: Route) -> Iterator[Fault]:
    where = registry.handlers[route.job].location
    for name, value in (("schema", found.body), ("result", found.result)):
        if value is not None:
            message = f"is not that of the annotation at {where}; --fix writes it"
            yield loaded.fault(("spec", "routes", found.index, name), message)


def fix(loaded: Loaded, differences: Iterable[Difference]) -> None:
    """Write the schemas of the annotations into the file. Raises UsageError, OSError."""
    file = YamlFile.read(loaded.file)
    routes = file.document(loaded.endpoint.name)["spec"]["routes"]
    for each in differences:
        route: MutableMapping[str, Any] = routes[each.index]
        if each.body is not None:
            route["schema"] = styled(each.body)
        if each.result is not None:
            _write_result(route, each.result)
    loaded.file.write_text(file.text(), encoding="utf-8")


def _write_result(route: MutableMapping[str, Any], result: Described) -> None:
    into = route.setdefault("result", styled({}))
    for name, value in (("contentType", result.content_type), ("schema", result.schema)):
        if value:
            into[name] = styled(value)
        else:
            into.pop(name, None)
