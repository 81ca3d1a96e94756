"""The parts of the OpenAPI document that are the same for every endpoint. Data only."""

from __future__ import annotations

from typing import Any, Final

from asyncendpoints_core.common.problem_types import BLANK, MEDIA_TYPE, TABLE, URN
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_gateway.http.headers import MAX_TAGS, TAG

Data = dict[str, Any]

TEXT: Final[Data] = {"type": "string"}
TAG_SCHEMA: Final[Data] = {"type": "string", "pattern": f"^{TAG.pattern}$"}
_COUNT: Final[Data] = {"type": "integer", "minimum": 0}
_TRUE: Final[Data] = {"type": "string", "enum": ["true"]}
_URI: Final[Data] = {"type": "string", "format": "uri-reference"}
_MOMENT: Final[Data] = {"type": "string", "format": "date-time"}
_TEXT_OR_NULL: Final[Data] = {"type": ["string", "null"]}
_TIME: Final[Data] = {**_TEXT_OR_NULL, "format": "date-time"}
STATES: Final = [state.value for state in State]


def _record(properties: Data) -> Data:
    return {"type": "object", "required": list(properties), "properties": properties}


def _or_null(name: str) -> Data:
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"}, {"type": "null"}]}


SCHEMAS: Final[Data] = {
    "Job": _record(
        {
            "id": {"type": "string", "format": "uuid"},
            "name": TEXT,
            "state": {"type": "string", "enum": STATES},
            "attempt": {**_COUNT, "description": "0 before the first attempt, 1 during it."},
            "maxAttempts": {"type": "integer", "minimum": 1},
            "crashes": {
                **_COUNT,
                "description": "Attempts during which the worker process crashed.",
            },
            "priority": {"type": "string", "enum": [each.name.lower() for each in Priority]},
            "progress": _or_null("Progress"),
            "error": {
                **_or_null("Error"),
                "description": "The last error; also set while the job waits for a retry.",
            },
            "attempts": {
                "type": "array",
                "maxItems": 10,
                "description": "The last attempts that ended.",
                "items": {"$ref": "#/components/schemas/Attempt"},
            },
            "createdAt": _MOMENT,
            "notBefore": _TIME,
            "startedAt": {**_TIME, "description": "Start of the latest attempt."},
            "completedAt": _TIME,
            "updatedAt": _MOMENT,
            "expiresAt": {
                **_TIME,
                "description": "When the job expires if it has not started; once it is final, when "
                "it is removed.",
            },
            "cancelRequestedAt": _TIME,
            "tags": {
                "type": "array",
                "maxItems": MAX_TAGS,
                "items": TEXT,
                "description": "From Job-Tags.",
            },
            "key": {
                **_TEXT_OR_NULL,
                "description": "Whose job it is, among those that share the endpoint.",
            },
            "parent": {
                **_TEXT_OR_NULL,
                "format": "uuid",
                "description": "The job that created this one.",
            },
            "schedule": {**_TEXT_OR_NULL, "description": "The schedule that created it."},
            "links": {"$ref": "#/components/schemas/Links"},
        }
    ),
    "Progress": _record(
        {"fraction": {"type": "number", "minimum": 0, "maximum": 1}, "message": TEXT}
    ),
    "Error": _record({"code": TEXT, "message": TEXT, "retryable": {"type": "boolean"}}),
    "Attempt": _record(
        {
            "number": _COUNT,
            "startedAt": _TIME,
            "endedAt": _TIME,
            "outcome": TEXT,
            "error": _or_null("Error"),
        }
    ),
    "Links": _record(
        {
            "self": _URI,
            "result": _URI,
            "cancel": {**_URI, "description": "Use with DELETE."},
            "retry": {**_URI, "description": "Use with POST."},
        }
    ),
    "JobPage": _record(
        {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}},
            "nextCursor": {
                **_TEXT_OR_NULL,
                "description": "The cursor of the next page; null on the last one.",
            },
        }
    ),
    "Problem": {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "enum": [*(URN + name for name in TABLE), BLANK]},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "errors": {
                "type": "array",
                "description": "For invalid-body: each violation of the schema and its location.",
                "items": _record({"pointer": TEXT, "detail": TEXT}),
            },
            "error": {
                **_or_null("Error"),
                "description": "For job-failed and job-canceled: the job's error.",
            },
            "state": {
                "type": "string",
                "enum": STATES,
                "description": "For job-final, after a cancel: the job's state.",
            },
        },
    },
}

HEADERS: Final[Data] = {
    "Location": {"description": "The job.", "schema": _URI},
    "Retry-After": {
        "description": "Estimated seconds until the job is done or its state changes.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 3600},
    },
    "ETag": {"description": "The job's version.", "schema": TEXT},
    "Preference-Applied": {"description": "wait=N, when the request waited.", "schema": TEXT},
    "WWW-Authenticate": {"description": "The scheme: Bearer.", "schema": TEXT},
    "Idempotent-Replayed": {
        "description": "true when an earlier request created the job.",
        "schema": _TRUE,
    },
    "Job-Existing": {
        "description": "true when the job existed: an equal submission had created it.",
        "schema": _TRUE,
    },
    "Job-Webhook": {
        "description": "The receiver of the request, if this job will notify it.",
        "schema": TEXT,
    },
}


LINKS: Final[Data] = {
    name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
    for name in ("getJob", "getResult", "cancelJob", "retryJob")
}

ANY_CONTENT: Final[Data] = {
    "application/json": {"schema": {}},
    "text/plain": {"schema": TEXT},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
"""A result that the route does not describe. Other media types are possible too."""


def problem(description: str, *headers: str) -> Data:
    """Return a response with problem details."""
    schema = {"$ref": "#/components/schemas/Problem"}
    response: Data = {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
    return {**response, "headers": header_references(*headers)} if headers else response


_PROBLEM_HEADERS: Final = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def problems(*statuses: int) -> dict[str, Data]:
    """Return the responses for problems of these statuses, described by their titles."""
    return {
        str(status): problem(
            " / ".join(
                f"{name}: {kind.title}" for name, kind in TABLE.items() if kind.status == status
            ),
            *_PROBLEM_HEADERS.get(status, ()),
        )
        for status in statuses
    }


def json_response(description: str, schema: str, *headers: str, linked: bool = False) -> Data:
    """Return a JSON response; `linked`: it is a job, whose id other operations take."""
    response: Data = {
        "description": description,
        "headers": header_references(*headers),
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if linked:
        response["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in LINKS}
    return response


def parameter(where: str, name: str, schema: Data, description: str) -> Data:
    """Return a parameter of an operation, which is optional."""
    return {"name": name, "in": where, "schema": schema, "description": description}


def header_references(*names: str) -> Data:
    """Return the headers of a response, which are described in the components."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
