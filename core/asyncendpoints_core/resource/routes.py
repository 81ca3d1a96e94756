"""Routes: the mapping from requests to jobs."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from asyncendpoints_core.errors import SchemaError, TemplateError
from asyncendpoints_core.resource.base import (
    Items,
    Record,
    Role,
    invalid,
    optional,
    pattern,
    unique,
)
from asyncendpoints_core.resource.path_templates import (
    MAX_PATH_LENGTH,
    TEMPLATE_PATTERN,
    find_conflicts,
    parse_template,
    reserved_by,
)
from asyncendpoints_core.resource.schemas import compile_schema

if TYPE_CHECKING:
    from pydantic_core import InitErrorDetails

JOB_NAME: Final = pattern(
    r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
    'letters, digits, ".", "_" and "-", starting and ending with a letter or digit',
)
HEADER_NAME: Final = pattern(
    r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "the name of a header, such as X-Tenant"
)

# Stored with every job, in lower case.
STORED_HEADERS: Final = frozenset(
    {"accept", "accept-language", "user-agent", "x-request-id", "traceparent", "tracestate"}
)
_NAMED: Final = (
    r"param:[A-Za-z_][A-Za-z0-9_]*|header:[A-Za-z0-9!#$%&'*+.^_`|~-]+|pointer:(/([^/~]|~0|~1)*)+"
)
NAMED_VALUE: Final = pattern(f"^({_NAMED})$", "param:NAME, header:NAME or pointer:/a/b")
UNIQUE_VALUE: Final = pattern(
    f"^(path|query|body|{_NAMED})$", "path, query, body, param:NAME, header:NAME or pointer:/a/b"
)

Method = Literal["POST", "PUT", "PATCH", "DELETE"]
JobName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=JOB_NAME)]
HeaderName = Annotated[str, StringConstraints(max_length=100, pattern=HEADER_NAME)]
MEDIA_TYPE: Final = pattern(
    r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(; ?[A-Za-z0-9-]+=[A-Za-z0-9._-]+)*$",
    "a media type, such as application/json or text/csv",
)

_JSON_TYPE: Final = re.compile(r"[^;]*[/+]json", re.IGNORECASE)


def is_json(media_type: str) -> bool:
    """Return whether a media type without parameters is JSON: application/json or +json."""
    return _JSON_TYPE.fullmatch(media_type) is not None


def media_type_of(content_type: str) -> str:
    """Return a content type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _usable(value: dict[str, Any]) -> dict[str, Any]:
    """Reject a schema that cannot be compiled, with an error at each fault."""
    try:
        compile_schema(value)
    except SchemaError as error:
        lines: list[InitErrorDetails] = [
            {"type": invalid(message), "loc": path, "input": None} for path, message in error.faults
        ]
        raise ValidationError.from_exception_data("schema", lines) from None
    return value


JsonSchema = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
    AfterValidator(_usable),
]
MediaType = Annotated[str, StringConstraints(max_length=255, pattern=MEDIA_TYPE)]


def _path(text: str) -> str:
    try:
        template = parse_template(text)
    except TemplateError as error:
        raise invalid(str(error)) from None
    if reserved := reserved_by(template):
        if template.shape[0] is None:
            raise invalid(
                f"could match {reserved}, which is reserved for the gateway; start with a literal "
                f'segment, such as "/reports{text}"'
            )
        raise invalid(f"{reserved} is reserved for the gateway; choose another first segment")
    return text


