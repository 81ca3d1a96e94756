"""Webhooks: who is notified of finished jobs, and of which."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from asyncendpoints_core.jobs.policy import CLIENT_RECEIVERS, CLIENTS
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource.base import (
    DNS_LABEL,
    Items,
    Record,
    SecretRef,
    checked_by,
    one_of,
    optional,
    pattern,
    unique,
)
from asyncendpoints_core.resource.gateway import FilePath
from asyncendpoints_core.resource.receiver_urls import MAX_URL, parse_pattern, parse_url
from asyncendpoints_core.resource.receiver_urls import ReceiverUrl as ParsedUrl
from asyncendpoints_core.resource.routes import JobName
from asyncendpoints_core.resource.schedules import Tag

Event = Literal["job.completed", "job.failed", "job.canceled"]
EVENTS: Final[tuple[Event, ...]] = ("job.completed", "job.failed", "job.canceled")
"""All events, in the order of the final states."""
EVENT_OF: Final = dict(zip((State.COMPLETED, State.FAILED, State.CANCELED), EVENTS, strict=True))
MAX_WEBHOOKS: Final = 8
_ORIGIN: Final = pattern(
    r"^https?://(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(:[0-9]{1,5})?$",
    'an origin without a path, such as https://*.example.com; "*." is one or more whole labels',
)

Origin = Annotated[
    str,
    StringConstraints(min_length=1, max_length=270, pattern=_ORIGIN),
    checked_by(parse_pattern),
]
# The messages do not quote the URL: many have a secret in their path.
ReceiverUrl = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_URL), checked_by(parse_url)
]


class UrlSource(Record):
    """Where a URL is kept that must not be in the resource."""

    secret_ref: SecretRef = Field(description="Key of a Secret with the URL.")


class Secrets(Record):
    """Where the secrets are kept that sign requests, `whsec_…` one per line; changes are picked up
    without a restart.
    """

    secret_ref: SecretRef | None = optional("Key of a Secret with the secrets, one per line.")
    file: Annotated[FilePath | None, one_of("secret_ref", "file")] = optional(
        "File with the secrets, one per line; a relative path is relative to the "
        "directory of the resource's file. For `asyncendpoints run` and mounted volumes.",
        validate_default=True,
    )


class Webhook(Record):
    """A receiver of events, and which it gets: those that fit `events`, `jobs` and `tags`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)] = Field(
        description="Name of the webhook, unique in the resource."
    )
    url: ReceiverUrl | None = optional(
        "URL that events are sent to with POST, such as "
        "https://billing.example.com/hooks. Private addresses must be allowed by the chart's "
        "webhooks.allowPrivateCidrs."
    )
    url_from: Annotated[UrlSource | None, one_of("url", "url_from")] = optional(
        "Where the URL is kept, if it contains a secret, instead of url.", validate_default=True
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


class WebhookRequests(Record):
    """Receivers that clients name, one with each submission, by the header Job-Webhook."""

    allow: Annotated[Items[Origin], unique("origin")] = Field(
        default=(),
        max_length=64,
        description="Origins that their URLs may have, such as https://*.example.com. "
        "Default: none, the header is refused.",
    )
    secrets: Secrets = Field(
        description="Secrets that those of the receivers are made from, a different one for each "
        "origin; `asyncendpoints webhook-secret ORIGIN` prints it."
    )


def digest(webhooks: Sequence[Webhook], requests: WebhookRequests | None = None) -> int:
    """Return a number that stands for all webhooks, 0 for none: for Policy.webhooks."""
    if not webhooks and requests is None:
        return 0
    dumped: list[Any] = [_dump(each) for each in webhooks]
    if requests is not None:
        dumped.append({CLIENTS: _dump(requests)})
    canonical = json.dumps(dumped, sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(canonical).digest()[:6]) or 1


def host_part(url: ParsedUrl) -> bytes:
    """Return by which part of a receiver's id the store knows its host and port."""
    return hash4(f"{url.host}:{url.port}")


def receiver_part(webhook: Webhook) -> bytes:
    """Return by which part of a receiver's id the store knows a webhook: another one after each
    change of it.
    """
    return hash4(f"{webhook.name} {digest([webhook])}")


def hash4(text: str) -> bytes:
    """Return 4 bytes that stand for a host or a receiver."""
    return hashlib.sha256(text.encode()).digest()[:4]


def _dump(record: Record) -> Any:
    return record.model_dump(mode="json", exclude_defaults=True)


def states(webhooks: Sequence[Webhook], requests: WebhookRequests | None = None) -> int:
    """Return a bit for each final state of which any webhook gets the event, and CLIENT_RECEIVERS
    if clients name some.
    """
    wanted = {event for each in webhooks for event in each.events}
    bits = sum(1 << bit for bit, event in enumerate(EVENTS) if event in wanted)
    return bits if requests is None else bits | CLIENT_RECEIVERS


def wanted_jobs(webhooks: Sequence[Webhook]) -> tuple[str, ...]:
    """Return the names of the jobs of which any webhook gets events; empty for all."""
    if not all(each.jobs for each in webhooks):
        return ()
    return tuple(sorted({job for each in webhooks for job in each.jobs}))
