"""Webhooks: who is notified of finished jobs, and of which."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from asyncendpoints_core.resource.base import (
    DNS_LABEL,
    Items,
    Record,
    SecretRef,
    exactly_one,
    invalid,
    unique,
)
from asyncendpoints_core.resource.gateway import FilePath
from asyncendpoints_core.resource.receiver_urls import MAX_URL, parse_url
from asyncendpoints_core.resource.routes import JobName
from asyncendpoints_core.resource.schedules import TAG

Event = Literal["job.completed", "job.failed", "job.canceled"]
EVENTS: Final[tuple[Event, ...]] = ("job.completed", "job.failed", "job.canceled")
"""All events, in the order of the final states."""
MAX_WEBHOOKS: Final = 8


def _receiver_url(value: str) -> str:
    # Messages must not quote the URL: many have a secret in their path.
    try:
        parse_url(value)
    except ValueError as error:
        raise invalid(str(error)) from None
    return value


ReceiverUrl = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_URL), AfterValidator(_receiver_url)
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=TAG)]


class UrlSource(Record):
    """Where a URL is kept that must not be in the resource."""

    secret_ref: SecretRef = Field(description="Key of a Secret with the URL.")


class Secrets(Record):
    """Where the secrets are kept that sign requests, `whsec_…` one per line; changes are picked up
    without a restart.
    """

    secret_ref: SecretRef | None = Field(
        default=None, description="Key of a Secret with the secrets, one per line."
    )
    file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="File with the secrets, one per line; a relative path is relative to the "
        "directory of the resource's file. For `asyncendpoints run` and mounted volumes.",
    )

    @field_validator("file")
    @classmethod
    def _one_source(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "file": value}, ("secret_ref", "file"))
        return value


class Webhook(Record):
    """A receiver of events, and which it gets: those that fit `events`, `jobs` and `tags`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)] = Field(
        description="Name of the webhook, unique in the resource."
    )
    url: ReceiverUrl | None = Field(
        default=None,
        description="URL that events are sent to with POST, such as "
        "https://billing.example.com/hooks. Private addresses must be allowed by the chart's "
        "webhooks.allowPrivateCidrs.",
    )
    url_from: UrlSource | None = Field(
        default=None,
        validate_default=True,
        description="Where the URL is kept, if it contains a secret, instead of url.",
    )
    secrets: Secrets = Field(
        description="Secrets that sign each request (Standard Webhooks); all of them do, so that "
        "they can be rotated."
    )
    events: Annotated[Items[Event], unique("event")] = Field(
        default=EVENTS,
        min_length=1,
        max_length=len(EVENTS),
        description="Events that are sent. Default: all three.",
    )
    jobs: Annotated[Items[JobName], unique("job")] = Field(
        default=(), max_length=64, description="Names of the jobs. Default: all."
    )
    tags: Annotated[Items[Tag], unique("tag")] = Field(
        default=(), max_length=32, description="Only jobs with any of these tags. Default: all."
    )
    include_result: bool = Field(
        default=False,
        description="Whether results are sent: text and JSON of up to 64 KiB. Default: false.",
    )
    timeout_seconds: int = Field(
        default=15,
        ge=1,
        le=20,
        description="Time for an answer, in seconds; then the try has failed. Default: 15.",
    )

    @field_validator("url_from")
    @classmethod
    def _one_url(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "url_from": value}, ("url", "url_from"))
        return value


def digest(webhooks: Sequence[Webhook]) -> int:
    """Return a number that stands for all webhooks, 0 for none: for Policy.webhooks."""
    if not webhooks:
        return 0
    return int.from_bytes(hashlib.sha256(_canonical(webhooks)).digest()[:6]) or 1


def _canonical(webhooks: Sequence[Webhook]) -> bytes:
    dumped = [each.model_dump(mode="json", exclude_defaults=True) for each in webhooks]
    return json.dumps(dumped, sort_keys=True).encode()


def states(webhooks: Sequence[Webhook]) -> int:
    """Return a bit for each final state of which any webhook gets the event."""
    wanted = {event for each in webhooks for event in each.events}
    return sum(1 << bit for bit, event in enumerate(EVENTS) if event in wanted)
