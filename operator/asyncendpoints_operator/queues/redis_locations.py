"""Which Redis an endpoint is on: the one of its resource, of a Secret it names, or the operator's.

Credentials are read here and go into connections; what is shown of a place never has any.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from asyncendpoints_core.errors import UsageError
from asyncendpoints_operator.kube.client import Ref, Refused
from asyncendpoints_operator.status.observed import Queue, QueueReason

if TYPE_CHECKING:
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_operator.kube.client import Cluster

SECRET_SECONDS: Final = 60.0
"""How long a Secret that was read is good, unless Redis refuses what it says."""


@dataclass(frozen=True, slots=True)
class Place:
    """One Redis. `name` tells it from others inside this process and may hold credentials;
    `identity` is what people are shown. `source` gives the URL at each connect. `own`: it is the
    operator's, which may make users there.
    """

    name: str
    identity: str
    source: Callable[[], str]
    own: bool = False


def identity_of(url: str) -> str:
    """Return a Redis URL without user, password and options: what tells one Redis from another."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{hosts}{parts.path}"[:200]


def place_of(url: str) -> Place:
    """Return the place of a URL."""
    return Place(url, identity_of(url), lambda: url)


class Places:
    """Finds an endpoint's Redis. `own` gives the operator's URL, None: it has none."""

    def __init__(self, cluster: Cluster, own: Callable[[], str] | None) -> None:
        self._cluster = cluster
        self._own = own
        self._secrets: dict[tuple[str, str, str], tuple[float, str]] = {}

    async def find(self, endpoint: AsyncEndpoint, *, fresh: bool = False) -> Place | Queue:
        """Return the endpoint's place, or the state of its queue when there is none to be had.

        `fresh`: read its Secret again, because Redis refused what it said before.
        """
        redis = endpoint.spec.redis
        if redis.url is not None:
            return place_of(redis.url)
        if redis.secret_ref is not None:
            ref = (endpoint.metadata.namespace, redis.secret_ref.name, redis.secret_ref.key)
            return await self._secret(*ref, fresh=fresh)
        return self.operators()

    def operators(self) -> Place | Queue:
        """Return the operator's own Redis, or why there is none."""
        if self._own is None:
            text = "the operator has no Redis of its own: name one in spec.redis"
            return Queue(QueueReason.NOT_CONFIGURED, text)
        try:
            identity = identity_of(self._own())
        except UsageError as error:
            return Queue(QueueReason.UNREACHABLE, f"the operator's own Redis: {error}")
        return Place(f"own {identity}", identity, self._own, own=True)

    async def _secret(self, namespace: str, name: str, key: str, *, fresh: bool) -> Place | Queue:
        known = self._secrets.get((namespace, name, key))
        now = time.monotonic()
        if known is not None and not fresh and now - known[0] < SECRET_SECONDS:
            return place_of(known[1])
        try:
            secret = await self._cluster.get(Ref("v1", "Secret", namespace, name))
            encoded = (secret.get("data") or {}).get(key)
            if encoded is None:
                return Queue(QueueReason.SECRET_MISSING, f'Secret {name} has no entry "{key}"')
            url = base64.b64decode(encoded).decode().strip()
        except Refused as error:
            return _unread(error, name)
        except (binascii.Error, UnicodeDecodeError):
            return Queue(QueueReason.SECRET_MISSING, f'Secret {name}: "{key}" is no text')
        if "://" not in url:
            return Queue(QueueReason.SECRET_MISSING, f'Secret {name}: "{key}" is no Redis URL')
        self._secrets[namespace, name, key] = (now, url)
        return place_of(url)


def _unread(error: Refused, name: str) -> Queue:
    if error.missing:
        return Queue(QueueReason.SECRET_MISSING, f"there is no Secret {name}")
    if error.status == 403:
        text = (
            f"the operator may not read Secret {name}: see rbac.secretNamespaces of the chart; "
            "gateway and workers run, but nothing is scaled, counted or recovered by it"
        )
        return Queue(QueueReason.SECRET_NOT_READABLE, text)
    raise error
