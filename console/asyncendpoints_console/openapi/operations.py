"""The operations of the API: what each takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncendpoints_console.api.logs import EVENTS
from asyncendpoints_console.api.queries import DEFAULT_LIMIT, MAX_LIMIT
from asyncendpoints_console.openapi.schemas import (
    COUNT,
    JOB_ID,
    TEXT,
    TIME,
    Schema,
    one_of,
    record,
    ref,
)
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.deliveries import DeliveryState
from asyncendpoints_core.store.figures import RINGS

ROOT: Final = "/api/v1"
ENDPOINT: Final = f"{ROOT}/endpoints/{{namespace}}/{{name}}"
DELIVERY: Final = f"{ENDPOINT}/deliveries/{{delivery}}"
JOB: Final = f"{ENDPOINT}/jobs/{{id}}"
BYTES: Final[Mapping[str, Any]] = {"application/octet-stream": {}}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `answers`: the successful ones by status, each a schema's name, or content;
    `query`: the schemas of its parameters.
    """

    method: str
    path: str
    summary: str
    answers: Mapping[int, str | Mapping[str, Any] | None]
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: str | Mapping[str, Any] | None = None
    open: bool = False
    """Whether it is answered without a token."""


_JOBS_QUERY: Final[Mapping[str, Schema]] = {
    "state": one_of(State),
    "job": TEXT,
    "tag": {"type": "array", "items": TEXT, "description": "Jobs that have all of them."},
    "key": TEXT,
    "schedule": TEXT,
    "error": {**TEXT, "description": "The code of the error."},
    "since": {**TIME, "description": "Created at or after it."},
    "until": {**TIME, "description": "Created before it."},
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "cursor": {**TEXT, "description": "The nextCursor of the page before."},
}
_DELIVERIES_QUERY: Final[Mapping[str, Schema]] = {
    "state": {**one_of(DeliveryState), "default": DeliveryState.PENDING.value},
    "webhook": TEXT,
    "limit": _JOBS_QUERY["limit"],
    "cursor": _JOBS_QUERY["cursor"],
}
_FIGURES_QUERY: Final[Mapping[str, Schema]] = {
    "since": {**TIME, "description": "Steps that began at or after it."},
    "step": {
        "type": "integer",
        "enum": list(RINGS),
        "default": min(RINGS),
        "description": "Seconds of a step: 10 for the last hour, 600 for the last seven days.",
    },
}
_LOGS: Final = {"text/plain": {"schema": TEXT}, EVENTS: {"schema": TEXT}}
_LOGIN: Final = {"application/json": {"schema": record(token=TEXT)}}
_LINK: Final = {"application/json": {"schema": record(path=TEXT)}}

OPERATIONS: Final = (
    Operation("GET", ROOT, "This listener: version, scope and role", {200: "About"}),
    Operation("GET", f"{ROOT}/openapi.json", "This document", {200: {"application/json": {}}}),
    Operation(
        *("POST", f"{ROOT}/session", "Open a browser's session with a token", {204: None}),
        body=_LOGIN,
        open=True,
    ),
    Operation("DELETE", f"{ROOT}/session", "End the session", {204: None}),
    Operation(
        *("POST", f"{ROOT}/login-links", "Make a path that opens one session, once", {201: _LINK})
    ),
    Operation("GET", f"{ROOT}/endpoints", "All endpoints with their figures", {200: "Endpoints"}),
    Operation("GET", ENDPOINT, "One endpoint: its figures and policy", {200: "Endpoint"}),
    Operation(
        *("POST", f"{ENDPOINT}/pause", "Pause the endpoint, or one job", {200: "Endpoint"}),
        body="PauseRequest",
    ),
    Operation(
        *("POST", f"{ENDPOINT}/resume", "Resume the endpoint, or one job", {200: "Endpoint"}),
        body="PauseRequest",
    ),
    Operation("GET", f"{ENDPOINT}/workers", "Workers with the jobs they run", {200: "Workers"}),
    Operation("GET", f"{ENDPOINT}/schedules", "Schedules of the resource", {200: "Schedules"}),
    Operation(
        *("POST", f"{ENDPOINT}/schedules/{{schedule}}/run", "Create a schedule's job now"),
        {202: "Job"},
    ),
    Operation("GET", f"{ENDPOINT}/webhooks", "Webhooks and what waits for them", {200: "Webhooks"}),
    Operation(
        *("GET", f"{ENDPOINT}/deliveries", "Pending or dead deliveries", {200: "Deliveries"}),
        query=_DELIVERIES_QUERY,
    ),
    Operation(
        *("POST", f"{ENDPOINT}/deliveries/replay-all", "Replay dead deliveries", {200: "Replays"}),
        body="ReplayRequest",
    ),
    Operation(
        *("POST", f"{DELIVERY}/replay", "Replay a dead delivery under its webhook-id"),
        {202: "Replay"},
    ),
    Operation(
        *("GET", f"{ENDPOINT}/failures", "Final failures by job and error", {200: "Failures"}),
        query={"cursor": _JOBS_QUERY["cursor"]},
    ),
    Operation(
        *("GET", f"{ENDPOINT}/figures", "Figures over time", {200: "Figures"}), query=_FIGURES_QUERY
    ),
    Operation("GET", f"{ENDPOINT}/audit", "Changes and readings of bodies", {200: "Audit"}),
    Operation("GET", f"{ENDPOINT}/jobs", "List jobs", {200: "Jobs"}, query=_JOBS_QUERY),
    Operation("GET", JOB, "One job", {200: "Job"}),
    Operation("DELETE", JOB, "Remove a final job", {200: "Deleted"}),
    Operation("GET", f"{JOB}/body", "The job's input, as an attachment", {200: BYTES}),
    Operation("GET", f"{JOB}/result", "The job's result, as an attachment", {200: BYTES}),
    Operation(
        *("GET", f"{JOB}/logs", "What the handler logged", {200: _LOGS}),
        query={"attempt": {**COUNT, "minimum": 1}},
    ),
    Operation("POST", f"{JOB}/cancel", "Cancel a job", {200: "Job", 202: "Job"}),
    Operation("POST", f"{JOB}/retry", "Queue a Failed or Canceled job again", {202: "Job"}),
    Operation("POST", f"{JOB}/run-now", "Queue a Scheduled job now", {202: "Job"}),
    Operation(
        *("POST", f"{JOB}/resubmit", "Submit the job's input again", {202: "Job"}),
        body="ResubmitRequest",
    ),
    Operation(
        *("POST", f"{ENDPOINT}/actions", "Begin an action on many jobs", {202: "Action"}),
        body="ActionRequest",
    ),
    Operation("GET", f"{ENDPOINT}/actions/{{id}}", "One action", {200: "Action"}),
    Operation("DELETE", f"{ENDPOINT}/actions/{{id}}", "Abort an action", {200: "Action"}),
)

PARAMETERS: Final[Mapping[str, Schema]] = {
    **{"id": JOB_ID, "namespace": TEXT, "name": TEXT},
    "schedule": TEXT,
    "delivery": {**TEXT, "description": "The delivery's webhook-id."},
}
"""The schemas of parameters in paths."""
PROBLEM: Final = {
    "description": "A problem (RFC 9457)",
    "content": {"application/problem+json": {"schema": ref("Problem")}},
}
