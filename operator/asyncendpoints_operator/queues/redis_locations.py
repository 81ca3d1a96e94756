"""Which Redis an endpoint is on: one named in its resource or in a Secret, or the operator's.

Credentials are read here and used for connections only; what is shown of a Redis has none.
"""

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis.urls import check_form
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.status.observed import Queue, QueueReason

SECRET_SECONDS: Final = 60.0
"""How long a Secret's value is used before it is read again, unless Redis refuses it."""


@dataclass(frozen=True, slots=True)
class RedisLocation:
    """One Redis. `name` is unique inside this process and may contain credentials; `identity` is
    for people. `source` gives the URL for each new connection. `own`: the operator's, on which it
    may make users.
    """

    name: str
    identity: str
    source: Callable[[], str]
    own: bool = False


def identity_of(url: str) -> str:
    """Return a valid Redis URL without user, password and options."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{hosts}{parts.path}"[:200]


def location_of(url: str) -> RedisLocation:
    """Return the location of a URL. Raises UsageError."""
    check_form(url)
    return RedisLocation(url, identity_of(url), lambda: url)


class RedisLocations:
    """Finds an endpoint's Redis. `source` gives the operator's own URL, None if it has none."""

    def __init__(self, cluster: Cluster, source: Callable[[], str] | None) -> None:
        self._cluster = cluster
        self._source = source
        self._secrets: dict[tuple[str, str, str], tuple[float, RedisLocation]] = {}

    async def find(self, endpoint: AsyncEndpoint, *, fresh: bool = False) -> RedisLocation | Queue:
        """Return the endpoint's Redis, or the state of its queue when there is none.

        `fresh`: read its Secret again, because Redis refused the URL from it. Raises Refused if the
        API server cannot answer: then `known` has what it answered before.
        """
        redis = endpoint.spec.redis
        if redis.url is not None:
            try:
                return location_of(redis.url)
            except UsageError as error:
                return Queue(QueueReason.UNREACHABLE, str(error))
        if redis.secret_ref is not None:
            ref = (endpoint.metadata.namespace, redis.secret_ref.name, redis.secret_ref.key)
            return await self._from_secret(*ref, fresh=fresh)
        return self.own()

    def known(self, endpoint: AsyncEndpoint) -> RedisLocation | None:
        """Return the Redis in the endpoint's Secret as last read."""
        ref = endpoint.spec.redis.secret_ref
        parts = (endpoint.metadata.namespace, ref.name, ref.key) if ref else ("", "", "")
        cached = self._secrets.get(parts)
        return cached[1] if cached else None

    def own(self) -> RedisLocation | Queue:
        """Return the operator's own Redis, or why there is none."""
        if self._source is None:
            text = "the operator has no Redis of its own: name one in spec.redis"
            return Queue(QueueReason.NOT_CONFIGURED, text)
        try:
            url = self._source()
            check_form(url)
        except UsageError as error:
            return Queue(QueueReason.UNREACHABLE, f"the operator's own Redis: {error}")
        identity = identity_of(url)
        return RedisLocation(f"own {identity}", identity, self._source, own=True)

    async def _from_secret(
        self, namespace: str, name: str, key: str, *, fresh: bool
    ) -> RedisLocation | Queue:
        cached = self._secrets.get((namespace, name, key))
        now = time.monotonic()
        if cached is not None and not fresh and now - cached[0] < SECRET_SECONDS:
            return cached[1]
        try:
            secret = await self._cluster.get(Ref("v1", "Secret", namespace, name))
            encoded = (secret.get("data") or {}).get(key)
            if encoded is None:
                return Queue(QueueReason.SECRET_MISSING, f'Secret {name} has no entry "{key}"')
            url = base64.b64decode(encoded).decode().strip()
        except Refused as error:
            return _secret_unreadable(error, name)
        except (binascii.Error, UnicodeDecodeError):
            return Queue(QueueReason.SECRET_MISSING, f'Secret {name}: "{key}" is not valid text')
        if "://" not in url:
            return Queue(QueueReason.SECRET_MISSING, f'Secret {name}: "{key}" is not a Redis URL')
        try:
            location = location_of(url)
        except UsageError as error:
            return Queue(QueueReason.SECRET_MISSING, f'Secret {name}: "{key}": {error}')
        self._secrets[namespace, name, key] = (now, location)
        return location


def _secret_unreadable(error: Refused, name: str) -> Queue:
    if error.missing:
        return Queue(QueueReason.SECRET_MISSING, f"Secret {name} does not exist")
    if error.status == 403:
        text = (
            f"the operator may not read Secret {name}: see rbac.secretNamespaces of the chart; "
            "gateway and workers run, but the operator does not scale, count or recover anything"
        )
        return Queue(QueueReason.SECRET_NOT_READABLE, text)
    raise error
