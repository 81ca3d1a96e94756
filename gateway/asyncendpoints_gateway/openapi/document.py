"""The OpenAPI 3.1 description of an endpoint, made from its routes and their schemas."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import msgspec

from asyncendpoints_core import __version__
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.resource.path_templates import parse_template
from asyncendpoints_gateway.openapi.parts import (
    HEADERS,
    JOB_PATHS,
    SCHEMAS,
    accepted,
    problem,
    problems,
)

if TYPE_CHECKING:
    from collections.abc import Container

    from asyncendpoints_gateway.config import GatewayConfig, RouteConfig

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def openapi_json(config: GatewayConfig, guarded: bool) -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document(config, guarded))


def document(config: GatewayConfig, guarded: bool = False) -> dict[str, Any]:
    """Return the OpenAPI document of an endpoint; `guarded`: requests need a bearer token."""
    schemas = copy.deepcopy(SCHEMAS)
    paths: dict[str, Any] = {}
    taken: set[str] = set()
    for route in config.routes:
        body = _request_body(route, schemas)
        item = paths.setdefault(route.path, {})
        for method in route.methods:
            operation = _unique(f"{method.lower()}_{route.job}", taken)
            taken.add(operation)
            item[method.lower()] = _submission(route, operation, body)
    paths.update(copy.deepcopy(JOB_PATHS))
    if not config.may_list:
        del paths["/jobs"]
    components: dict[str, Any] = {"schemas": schemas, "headers": HEADERS}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": config.name,
            "version": __version__,
            "description": "Each request is answered with 202 Accepted and becomes a job. Poll the "
            "job until its state is final, then get its result.",
        },
        "servers": [{"url": config.base or "/"}],
        "paths": paths,
        "components": components,
    }
    if guarded:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"bearer": []}]
    return described


def _unique(name: str, taken: Container[str]) -> str:
    """Return `name`, with a number appended if it is taken."""
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique


def _submission(route: RouteConfig, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the operation of one method of a route."""
    text = {"type": "string"}
    names = parse_template(route.path).names
    named = sorted(route.keep - _UNNAMED)
    return {
        "operationId": operation,
        "summary": f"Enqueue {route.job}",
        "tags": ["routes"],
        "parameters": [
            *({"name": each, "in": "path", "required": True, "schema": text} for each in names),
            *({"name": each, "in": "header", "schema": text} for each in named),
            *_SUBMISSION_HEADERS,
        ],
        "requestBody": body,
        "responses": {
            "200": {
                "description": "With Prefer: wait: the result, if the job is done in time.",
                "content": {"*/*": {"schema": {}}},
            },
            "202": accepted("The job.", *_SUBMISSION_REPLIES),
            "409": problem("With Prefer: wait: the job failed or was canceled."),
            "410": problem("With Prefer: wait: the job has been removed."),
            **problems(400, 401, 413, 415, 422, 429, 503),
        },
    }


_UNNAMED: Final = frozenset(
    {"accept", "accept-language", "user-agent", "x-request-id", "traceparent", "tracestate"}
    | {"content-type", "authorization"}  # OpenAPI describes these elsewhere
)

_SECONDS: Final = {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,3})?$"}
_SUBMISSION_HEADERS: Final[list[dict[str, Any]]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Repeating a request with the same key returns the same job.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 257},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": "wait=N: respond with the result if it is there within N seconds (60).",
        "schema": {"type": "string"},
        "example": "wait=10",
    },
    {
        "name": "Job-Delay",
        "in": "header",
        "description": "Seconds to wait before the job may start.",
        "schema": _SECONDS,
    },
    {
        "name": "Job-Expires",
        "in": "header",
        "description": "Seconds after which the job fails if it has not started.",
        "schema": _SECONDS,
    },
    {
        "name": "Job-Priority",
        "in": "header",
        "description": "Priority of the job; case does not matter.",
        "schema": {"type": "string", "enum": [each.name.lower() for each in Priority]},
    },
]
_SUBMISSION_REPLIES: Final = (
    "Location",
    "Retry-After",
    "Preference-Applied",
    "Idempotent-Replayed",
)


def _request_body(route: RouteConfig, schemas: dict[str, Any]) -> dict[str, Any]:
    if route.schema is None:
        return {"required": False, "content": {"*/*": {"schema": {}}}}
    name = _unique(f"{route.job}.body", schemas)
    reference = hoist(dict(route.schema.schema), name, schemas)
    return {"required": True, "content": {"application/json": {"schema": reference}}}


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
        names[key] = _unique(f"{name}.{_SAFE.sub('_', key)}", {*schemas, *names.values(), name})
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
        elif key == "$schema":
            continue  # the document names the dialect
        elif key in _NAMED and isinstance(child, dict):
            moved[key] = {each: _moved(below, name, names) for each, below in child.items()}
        elif key in _DATA:
            moved[key] = child
        else:
            moved[key] = _moved(child, name, names)
    return moved


def _target(reference: str, name: str, names: dict[str, str]) -> str:
    here = f"#/components/schemas/{name}"
    plain = unquote(reference)
    for key, component in names.items():
        old = "#/$defs/" + key.replace("~", "~0").replace("/", "~1")
        if plain == old or plain.startswith(old + "/"):
            rest = quote(plain[len(old) :], safe="/~")
            return f"#/components/schemas/{component}{rest}"
    return here + reference[1:]
