"""The JSON Schemas of what the operations API takes and returns."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from asyncendpoints_console.access import Role
from asyncendpoints_console.api.actions import Requested
from asyncendpoints_console.api.resubmit import Edited
from asyncendpoints_console.reading.webhooks import REMOVED
from asyncendpoints_core.jobs.job_view import JobView
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.actions import ActionKind, ActionState
from asyncendpoints_core.store.deliveries import DeliveryState, ReceiverHealth
from asyncendpoints_core.store.figures import RINGS

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
JOB_ID: Final[Schema] = {"type": "string", "format": "uuid"}
ANY_OBJECT: Final[Schema] = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(optional: Schema | None = None, /, **members: Schema) -> Schema:
    """Return the schema of an object with these members; those of `optional` may be absent."""
    properties = {name.rstrip("_"): member for name, member in members.items()}
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
    }


def listed(item: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": item}


def items(item: Schema) -> Schema:
    """Return the schema of an object with the member items."""
    return record(items=listed(item))


def maybe(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(values: type[Any]) -> Schema:
    """Return the schema of the values of an enumeration."""
    return {"type": "string", "enum": [each.value for each in values]}


_REQUEST: Final = record(
    method=TEXT,
    path=TEXT,
    query=maybe(TEXT),
    params=maybe(ANY_OBJECT),
    headers=maybe(ANY_OBJECT),
    contentType=TEXT,
    bytes=COUNT,
)
_OPERATIONS: Final = {
    "worker": maybe(TEXT),
    "claim": maybe(COUNT),
    "deadline": maybe(TIME),
    "leaseEndsAt": maybe(TIME),
    "suspect": FLAG,
    "traceparent": maybe(TEXT),
    "waitingFor": maybe(TEXT),
    "paused": {**FLAG, "description": "It waits until its name or the endpoint is resumed."},
    "suspended": {**FLAG, "description": "It waits until the resource does not suspend jobs."},
    "position": maybe(COUNT),
    "request": maybe(_REQUEST),
    "resultBytes": maybe(COUNT),
}
"""What the operations API adds to a job as clients see it."""


def _of_structs() -> dict[str, Schema]:
    """Return the schemas of what is encoded from, and decoded to, structs."""
    _, found = msgspec.json.schema_components(
        (JobView, Requested, Edited), ref_template="#/components/schemas/{name}"
    )
    job = found.pop("JobView")
    links = found["Links"]
    links["properties"] |= {"body": TEXT}
    job["properties"] |= _OPERATIONS
    job["required"] += list(_OPERATIONS)
    for schema in found.values():
        schema.pop("title", None)
    return {
        "Job": {key: value for key, value in job.items() if key != "title"},
        "ActionRequest": found.pop("Requested"),
        "ResubmitRequest": found.pop("Edited"),
        **found,
    }


_SCALING: Final = record(target=COUNT, reason=TEXT, message=TEXT)
_ENDPOINT: Final = record(
    {
        "message": {**TEXT, "description": "Why the queue cannot be read."},
        "jobs": record(**dict.fromkeys([state.value for state in State], COUNT)),
        "oldestQueuedAt": maybe(TIME),
        "startsPerSecond": maybe(NUMBER),
        "finishesPerSecond": maybe(NUMBER),
        "heldBack": {
            **COUNT,
            "description": "Queued jobs that a limit or the pause of their name holds back.",
        },
        "failuresLastHour": COUNT,
        "workers": COUNT,
        "slots": COUNT,
        "used": COUNT,
        "paused": {
            **listed(TEXT),
            "description": "Names of paused jobs; * while the whole endpoint is paused.",
        },
        "suspended": FLAG,
        "scaling": maybe(_SCALING),
        "warnings": {
            **listed(record(reason=TEXT, message=TEXT)),
            "description": "What somebody should look at; reason is a name, such as QueueFull.",
        },
        "policy": {**ANY_OBJECT, "description": "Of a single endpoint only."},
    },
    namespace=TEXT,
    name=TEXT,
    reachable={**FLAG, "description": "If it is false, message says why and figures are absent."},
)
_SCALING_STEP: Final = record(
    {"from": COUNT}, at=TIME, to=COUNT, target=COUNT, reason=TEXT, message=TEXT
)
_FIGURES: Final = record(
    step={"type": "integer", "enum": list(RINGS), "description": "Seconds of a step."},
    since={**maybe(TIME), "description": "When the first step began; null without figures."},
    jobs={
        **record(**dict.fromkeys([state.value for state in State], listed(maybe(COUNT)))),
        "description": "Retained jobs at the end of each step. Null: it was not recorded.",
    },
    **{name: listed(maybe(COUNT)) for name in ("starts", "finishes", "failures")},
    **{name: listed(maybe(NUMBER)) for name in ("waitP50Seconds", "waitP95Seconds")},
    **{name: listed(maybe(COUNT)) for name in ("demand", "wanted", "workers")},
    scalingSteps={**listed(_SCALING_STEP), "description": "The last ones, the oldest first."},
)
_RUNNING: Final = record(
    id=JOB_ID,
    name=TEXT,
    attempt=COUNT,
    startedAt=maybe(TIME),
    elapsedSeconds=NUMBER,
    progress=maybe(NUMBER),
)
_WORKER: Final = record(
    id=TEXT,
    pod=TEXT,
    host=maybe(TEXT),
    version=maybe(TEXT),
    slots=COUNT,
    held=COUNT,
    running=listed(_RUNNING),
    lastHeartbeatAt=maybe(TIME),
    leaseEndsAt=maybe(TIME),
    live=FLAG,
    cordoned=FLAG,
    draining=FLAG,
    lastCrash=maybe(TEXT),
)
_SCHEDULE: Final = record(
    name=TEXT,
    job=TEXT,
    cron=TEXT,
    timeZone=TEXT,
    suspended=FLAG,
    concurrencyPolicy=TEXT,
    startingDeadlineSeconds=maybe(NUMBER),
    priority=TEXT,
    key=maybe(TEXT),
    tags=listed(TEXT),
    nextTime=maybe({**TIME, "description": "null while it is suspended."}),
    lastTime=maybe({**TIME, "description": "The last time that created a job."}),
    missed=COUNT,
    missedAt=maybe(TIME),
    skipped=COUNT,
    skippedAt=maybe(TIME),
)
_WEBHOOK: Final = record(
    name={**TEXT, "description": "Job-Webhook: the receivers that clients name."},
    host={**maybe(TEXT), "description": "null if the URL is kept in a Secret."},
    events=listed(TEXT),
    jobs=listed(TEXT),
    tags=listed(TEXT),
    includeResult=FLAG,
    state={"type": "string", "enum": [*(each.value for each in ReceiverHealth), REMOVED]},
    pending=COUNT,
    failures={**COUNT, "description": "In a row."},
    lastStatus={**maybe(COUNT), "description": "null without an answer."},
    failingSince=maybe(TIME),
    nextProbeAt=maybe(TIME),
)
_DELIVERY: Final = record(
    id={**TEXT, "description": "The header webhook-id of each try."},
    webhook=TEXT,
    host=maybe(TEXT),
    event=TEXT,
    job=record(id=JOB_ID, name=TEXT),
    state=one_of(DeliveryState),
    tries={**COUNT, "description": "How many have failed."},
    lastStatus={**maybe(COUNT), "description": "null without an answer."},
    createdAt=TIME,
    nextTryAt=maybe(TIME),
    deadAt=maybe(TIME),
)
_FAILED_JOB: Final = record(id=JOB_ID, completedAt=maybe(TIME), message=TEXT)
_FAILURE: Final = record(
    job=TEXT,
    error=TEXT,
    count=COUNT,
    newest=_FAILED_JOB,
    messages={
        **listed(record(count=COUNT, newest=_FAILED_JOB)),
        "description": "The most frequent first; those that differ in numbers and ids are one.",
    },
)
_AUDIT: Final = record(
    {
        name: TEXT
        for name in ("job", "created", "many", "filter", "schedule", "webhook", "delivery")
    },
    time=TIME,
    role=one_of(Role),
    claimedUser=maybe(TEXT),
    action=TEXT,
    count=COUNT,
)

SCHEMAS: Final[dict[str, Schema]] = {
    **_of_structs(),
    "About": record(version=TEXT, scope=TEXT, instance=TEXT, readOnly=FLAG, role=one_of(Role)),
    "Endpoint": _ENDPOINT,
    "Endpoints": items(ref("Endpoint")),
    "Jobs": record(items=listed(ref("Job")), nextCursor=maybe(TEXT)),
    "Deleted": record(id=JOB_ID, deleted=FLAG),
    "Action": record(
        id=JOB_ID,
        action=one_of(ActionKind),
        dryRun=FLAG,
        state=one_of(ActionState),
        waitingForRoom=FLAG,
        matched=COUNT,
        done=COUNT,
        skipped=COUNT,
        startedAt=TIME,
        endedAt=maybe(TIME),
    ),
    "Figures": _FIGURES,
    "Workers": items(_WORKER),
    "Schedules": items(_SCHEDULE),
    "Webhooks": record(items=listed(_WEBHOOK), pending=COUNT, dead=COUNT, oldestAt=maybe(TIME)),
    "Deliveries": record(items=listed(_DELIVERY), nextCursor=maybe(TEXT)),
    "Replay": record(id=TEXT, state=one_of(DeliveryState)),
    "Replays": record(replayed=COUNT, skipped=COUNT),
    "ReplayRequest": record({"webhook": {**TEXT, "description": "Only those of this webhook."}}),
    "Failures": record(
        items=listed(_FAILURE),
        examined=COUNT,
        total=COUNT,
        complete=FLAG,
        nextCursor=maybe(TEXT),
    ),
    "Audit": items(_AUDIT),
    "PauseRequest": record({"job": {**TEXT, "description": "Only the jobs of this name."}}),
    "Problem": record(
        {"errors": listed(record(pointer=TEXT, detail=TEXT)), "instance": TEXT},
        type=TEXT,
        title=TEXT,
        status={"type": "integer"},
        detail=TEXT,
    ),
}
