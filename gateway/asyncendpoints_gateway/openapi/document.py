"""The OpenAPI 3.1 description of an endpoint, made from its routes and their schemas."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core import __version__
from asyncendpoints_core.jobs.records import OnConflict, Priority
from asyncendpoints_core.resource.path_templates import parse_template
from asyncendpoints_core.resource.receiver_urls import MAX_URL
from asyncendpoints_core.resource.routes import is_json
from asyncendpoints_gateway.http.headers import MAX_KEY, MAX_TAGS, TAG
from asyncendpoints_gateway.openapi.components import hoist, unique_name
from asyncendpoints_gateway.openapi.job_paths import job_paths
from asyncendpoints_gateway.openapi.parts import (
    ANY_CONTENT,
    HEADERS,
    LINKS,
    SCHEMAS,
    TEXT,
    header_references,
    json_response,
    parameter,
    problem,
    problems,
)
from asyncendpoints_gateway.openapi.samples import sample

if TYPE_CHECKING:
    from asyncendpoints_gateway.config import GatewayConfig, ResultConfig, RouteConfig

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TAGS: Final = [
    {"name": "routes", "description": "Requests that become jobs."},
    {"name": "jobs", "description": "The jobs: their state, their results, and cancellation."},
]


def openapi_json(config: GatewayConfig, guarded: bool) -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document(config, guarded))


def document(config: GatewayConfig, guarded: bool = False) -> dict[str, Any]:
    """Return the OpenAPI document of an endpoint; `guarded`: requests need a bearer token."""
    schemas = dict(SCHEMAS)
    paths: dict[str, Any] = {}
    taken: set[str] = set()
    results: list[dict[str, Any]] = []
    for route in config.routes:
        body = _request_body(route, schemas)
        result = _result_content(route.result, f"{route.job}.result", schemas)
        if result not in results:
            results.append(result)
        item = paths.setdefault(route.path, {})
        for method in route.methods:
            operation = unique_name(f"{method.lower()}_{route.job}", taken)
            taken.add(operation)
            item[method.lower()] = _submission(
                route, operation, body, result, receivers=bool(config.receivers.patterns)
            )
    paths.update(job_paths(_any_of(results), may_list=config.may_list))
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": _info(config.name),
        "servers": [{"url": config.base or "/"}],
        "tags": _TAGS,
        "paths": paths,
        "components": {"schemas": schemas, "headers": _headers(config), "links": LINKS},
        "security": [],
    }
    if not config.may_list:
        del schemas["JobPage"]
    if not guarded:
        return _without_401(described)
    described["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"bearer": []}]
    return described


def _headers(config: GatewayConfig) -> dict[str, Any]:
    """Return the headers of responses that the endpoint may send."""
    headers = dict(HEADERS)
    if all(route.unique is None for route in config.routes):
        del headers["Job-Existing"]
    if not config.receivers.patterns:
        del headers["Job-Webhook"]
    return headers


def _info(name: str) -> dict[str, Any]:
    return {
        "title": name,
        "version": __version__,
        "description": "Each request is answered with 202 Accepted and becomes a job. Poll the "
        "job until its state is final, then get its result.",
        "contact": {"name": f"The operator of {name}"},
        "license": {"name": "Apache-2.0, of asyncendpoints", "identifier": "Apache-2.0"},
    }


def _without_401(described: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the response that an endpoint without tokens never gives."""
    found = copy.deepcopy(described)  # parts of it are those of every endpoint
    del found["components"]["headers"]["WWW-Authenticate"]
    for item in found["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):  # not the parameters of the path
                operation["responses"].pop("401", None)
    return found


def _submission(
    route: RouteConfig,
    operation: str,
    body: dict[str, Any],
    result: dict[str, Any],
    *,
    receivers: bool,
) -> dict[str, Any]:
    """Return the operation of one method of a route."""
    names = parse_template(route.path).names
    named = sorted(route.keep - _UNNAMED)
    return {
        "operationId": operation,
        "summary": f"Enqueue {route.job}",
        "description": f"Creates a job named {route.job} from the request.",
        "tags": ["routes"],
        "parameters": [
            *({"name": each, "in": "path", "required": True, "schema": TEXT} for each in names),
            *({"name": each, "in": "header", "schema": TEXT} for each in named),
            *_SUBMISSION_HEADERS,
            *((_JOB_WEBHOOK,) if receivers else ()),
        ],
        "requestBody": body,
        "responses": _submission_responses(route, result, receivers=receivers),
    }


def _submission_responses(
    route: RouteConfig, result: dict[str, Any], *, receivers: bool
) -> dict[str, Any]:
    conflict = "With Prefer: wait: the job failed or was canceled."
    replies: tuple[str, ...] = _SUBMISSION_REPLIES
    if route.unique is not None:
        replies = (*replies, "Job-Existing")
        if route.unique.on_conflict is OnConflict.REJECT:
            conflict += " Or an equal job is not finished; Location names it."
    if receivers:
        replies = (*replies, "Job-Webhook")
        conflict += " Or the existing job has too many receivers; Location names it."
    return {
        "200": {
            "description": "With Prefer: wait: the result, if the job is done in time.",
            "headers": header_references("ETag", "Location", "Preference-Applied"),
            "content": result,
        },
        "202": json_response("The job.", "Job", *replies, linked=True),
        "409": problem(conflict),
        "410": problem("The job of this Idempotency-Key, or awaited, has been removed."),
        **problems(400, 401, 413, 415, 422, 429, 503),
    }


_UNNAMED: Final = frozenset(
    {"accept", "accept-language", "user-agent", "x-request-id", "traceparent", "tracestate"}
    | {"content-type", "authorization"}  # OpenAPI describes these elsewhere
)

# Printable ASCII that does not end in a space; quotes are not part of a key, so "" is empty.
_KEY: Final = r"^(?!\"\"$)[!-~]([ -~]*[!-~])?$"
_SECONDS: Final = r"[0-9]{1,9}(\.[0-9]{1,3})?$"
_header = partial(parameter, "header")
_SUBMISSION_HEADERS: Final = [
    _header(
        "Idempotency-Key",
        {"type": "string", "maxLength": MAX_KEY, "pattern": _KEY},
        "Repeating a request with the same key returns the same job.",
    ),
    {
        **_header(
            "Prefer",
            TEXT,
            "wait=N: respond with the result if it is there within N seconds (60).",
        ),
        "example": "wait=10",
    },
    _header(
        "Job-Delay",
        {"type": "string", "pattern": "^" + _SECONDS},
        "Seconds to wait before the job may start.",
    ),
    _header(
        "Job-Expires",
        {"type": "string", "pattern": "^(?=.*[1-9])" + _SECONDS},
        "Seconds after which the job fails if it has not started; more than 0.",
    ),
    _header(
        "Job-Priority",
        {"type": "string", "enum": [each.name.lower() for each in Priority]},
        "Priority of the job; case does not matter.",
    ),
    _header(
        "Job-Tags",
        {"type": "string", "pattern": f"^{TAG.pattern}(,{TAG.pattern}){{0,{MAX_TAGS - 1}}}$"},
        f"1 to {MAX_TAGS} tags of the job, separated by commas, for listings.",
    ),
]
_JOB_WEBHOOK: Final = _header(
    "Job-Webhook",
    {"type": "string", "format": "uri", "maxLength": MAX_URL},
    "URL that is notified of the end of the job, of an origin that the endpoint allows. The "
    "response repeats it if this job will notify it.",
)
_SUBMISSION_REPLIES: Final = (
    "Location",
    "Retry-After",
    "Preference-Applied",
    "Idempotent-Replayed",
)


def _request_body(route: RouteConfig, schemas: dict[str, Any]) -> dict[str, Any]:
    if route.schema is None:
        # One media type: with several, the code of openapi-python-client fails at run time.
        return {
            "description": "Any body; other media types than JSON are accepted too.",
            "required": False,
            "content": {"application/json": {"schema": {}}},
        }
    name = unique_name(f"{route.job}.body", schemas)
    media = {"schema": hoist(dict(route.schema.schema), name, schemas)}
    example = sample(route.schema)
    if example is not msgspec.UNSET:
        media["example"] = example
    return {"required": not route.body_optional, "content": {"application/json": media}}


def _result_content(
    result: ResultConfig | None, name: str, schemas: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of a route's result, by media type."""
    if result is None:
        return ANY_CONTENT
    if result.schema is not None:
        reference = hoist(dict(result.schema), unique_name(name, schemas), schemas)
        return {result.media_type: {"schema": reference}}
    return {result.media_type: {"schema": _schema_of(result.media_type)}}


def _schema_of(media_type: str) -> dict[str, Any]:
    """Return the schema of a body that has only a media type: JSON, text or binary."""
    if is_json(media_type):
        return {}
    if media_type.startswith("text/"):
        return {"type": "string"}
    return {"type": "string", "format": "binary"}


def _any_of(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of a result of any of the routes."""
    merged: dict[str, list[Any]] = {}
    for media_type, media in (pair for result in results for pair in result.items()):
        alternatives = merged.setdefault(media_type, [])
        if media["schema"] not in alternatives:
            alternatives.append(media["schema"])
    return {
        media_type: {
            "schema": {} if {} in found else found[0] if len(found) == 1 else {"anyOf": found}
        }
        for media_type, found in merged.items()
    }
