"""The resource that an Endpoint in code describes, and its faults with the lines of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.loader import check
from asyncendpoints_core.manifest.yaml_reader import Document, Position
from asyncendpoints_core.resource import API_VERSION, KIND, AsyncEndpoint, EndpointSpec, Route
from asyncendpoints_core.resource.base import Record
from asyncendpoints_core.resource.fields import field_of, record_in
from asyncendpoints_worker.code_first.schemas import body_schema, result_of
from asyncendpoints_worker.handlers.signature import hints

if TYPE_CHECKING:
    from asyncendpoints_core.common.faults import Fault
    from asyncendpoints_worker.code_first.declared import CodeRoute, Declared


def document_of(endpoint: Declared) -> dict[str, Any]:
    """Return the resource as YAML would say it. Raises UsageError."""
    metadata = {"name": endpoint.name}
    if endpoint.namespace is not None:
        metadata["namespace"] = endpoint.namespace
    spec: dict[str, Any] = {"routes": [route_of(each) for each in endpoint.routes]}
    spec |= named(EndpointSpec, endpoint.spec)
    worker = spec.setdefault("worker", {})
    if isinstance(worker, dict):
        given = worker.setdefault("handlers", endpoint.module)
        if given != endpoint.module:
            raise UsageError(
                f"{endpoint.location}: worker.handlers is {endpoint.module}, the module of this "
                f"Endpoint, not {given}; leave it out"
            )
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def resource_of(endpoint: Declared) -> AsyncEndpoint:
    """Return the checked resource. Raises UsageError with every fault, one a line."""
    if not endpoint.routes:
        raise UsageError(
            f'{endpoint.location}: Endpoint("{endpoint.name}") has no route; write '
            '@ep.post("/path") over a handler'
        )
    found, faults = check(Document(endpoint.location, Position(0, 0), document_of(endpoint)))
    if found is None or faults:
        raise UsageError("\n".join(_rendered(endpoint, fault) for fault in faults))
    return found


def _rendered(endpoint: Declared, fault: Fault) -> str:
    where = fault.location
    if where[:2] == ("spec", "routes") and len(where) > 2 and isinstance(where[2], int):
        location = endpoint.routes[where[2]].declaration.location
        return fault.at(location, 0, 0).render()
    return fault.render()


def route_of(route: CodeRoute) -> dict[str, Any]:
    """Return one route as YAML would say it; UsageError with the handler's location."""
    declared = route.declaration
    options = named(Route, route.options)
    made: dict[str, Any] = {
        "path": route.path,
        "methods": list(route.methods),
        "job": declared.name,
    }
    try:
        body, returned = hints(declared.function)
        schema = None if "schema" in options else body_schema(body)
        result = result_of(returned)
    except UsageError as error:
        raise UsageError(f'handler "{declared.name}" ({declared.location}): {error}') from error
    if schema is not None:
        made["schema"] = schema
    described: dict[str, Any] = {}
    if result is not None and result.schema is not None:
        described["schema"] = result.schema
    if result is not None and result.content_type:
        described["contentType"] = result.content_type
    if given := options.pop("result", None):
        described |= given
    if described:
        made["result"] = described
    return made | {name: value for name, value in options.items() if value is not None}


def named(record: type[Record], value: Any) -> Any:
    """Return values with the names of the resource for those of Python; others stay as they are.

    `max_retries` becomes `maxRetries`; what is unknown is a fault of the resource later.
    """
    if isinstance(value, Record):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, list | tuple):
        return [named(record, each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, each in value.items():
        found = field_of(record, key) or field_of(record, f"{key}_")
        below = None if found is None else record_in(found[1].annotation)
        made[key if found is None else found[0]] = each if below is None else named(below, each)
    return {key: list(each) if isinstance(each, tuple) else each for key, each in made.items()}
