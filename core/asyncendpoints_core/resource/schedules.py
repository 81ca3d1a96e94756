"""Schedules: jobs that are created at the times of a cron expression."""

import hashlib
import json
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from asyncendpoints_core.jobs.cron import Cron, check_expression, zone
from asyncendpoints_core.resource.base import (
    AnyJson,
    Items,
    Label,
    Record,
    Role,
    checked_by,
    invalid,
    json_value,
    optional,
    pattern,
    unique,
)
from asyncendpoints_core.resource.routes import JobName

MAX_SCHEDULES: Final = 100
MAX_BODY_BYTES: Final = 32_768
MAX_KEY_BYTES: Final = 64

# The shape alone, which the API server can check; the values are checked by cronsim.
CRON: Final = pattern(
    r"^\s*(@[A-Za-z]+|[^@\s]\S*(\s+\S+){4})\s*$",
    "five fields (minute hour day month weekday), such as 0 3 * * *, or an alias, such as @hourly",
)
TIME_ZONE: Final = pattern(
    r"^[A-Za-z0-9+_-]+(/[A-Za-z0-9+_-]+)*$",
    "the name of a time zone in the IANA database, such as Europe/Berlin",
)
TAG: Final = pattern(r"^[A-Za-z0-9._:/=-]+$", 'letters, digits and ". _ : / = -"')
KEY: Final = pattern(r"^[^\x00-\x1f\x7f-\x9f]+$", "text without control characters")


def _key(text: str) -> str:
    size = len(text.encode())
    if size > MAX_KEY_BYTES:
        raise invalid(f"has {size} bytes, but at most {MAX_KEY_BYTES} are allowed")
    return text


Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=TAG)]
Expression = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=CRON),
    checked_by(check_expression, "cannot be read: {}"),
]
TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=TIME_ZONE),
    checked_by(zone, "{} in the IANA database; write it such as Europe/Berlin"),
]
Key = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_KEY_BYTES, pattern=KEY),
    AfterValidator(_key),
]


class Schedule(Record):
    """Jobs that are created at the times of a cron expression."""

    name: Label = Field(description="Name of the schedule, unique in the endpoint.")
    cron: Expression = Field(
        description="When jobs are created: minute, hour, day of the month, month and day of the "
        'week, such as "0 3 * * *", or @hourly, @daily, @weekly, @monthly or @yearly.',
    )
    time_zone: TimeZone = Field(
        default="Etc/UTC",
        description="Time zone of the IANA database, such as Europe/Berlin. When the clocks "
        "change, a time that does not exist is the end of the gap, and one that occurs twice is "
        "its first occurrence; with a wildcard as minute or hour, elapsed time counts. Default: "
        "Etc/UTC.",
    )
    job: JobName = Field(description="Name of the job.")
    body: Annotated[AnyJson, json_value(MAX_BODY_BYTES)] = optional(
        "Body of the job, sent as JSON: any value, at most 32 KiB. Absent: no body."
    )
    key: Key | None = optional("Key of the job, at most 64 bytes. Absent: none.")
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = Field(
        default="Allow",
        description="What happens while an earlier job of this schedule is not finished. Allow: "
        "another one is created. Forbid: the time is skipped. Replace: the earlier ones are "
        "canceled; a handler that is running may overlap with the new one until it ends. "
        "Default: Allow.",
    )
    starting_deadline_seconds: Annotated[float, Field(ge=1, le=31_536_000)] | None = optional(
        "How long after its time a job may still be created, in seconds, if that was "
        "not possible earlier (no gateway was running, or the queue was full). Of several times "
        "that have passed, only the latest counts. Absent: until the next time."
    )
    suspend: bool = Field(
        default=False,
        description="true: no jobs are created. Times that pass are not made up for. Default: "
        "false.",
    )
    priority: Literal["high", "normal", "low"] = Field(
        default="normal", description="Priority of the job. Default: normal."
    )
    tags: Annotated[Items[Tag], unique("tag")] = Field(
        default=(), max_length=10, description="Tags of the job. Default: none."
    )

    @property
    def times(self) -> Cron:
        """Its times."""
        return Cron(self.cron, self.time_zone)

    @property
    def hash(self) -> str:
        """What tells two definitions of a schedule apart, in 16 hex digits. A default that is
        written out changes nothing, and neither does a new version of the model.
        """
        document = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
        )
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


Schedules = Annotated[
    Items[Schedule],
    Field(
        max_length=MAX_SCHEDULES,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    ),
    unique("schedule", lambda schedule: schedule.name),
    Role.GATEWAY,
    Role.STORE,
    Role.OPERATOR,
]
"""The schedules of an endpoint."""
