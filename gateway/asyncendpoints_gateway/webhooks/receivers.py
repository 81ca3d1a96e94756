"""The receivers of an endpoint: which events each gets, its URL and its secrets.

They are the webhooks of the resource, and those that clients named for their jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.resource.receiver_urls import ReceiverUrl, parse_url
from asyncendpoints_core.resource.webhooks import (
    EVENT_OF,
    Secrets,
    Webhook,
    hash4,
    host_part,
    receiver_part,
)
from asyncendpoints_core.store.deliveries import NewDelivery
from asyncendpoints_gateway.http.webhook_requests import AllowedReceivers
from asyncendpoints_gateway.webhooks.signing import delivery_id, parse_secrets, secret_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.deliveries import Delivery

MAX_FILE_BYTES: Final = 65_536
# In the folder of a pod's projected volume: docs/settings.md WEBHOOKS_FOLDER.
SECRETS_FILE: Final = "{name}.secrets"
URL_FILE: Final = "{name}.url"


CLIENT_TIMEOUT_SECONDS: Final = 15


class Unusable(Exception):
    """A receiver whose secrets or URL cannot be used now; the message says which and why."""


class NotAllowed(Exception):
    """A receiver that the resource does not have, or allow, any more."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how one delivery is sent."""

    url: ReceiverUrl
    secrets: tuple[bytes, ...]
    timeout_seconds: float
    include_result: bool


class Receivers(Protocol):
    """Receivers of one origin in the resource, known by their name."""

    @property
    def name(self) -> str:
        """A webhook's name, or CLIENTS."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """How long a receiver may take to answer."""
        ...

    def deliveries(self, endpoint: str, job: Job) -> Sequence[NewDelivery]:
        """Return what is delivered of the end of a job."""
        ...

    def target(self, delivery: Delivery) -> Target:
        """Return where a delivery goes. Raises Unusable or NotAllowed."""
        ...


@dataclass(frozen=True, slots=True)
class Receiver:
    """One webhook of the resource, with the files of its secrets and its URL."""

    webhook: Webhook
    secrets_file: Path | None
    url_file: Path | None

    @property
    def name(self) -> str:
        """The webhook's name."""
        return self.webhook.name

    @property
    def timeout_seconds(self) -> float:
        """See Receivers."""
        return self.webhook.timeout_seconds

    def deliveries(self, endpoint: str, job: Job) -> Sequence[NewDelivery]:
        """See Receivers."""
        if not self._takes(job):
            return ()
        key = delivery_id(endpoint, job.id, job.revision, self.name)
        return (NewDelivery(key, self.id(), self.name),)

    def target(self, delivery: Delivery) -> Target:
        """See Receivers."""
        hook = self.webhook
        secrets = _secrets(self.secrets_file)
        return Target(self._url(), secrets, self.timeout_seconds, hook.include_result)

    def _takes(self, job: Job) -> bool:
        hook = self.webhook
        return (
            EVENT_OF[job.state] in hook.events
            and (not hook.jobs or job.name in hook.jobs)
            and (not hook.tags or not set(hook.tags).isdisjoint(job.attributes.tags))
        )

    def _url(self) -> ReceiverUrl:
        text = self.webhook.url
        if text is None:
            text = _read(self.url_file, "the URL").strip()
        try:
            return parse_url(text)
        except ValueError as error:
            raise Unusable(f"the URL {error}") from None

    def id(self) -> bytes:
        """Return what the store knows it by: another one after each change of the webhook."""
        try:
            host = host_part(self._url())
        except Unusable:
            host = hash4(self.name)
        return host + receiver_part(self.webhook)


@dataclass(frozen=True, slots=True)
class ClientReceivers:
    """The receivers that clients named, with the file of the secrets that theirs are made from."""

    allowed: AllowedReceivers
    secrets_file: Path | None
    name: str = CLIENTS
    timeout_seconds: float = CLIENT_TIMEOUT_SECONDS

    def deliveries(self, endpoint: str, job: Job) -> Sequence[NewDelivery]:
        """See Receivers."""
        return [
            NewDelivery(
                delivery_id(endpoint, job.id, job.revision, url),
                host_part(parse_url(url)) + hash4(url),
                self.name,
                url,
            )
            for url in job.attributes.webhooks
        ]

    def target(self, delivery: Delivery) -> Target:
        """See Receivers."""
        url = parse_url(delivery.url)
        if not self.allowed.allow(url):
            raise NotAllowed
        secrets = tuple(secret_for(each, url.origin) for each in _secrets(self.secrets_file))
        return Target(url, secrets, self.timeout_seconds, include_result=False)


def _secrets(path: Path | None) -> tuple[bytes, ...]:
    try:
        return parse_secrets(_read(path, "the secrets"))
    except ValueError as error:
        raise Unusable(f"the file of the secrets {error}") from None


def _read(path: Path | None, what: str) -> str:
    if path is None:
        raise Unusable(f"{what} are in a Secret, which only a pod of the operator has")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise Unusable(f"the file of {what} exceeds {MAX_FILE_BYTES} bytes")
        return data.decode()
    except OSError as error:
        raise Unusable(f"{what} cannot be read: {(error.strerror or 'error').lower()}") from None
    except UnicodeDecodeError:
        raise Unusable(f"the file of {what} is not UTF-8") from None


def receivers_of(
    endpoint: AsyncEndpoint, volume: Path | None, folder: Path | None
) -> Sequence[Receivers]:
    """Return the receivers of an endpoint. `volume` has the files of Secrets in a pod; a relative
    path in the resource is resolved against `folder`.
    """

    def secrets_of(name: str, secrets: Secrets) -> Path | None:
        if secrets.file is not None:
            return (folder or Path()) / secrets.file
        return None if volume is None else volume / SECRETS_FILE.format(name=name)

    found: list[Receivers] = []
    for webhook in endpoint.spec.webhooks:
        url = None
        if webhook.url_from is not None and volume is not None:
            url = volume / URL_FILE.format(name=webhook.name)
        found.append(Receiver(webhook, secrets_of(webhook.name, webhook.secrets), url))
    if (requests := endpoint.spec.webhook_requests) is not None:
        allowed = AllowedReceivers.of(requests)
        found.append(ClientReceivers(allowed, secrets_of(CLIENTS, requests.secrets)))
    return found