class RouteResult(Record):
    """The result of a route's job, as the OpenAPI description shows it."""

    content_type: MediaType = Field(
        default="application/json",
        description="Media type of the result. Default: application/json.",
    )
    schema_: JsonSchema | None = optional(
        "JSON Schema (Draft 2020-12) of a JSON result, with the limits of the body's. "
        "Absent: any result of that media type.",
        validate_default=True,
    )
    check: bool = Field(
        default=False,
        description="Whether a result of another media type, or one that does not match the "
        "schema, fails the job with invalid-result, without a retry. Default: false.",
    )

    @field_validator("schema_")
    @classmethod
    def _of_json(cls, value: Any, info: ValidationInfo) -> Any:
        content_type = info.data.get("content_type")
        if value is not None and content_type and not is_json(media_type_of(content_type)):
            raise invalid(f"is for JSON, but contentType is {content_type}")
        return value

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case."""
        return media_type_of(self.content_type)


class RouteUnique(Record):
    """When two submissions are equal, and what becomes of the second."""

    of: Annotated[
        Items[Annotated[str, StringConstraints(max_length=128, pattern=UNIQUE_VALUE)]],
        unique("value"),
    ] = Field(
        default=("path", "query", "body"),
        min_length=1,
        max_length=8,
        description="What is compared: path, query, body, param:NAME (of the path), header:NAME "
        "(one that is stored with the job), pointer:/a/b (a value of the JSON body). A request "
        "without one of the headers or pointers is not unique. Default: [path, query, body].",
    )
    until: Literal["Started", "Finished"] = Field(
        default="Finished",
        description="Until when later submissions are compared with the job: Started, its first "
        "attempt, or Finished, its final state. Default: Finished.",
    )
    seconds: int = Field(
        default=3_600,
        ge=1,
        le=31_536_000,
        description="After this time they are compared no longer, whatever the job does. "
        "Default: 3600.",
    )
    on_conflict: Literal["Return", "Reject", "Replace"] = Field(
        default="Return",
        description="What an equal submission gets: Return, the existing job (202); Reject, 409; "
        "Replace, the existing job with the new input if it has not started, otherwise a new job. "
        "Default: Return.",
    )


class Route(Record):
    """Requests that become jobs: a path, methods, and the name of the job they enqueue."""

    path: Annotated[
        str,
        Field(
            max_length=MAX_PATH_LENGTH,
            json_schema_extra={"pattern": TEMPLATE_PATTERN, "minLength": 2},
        ),
        AfterValidator(_path),
        Role.GATEWAY,
        Role.WORKER,
    ] = Field(
        description="Path of the request; each segment is a literal or a parameter, such as "
        '"/reports/{customer}" (quoted in YAML because of the braces). Literals take precedence '
        "over parameters; a trailing slash never matches. /jobs…, /docs and /openapi.json are "
        "reserved for the gateway.",
    )
    methods: Annotated[Items[Method], unique("method"), Role.GATEWAY] = Field(
        default=("POST",),
        min_length=1,
        max_length=4,
        description="Methods of the request: POST, PUT, PATCH, DELETE. Default: [POST].",
    )
    job: Annotated[JobName, Role.GATEWAY, Role.WORKER] = Field(
        description='Name of the job that a request becomes: the name in @handler("…"), or the '
        "value of the Job-Name header in HTTP mode.",
    )
    headers: Annotated[Items[HeaderName], unique("header", str.lower), Role.GATEWAY] = Field(
        default=(),
        max_length=32,
        description="Headers stored with the job in addition to Accept, Accept-Language, "
        "User-Agent, X-Request-Id, traceparent and tracestate. Authorization, Cookie and similar "
        "headers are stored only if listed here. Default: none.",
    )
    schema_: Annotated[JsonSchema | None, Role.GATEWAY] = optional(
        "JSON Schema (Draft 2020-12) of the body. With it the route accepts JSON only, "
        "and a body that does not match is rejected with 422. A remote $ref is never fetched; "
        "patterns must not use look-around. At most 64 KiB and 32 levels. An empty body is "
        "accepted if the schema accepts null. Absent: any body."
    )
    result: Annotated[RouteResult | None, Role.GATEWAY, Role.WORKER] = optional(
        "What the job returns, for the OpenAPI description and the clients that are "
        "generated from it. Absent: anything."
    )
    unique_: Annotated[RouteUnique | None, Role.GATEWAY] = optional(
        "Makes equal submissions one job while that is unfinished. Absent: each "
        "submission is a job of its own."
    )

    key: Annotated[
        Annotated[str, StringConstraints(max_length=200, pattern=NAMED_VALUE)] | None, Role.GATEWAY
    ] = optional(
        "Where the job's key is in the request: param:NAME (of the path), header:NAME "
        "(one that is stored with the job), pointer:/a/b (a value of the JSON body). It is shown "
        "with the job. At most 64 bytes without control characters, otherwise 422. Absent: no key."
    )

    @field_validator("unique_")
    @classmethod
    def _of_the_request(cls, value: RouteUnique | None, info: ValidationInfo) -> Any:
        lines: list[InitErrorDetails] = [
            {"type": invalid(message), "loc": ("of", index), "input": what}
            for index, what in enumerate(() if value is None else value.of)
            if (message := _unknown_value(what, info.data))
        ]
        if lines:
            raise ValidationError.from_exception_data("unique", lines)
        return value

    @field_validator("key")
    @classmethod
    def _in_the_request(cls, value: str | None, info: ValidationInfo) -> Any:
        if value is not None and (message := _unknown_value(value, info.data)):
            raise invalid(message)
        return value


def _unknown_value(what: str, route: dict[str, Any]) -> str:
    """Return why a route's request has no such value as `header:NAME`; "" if it may have."""
    kind, _, name = what.partition(":")
    if kind == "param" and "path" in route and name not in parse_template(route["path"]).names:
        return f'the path has no parameter "{name}"'
    if kind == "header" and "headers" in route:
        stored = STORED_HEADERS.union(header.lower() for header in route["headers"])
        if name.lower() not in stored:
            return f"is not stored with the job; add {name} to headers"
    return ""


def check_routes(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Reject routes that match the same requests, or check one job's results in different ways,
    with an error at each later one.
    """
    lines: list[InitErrorDetails] = [
        {"type": invalid(message), "loc": (index, "path"), "input": routes[index].path}
        for index, message in conflicts(routes)
    ]
    first: dict[str, int] = {}
    for index, route in enumerate(routes):
        if route.result is None or not route.result.check:
            continue
        earlier = first.setdefault(route.job, index)
        if routes[earlier].result != route.result:
            message = (
                f'is checked, but spec.routes[{earlier}] checks another result of job "{route.job}"'
            )
            lines.append({"type": invalid(message), "loc": (index, "result"), "input": None})
    if lines:
        raise ValidationError.from_exception_data("routes", lines)
    return routes


def conflicts(
    routes: Sequence[Route], positions: Sequence[int] | None = None
) -> list[tuple[int, str]]:
    """Return (index of the later, message) for routes that match the same requests.

    `positions` are the indexes in the resource if `routes` are only some of its routes.
    """
    named = range(len(routes)) if positions is None else positions
    return [
        (
            later,
            f"{', '.join(methods)} conflicts with spec.routes[{named[earlier]}] "
            f"({routes[earlier].path})",
        )
        for earlier, later, methods in find_conflicts(routes)
    ]


Routes = Annotated[
    Items[Route],
    Field(
        min_length=1,
        max_length=100,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["path"],
        },
    ),
    AfterValidator(check_routes),
]
"""The routes of an endpoint, at least one."""
