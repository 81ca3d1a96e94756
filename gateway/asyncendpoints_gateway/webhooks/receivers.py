"""The receivers of an endpoint: which events each gets, its URL and its secrets."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource.receiver_urls import parse_url
from asyncendpoints_core.resource.webhooks import EVENTS, Webhook, digest
from asyncendpoints_gateway.webhooks.signing import parse_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.resource.receiver_urls import ReceiverUrl

log = logging.getLogger("asyncendpoints.gateway")

EVENT_OF: Final = dict(zip((State.COMPLETED, State.FAILED, State.CANCELED), EVENTS, strict=True))
MAX_FILE_BYTES: Final = 65_536
# In the folder of a pod's projected volume: docs/settings.md WEBHOOKS_FOLDER.
SECRETS_FILE: Final = "{name}.secrets"
URL_FILE: Final = "{name}.url"


class Unusable(Exception):
    """A receiver whose secrets or URL cannot be used now; the message says which and why."""


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

    def takes(self, job: Job) -> bool:
        """Return whether it gets the event of a finished job."""
        hook = self.webhook
        return (
            EVENT_OF[job.state] in hook.events
            and (not hook.jobs or job.name in hook.jobs)
            and (not hook.tags or not set(hook.tags).isdisjoint(job.attributes.tags))
        )

    def url(self) -> ReceiverUrl:
        """Return its URL as it is now. Raises Unusable."""
        text = self.webhook.url
        if text is None:
            text = _read(self.url_file, "the URL").strip()
        try:
            return parse_url(text)
        except ValueError as error:
            raise Unusable(f"the URL {error}") from None

    def secrets(self) -> tuple[bytes, ...]:
        """Return its secrets as they are now. Raises Unusable."""
        try:
            return parse_secrets(_read(self.secrets_file, "the secrets"))
        except ValueError as error:
            raise Unusable(f"the file of the secrets {error}") from None

    def id(self) -> bytes:
        """Return what the store knows it by: another one after each change of the webhook."""
        try:
            url = self.url()
            host = f"{url.host}:{url.port}"
        except Unusable:
            host = self.name
        return _hash(host) + _hash(f"{self.name} {digest([self.webhook])}")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:4]


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
) -> Sequence[Receiver]:
    """Return the receivers of an endpoint. `volume` has the files of Secrets in a pod; a relative
    path in the resource is resolved against `folder`.
    """
    found = []
    for webhook in endpoint.spec.webhooks:
        secrets = url = None
        if webhook.secrets.file is not None:
            secrets = (folder or Path()) / webhook.secrets.file
        elif volume is not None:
            secrets = volume / SECRETS_FILE.format(name=webhook.name)
        if webhook.url_from is not None and volume is not None:
            url = volume / URL_FILE.format(name=webhook.name)
        found.append(Receiver(webhook, secrets, url))
    return found
