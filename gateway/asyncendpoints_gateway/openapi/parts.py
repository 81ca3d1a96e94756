"""The parts of the OpenAPI document that are the same for every endpoint. Data only."""

from __future__ import annotations

from typing import Any, Final

from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_gateway.http.problems import MEDIA_TYPE, TABLE, URN
from asyncendpoints_gateway.http.queries import DEFAULT_LIMIT, MAX_LIMIT

Data = dict[str, Any]

_TEXT: Final[Data] = {"type": "string"}
_COUNT: Final[Data] = {"type": "integer", "minimum": 0}
_TIME: Final[Data] = {"type": ["string", "null"], "format": "date-time"}
_STATES: Final = [state.value for state in State]


def _record(properties: Data) -> Data:
    return {"type": "object", "required": list(properties), "properties": properties}


def _or_null(name: str) -> Data:
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"}, {"type": "null"}]}


SCHEMAS: Final[Data] = {
    "Job": _record(
        {
            "id": {"type": "string", "format": "uuid"},
            "name": _TEXT,
            "state": {"type": "string", "enum": _STATES},
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
            "createdAt": {"type": "string", "format": "date-time"},
            "notBefore": _TIME,
            "startedAt": {**_TIME, "description": "Start of the latest attempt."},
            "completedAt": _TIME,
            "updatedAt": {"type": "string", "format": "date-time"},
            "expiresAt": {
                **_TIME,
                "description": "When the job expires if it has not started; once it is final, when "
                "it is removed.",
            },
            "cancelRequestedAt": _TIME,
            "links": {"$ref": "#/components/schemas/Links"},
        }
    ),
    "Progress": _record(
        {"fraction": {"type": "number", "minimum": 0, "maximum": 1}, "message": _TEXT}
    ),
    "Error": _record({"code": _TEXT, "message": _TEXT, "retryable": {"type": "boolean"}}),
    "Attempt": _record(
        {
            "number": _COUNT,
            "startedAt": _TIME,
            "endedAt": _TIME,
            "outcome": _TEXT,
            "error": _or_null("Error"),
        }
    ),
    "Links": _record(
        {
            "self": {"type": "string", "format": "uri-reference"},
            "result": {"type": "string", "format": "uri-reference"},
            "cancel": {
                "type": "string",
                "format": "uri-reference",
                "description": "Use with DELETE.",
            },
            "retry": {"type": "string", "format": "uri-reference", "description": "Use with POST."},
        }
    ),
    "JobPage": _record(
        {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}},
            "nextCursor": {
                "type": ["string", "null"],
                "description": "The cursor of the next page; null on the last one.",
            },
        }
    ),
    "Problem": {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "enum": [URN + name for name in TABLE]},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "errors": {
                "type": "array",
                "description": "For invalid-body: each violation of the schema and its location.",
                "items": _record({"pointer": _TEXT, "detail": _TEXT}),
            },
            "error": {
                **_or_null("Error"),
                "description": "For job-failed and job-canceled: the job's error.",
            },
        },
    },
}

