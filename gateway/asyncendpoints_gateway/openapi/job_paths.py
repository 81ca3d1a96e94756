"""The operations on jobs in the OpenAPI document, which are the same for every endpoint."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from asyncendpoints_gateway.http.headers import MAX_TAGS, MAX_WAIT_SECONDS
from asyncendpoints_gateway.http.queries import DEFAULT_LIMIT, MAX_LIMIT
from asyncendpoints_gateway.openapi.parts import (
    STATES,
    TAG_SCHEMA,
    TEXT,
    header_references,
    json_response,
    parameter,
    problem,
    problems,
)

Data = dict[str, Any]

_query, _header = partial(parameter, "query"), partial(parameter, "header")
_UUID: Final[Data] = {"type": "string", "format": "uuid"}
_ID: Final[Data] = {
    **parameter("path", "id", _UUID, "The job's id, from the response that created it."),
    "required": True,
}
_IF_NONE_MATCH: Final = _header(
    "If-None-Match", TEXT, "The ETag of an earlier response: 304 if the job has not changed."
)
_IF_MATCH: Final = _header(
    "If-Match", TEXT, "The ETag of the job as it was seen: 412 if the job has changed since."
)
_CHANGED: Final = problem("The job's ETag is none of those in If-Match; nothing was done.")
_MISSING: Final = (401, 404, 410, 503)


_NOT_MODIFIED: Final = {"description": "The client has the current version."}


def job_paths(result: Data, *, may_list: bool) -> Data:
    """Return the paths below /jobs. `result`: the content of a job's result, by media type."""
    return {
        **({"/jobs": {"get": _LIST}} if may_list else {}),
        "/jobs/{id}": {"parameters": [_ID], "get": _GET, "delete": _CANCEL},
        "/jobs/{id}/result": {"parameters": [_ID], "get": _result(result)},
        "/jobs/{id}/retry": {"parameters": [_ID], "post": _RETRY},
    }


_LIST: Final[Data] = {
    "operationId": "listJobs",
    "summary": "List jobs",
    "description": "Newest first within each state. Without `state`: running, then waiting, then "
    "final jobs. With `job` or `tag`, a page may be short, or empty, and have a nextCursor.",
    "tags": ["jobs"],
    "parameters": [
        _query("state", {"type": "string", "enum": STATES}, "Only jobs in this state."),
        _query("job", {"type": "string", "minLength": 1}, "Only jobs of this name."),
        _query(
            "tag",
            {"type": "array", "maxItems": MAX_TAGS, "items": TAG_SCHEMA},
            "Only jobs with this tag; repeated, with all of them.",
        ),
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            "Maximum number of jobs on a page.",
        ),
        _query(
            "cursor",
            {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
            "The nextCursor of the previous page.",
        ),
    ],
    "responses": {
        "200": json_response("A page of jobs.", "JobPage"),
        **problems(400, 401, 503),
    },
}

_GET: Final[Data] = {
    "operationId": "getJob",
    "summary": "Get a job",
    "description": "Returns the job as JSON. With `wait`, waits for a change (long poll). With "
    "`Accept: text/event-stream`, streams an event named `job` for every change until the job is "
    "final; its data is the job.",
    "tags": ["jobs"],
    "parameters": [
        _query(
            "wait",
            {"type": "number", "minimum": 0},
            f"Seconds to wait for a change; more than {MAX_WAIT_SECONDS} are as "
            f"{MAX_WAIT_SECONDS}.",
        ),
        _IF_NONE_MATCH,
        _header("Last-Event-ID", TEXT, "The id of the last event of an earlier stream."),
    ],
    "responses": {
        "200": {
            **json_response("The job.", "Job", "ETag", "Retry-After"),
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Job"}},
                "text/event-stream": {"schema": TEXT},
            },
        },
        "204": {"description": "The job is final and Last-Event-ID is its last event."},
        "304": _NOT_MODIFIED,
        **problems(400, *_MISSING),
    },
}

_CANCEL: Final[Data] = {
    "operationId": "cancelJob",
    "summary": "Cancel a job or remove a final one",
    "description": "A waiting job is canceled at once; a running one is requested to end. With "
    "`purge`, removes a final job and its result instead.",
    "tags": ["jobs"],
    "parameters": [
        _query(
            "purge",
            {"type": "boolean", "default": False},
            "Remove a final job instead of canceling.",
        ),
        _IF_MATCH,
    ],
    "responses": {
        "200": json_response("The job was waiting and is now canceled.", "Job"),
        "202": json_response(
            "The job is running; cancellation was requested.", "Job", "Retry-After"
        ),
        "204": {"description": "The job was removed."},
        "409": problem("The job is final; or, with purge, it is not final."),
        "412": _CHANGED,
        **problems(400, *_MISSING),
    },
}

_RETRY: Final[Data] = {
    "operationId": "retryJob",
    "summary": "Queue a failed or canceled job again",
    "description": "The job keeps its id; its attempts and crashes are counted from 0 again.",
    "tags": ["jobs"],
    "parameters": [_IF_MATCH],
    "responses": {
        "202": json_response("The job is queued again.", "Job", "Location", "Retry-After"),
        "409": problem(
            "The job is neither failed nor canceled; or an equal one of a unique route is not "
            "finished."
        ),
        "412": _CHANGED,
        **problems(400, *_MISSING, 429),
    },
}


def _result(content: Data) -> Data:
    return {
        "operationId": "getResult",
        "summary": "Get a job's result",
        "description": "Returns what the handler returned, once the job is Completed.",
        "tags": ["jobs"],
        "parameters": [_IF_NONE_MATCH],
        "responses": {
            "200": {
                "description": "The handler's result, with its content type.",
                "headers": header_references("ETag"),
                "content": content,
            },
            "202": json_response("The job is not done yet.", "Job", "Retry-After"),
            "304": _NOT_MODIFIED,
            "409": problem("The job failed or was canceled; see `error`."),
            **problems(400, *_MISSING),
        },
    }