HEADERS: Final[Data] = {
    "Location": {
        "description": "The job.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "Estimated seconds until the job is done or its state changes.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 3600},
    },
    "ETag": {"description": "The job's version.", "schema": _TEXT},
    "Preference-Applied": {"description": "wait=N, when the request waited.", "schema": _TEXT},
    "Idempotent-Replayed": {
        "description": "true when an earlier request created the job.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}


def problem(description: str) -> Data:
    """Return a response with problem details."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def problems(*statuses: int) -> dict[str, Data]:
    """Return the responses for problems of these statuses, described by their titles."""
    return {
        str(status): problem(
            " / ".join(
                f"{name}: {kind.title}" for name, kind in TABLE.items() if kind.status == status
            )
        )
        for status in statuses
    }


def _json(description: str, schema: str, *headers: str) -> Data:
    return {
        "description": description,
        "headers": {each: {"$ref": f"#/components/headers/{each}"} for each in headers},
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def accepted(description: str, *headers: str) -> Data:
    """Return the response 202 with a job and `headers`."""
    return _json(description, "Job", *headers)


_ID: Final[Data] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_IF_NONE_MATCH: Final[Data] = {"name": "If-None-Match", "in": "header", "schema": _TEXT}
_MISSING: Final = (401, 404, 410, 503)


def _query(name: str, schema: Data, description: str) -> Data:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_NOT_MODIFIED: Final = {"description": "The client has the current version."}

JOB_PATHS: Final[Data] = {
    "/jobs": {
        "get": {
            "operationId": "listJobs",
            "summary": "List jobs",
            "description": "Newest first within each state. Without `state`: running, then "
            "waiting, then final jobs.",
            "tags": ["jobs"],
            "parameters": [
                _query("state", {"type": "string", "enum": _STATES}, "Only jobs in this state."),
                _query(
                    "limit",
                    {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": MAX_LIMIT,
                        "default": DEFAULT_LIMIT,
                    },
                    "Maximum number of jobs on a page.",
                ),
                _query(
                    "cursor",
                    {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
                    "The nextCursor of the previous page.",
                ),
            ],
            "responses": {
                "200": _json("A page of jobs.", "JobPage"),
                **problems(400, 401, 403, 503),
            },
        }
    },
    "/jobs/{id}": {
        "parameters": [_ID],
        "get": {
            "operationId": "getJob",
            "summary": "Get a job",
            "description": "Returns the job as JSON. With `wait`, waits for a change (long poll). "
            "With `Accept: text/event-stream`, streams an event named `job` for every change until "
            "the job is final; its data is the job.",
            "tags": ["jobs"],
            "parameters": [
                _query(
                    "wait",
                    {"type": "number", "minimum": 0},
                    "Seconds to wait for a change, at most 60.",
                ),
                _IF_NONE_MATCH,
                {"name": "Last-Event-ID", "in": "header", "schema": _TEXT},
            ],
            "responses": {
                "200": {
                    **_json("The job.", "Job", "ETag", "Retry-After"),
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Job"}},
                        "text/event-stream": {"schema": _TEXT},
                    },
                },
                "204": {"description": "The job is final and Last-Event-ID is its last event."},
                "304": _NOT_MODIFIED,
                **problems(400, *_MISSING),
            },
        },
        "delete": {
            "operationId": "cancelJob",
            "summary": "Cancel a job or remove a final one",
            "tags": ["jobs"],
            "parameters": [
                _query(
                    "purge",
                    {"type": "boolean", "default": False},
                    "Remove a final job instead of canceling.",
                )
            ],
            "responses": {
                "200": _json("The job was waiting and is now canceled.", "Job"),
                "202": _json(
                    "The job is running; cancellation was requested.", "Job", "Retry-After"
                ),
                "204": {"description": "The job was removed."},
                "409": problem("The job is final; or, with purge, it is not final."),
                **problems(400, *_MISSING),
            },
        },
    },
    "/jobs/{id}/result": {
        "parameters": [_ID],
        "get": {
            "operationId": "getResult",
            "summary": "Get a job's result",
            "tags": ["jobs"],
            "parameters": [_IF_NONE_MATCH],
            "responses": {
                "200": {
                    "description": "The handler's result, with its content type.",
                    "headers": {"ETag": {"$ref": "#/components/headers/ETag"}},
                    "content": {"*/*": {"schema": {}}},
                },
                "202": _json("The job is not done yet.", "Job", "Retry-After"),
                "304": _NOT_MODIFIED,
                "409": problem("The job failed or was canceled; see `error`."),
                **problems(400, *_MISSING),
            },
        },
    },
    "/jobs/{id}/retry": {
        "parameters": [_ID],
        "post": {
            "operationId": "retryJob",
            "summary": "Queue a failed or canceled job again",
            "tags": ["jobs"],
            "responses": {
                "202": accepted("The job is queued again.", "Location", "Retry-After"),
                "409": problem("The job is neither failed nor canceled."),
                **problems(400, *_MISSING, 429),
            },
        },
    },
}
