"""A Redis user for each endpoint on the operator's Redis, and the Secret with its URL.

The operator may create and delete these Secrets but not read them, so passwords are derived from
the password in its own URL and the endpoint's UID. When one changes, because the operator's did or
the resource was replaced, the old one stays valid for as long as pods may use it. Where ACL is off
or forbidden, or the operator has no password itself, the Secret has the operator's URL, and
condition QueueShared says so.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis.users import (
    UsersForbidden,
    delete_user,
    ensure_user,
    hash_of,
    password_hashes,
    url_of,
    user_of,
    users,
)
from asyncendpoints_operator.control.failures import Failures, Step
from asyncendpoints_operator.desired.config import content_hash
from asyncendpoints_operator.desired.naming import (
    GATEWAY,
    WORKER,
    Manifest,
    redis_secret_name,
)
from asyncendpoints_operator.desired.objects import redis_secret
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.kube.pod_state import has_ended
from asyncendpoints_operator.queues.polled_redis import PolledRedis
from asyncendpoints_operator.queues.queue_connection import QueueConnection
from asyncendpoints_operator.queues.redis_poller import RedisPoller
from asyncendpoints_operator.status.observed import RefusalReason

log = logging.getLogger("asyncendpoints.operator")

_DEADLINE_SECONDS: Final = 3.0
"""How long a Redis may take before pods are made without its user, which is made later."""
_NOTE: Final = "secret"
HOLD_SECONDS: Final = 300.0
"""How long an old password is valid at least: the kubelet updates a mounted Secret within two
minutes, and a pod reads it at its next connection.
"""


@dataclass(frozen=True, slots=True)
class _Made:
    """What the user and the Secret of an endpoint were last made with; "": nothing, or unknown.

    `connects` is the connection at which the user was made. `old` are the hashes of passwords that
    the user has as well, `since` (s) is when the last of them was added.
    """

    connects: int = 0
    password: str = ""
    secret: str = ""
    old: frozenset[str] = frozenset()
    since: float = 0.0


class RedisUsers:
    """Makes users and Secrets. `acl` False: never a user. What the API server refuses is recorded
    in `failures`.
    """

    def __init__(
        self, cluster: Cluster, cache: Cache, failures: Failures, installation: str, *, acl: bool
    ) -> None:
        self._cluster, self._cache, self._failures = cluster, cache, failures
        self._installation = installation
        self._acl = acl
        self._forbidden: set[str] = set()  # locations on which no users can be made
        self._made: dict[str, _Made] = {}  # by the endpoint's UID

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint's user."""
        self._made.pop(uid, None)

    def forget_secret(self, uid: str) -> None:
        """Have the Secret made again: it may have been deleted."""
        if uid in self._made:
            self._made[uid] = replace(self._made[uid], secret="")

    def is_shared(self, redis: PolledRedis) -> bool:
        """Whether endpoints there have no users of their own."""
        return redis.own and redis.location.name in self._forbidden

    def is_due(self, connection: QueueConnection) -> bool:
        """Whether its Redis was connected to again since the user was made.

        It may have been restarted without a file of users, or be a replica that was promoted:
        Redis does not replicate them. Also when old passwords can be removed.
        """
        redis, made = connection.redis, self._made.get(connection.identity.uid, _Made())
        current = bool(made.password) and made.connects == redis.connects
        current = current and not self._may_drop(connection, made)
        return redis.own and not current and not self.is_shared(redis)

    async def find_lost(self, poller: RedisPoller) -> list[str]:
        """Return the keys of endpoints whose user the server lost, to be ensured again."""
        expected = [
            connection
            for connection in poller.queues.values()
            if self._made.get(connection.identity.uid, _Made()).password
        ]
        if not (expected and poller.redis.up):
            return []
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                present = await users(poller.redis.connection)
        except (StoreError, UsersForbidden, TimeoutError) as error:
            log.debug("%s: its users cannot be listed: %s", poller.redis.identity, error)
            return []
        lost = [one for one in expected if user_of(one.key) not in present]
        for connection in lost:
            uid = connection.identity.uid
            self._made[uid] = replace(self._made.get(uid, _Made()), password="")
        return [connection.key for connection in lost]

    async def ensure(self, connection: QueueConnection) -> None:
        """Make the user, and a Secret with the URL to connect as it, on the operator's Redis."""
        key, uid = connection.key, connection.identity.uid
        step = Step("make", "Secret", redis_secret_name(connection.endpoint))
        try:
            if connection.redis.own:
                await self._ensure(connection)
        except Refused as error:
            reason, lasting = RefusalReason.REFUSED, error.status < 500
            self._failures.record(key, uid, step, reason, str(error), lasting=lasting)
        else:
            self._failures.clear(key, uid, step)

    async def _ensure(self, connection: QueueConnection) -> None:
        """Make both; an endpoint that is being deleted keeps its user, for the jobs that it
        accepted. Raises Refused.
        """
        redis, endpoint = connection.redis, connection.endpoint
        url = redis.location.source()
        password = self._password(url, endpoint)
        if not (self._acl and password):
            self._forbidden.add(redis.location.name)
        if not self.is_shared(redis):
            await self._ensure_user(connection, password)
        if not connection.closing:
            target = url if self.is_shared(redis) else url_of(url, endpoint.key, password)
            await self._ensure_secret(connection, target)

    async def _ensure_user(self, connection: QueueConnection, password: str) -> None:
        redis, uid = connection.redis, connection.identity.uid
        made = self._made.get(uid, _Made())
        drop = self._may_drop(connection, made)
        same = made.password == password and made.connects == redis.connects
        if (same and not drop) or not redis.up:
            return
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                old = frozenset() if drop else await self._old(connection, made, password)
                await ensure_user(redis.connection, connection.key, password, old)
            since = made.since if old <= made.old else time.monotonic()
            self._made[uid] = replace(
                made, connects=redis.connects, password=password, old=old, since=since
            )
        except UsersForbidden as error:
            log.warning("%s: no Redis users: %s", redis.identity, error)
            self._forbidden.add(redis.location.name)
        except (StoreError, TimeoutError) as error:
            log.info("%s: its Redis user is made later: %s", connection.key, error)

    async def _old(self, connection: QueueConnection, made: _Made, password: str) -> frozenset[str]:
        """Return the hashes of the passwords to keep: those of the user now, and as last made."""
        present: frozenset[str] = frozenset()
        try:
            present = await password_hashes(connection.redis.connection, connection.key)
        except UsersForbidden as error:
            log.debug("%s: its old passwords cannot be kept: %s", connection.key, error)
        return (present | made.old) - {hash_of(password)}

    def _may_drop(self, connection: QueueConnection, made: _Made) -> bool:
        """Whether old passwords are there that no gateway or registered worker can use any more."""
        # The Secret of an endpoint that is being deleted is not renewed.
        held = connection.closing or time.monotonic() - made.since < HOLD_SECONDS
        if held or not made.old:
            return False
        name = redis_secret_name(connection.endpoint)
        gateways = self._cache.pods(connection.key, GATEWAY)
        if not all(_reads(pod, name) or has_ended(pod) for pod in gateways):
            return False
        current = {
            pod["metadata"]["uid"]
            for pod in self._cache.pods(connection.key, WORKER)
            if _reads(pod, name)
        }
        pods = {worker.info.pod for worker in connection.reading.workers if worker.info.pod}
        return connection.reading.queue.stats is not None and pods <= current

    def _password(self, url: str, endpoint: AsyncEndpoint) -> str:
        own = unquote(urlsplit(url).password or "")
        if not own:
            return ""
        parts = (self._installation, endpoint.key, endpoint.metadata.uid)
        return hmac.new(own.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()

    async def _ensure_secret(self, connection: QueueConnection, url: str) -> None:
        uid, endpoint = connection.identity.uid, connection.endpoint
        digest = _digest(endpoint, url)
        if self._made.get(uid, _Made()).secret == digest:
            return
        manifest = redis_secret(endpoint, url)
        noted = await self._noted_digest(connection)
        outdated = noted is not None and noted not in ("", digest)
        if outdated:
            await self._delete_secret(endpoint)
        try:
            await self._cluster.create(manifest)
        except Refused as error:
            if outdated or not error.conflict:  # a finalizer keeps the old one
                raise
            if noted == "":  # ours by its name, but made with an unknown URL
                await self._delete_secret(endpoint)
                await self._cluster.create(manifest)
        if noted is None:
            return  # Redis does not answer: checked again by the next reconciliation
        self._made[uid] = replace(self._made.get(uid, _Made()), secret=digest)
        try:
            await connection.store.note(**{_NOTE: digest})
        except StoreError as error:
            log.debug("%s: %s", connection.key, error)

    async def _noted_digest(self, connection: QueueConnection) -> str | None:
        """Return the digest of the URL in the Secret, "" if unknown, None if Redis is away."""
        if not connection.redis.up:
            return None
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                found = await connection.store.ownership()
        except (StoreError, TimeoutError):
            return None
        own = found.owner is not None and found.owner.uid == connection.identity.uid
        return found.notes.get(_NOTE, "") if own else ""

    async def _delete_secret(self, endpoint: AsyncEndpoint) -> None:
        ref = Ref("v1", "Secret", endpoint.metadata.namespace, redis_secret_name(endpoint))
        await self._cluster.delete(ref, uid=None)

    async def remove(self, redis: PolledRedis, key: str) -> None:
        """Delete the user of an endpoint that is gone. Raises StoreError."""
        if not self._acl or redis.location.name in self._forbidden:
            return
        try:
            await delete_user(redis.connection, key)
        except UsersForbidden as error:
            log.debug("%s: %s", key, error)


def _reads(pod: Manifest, secret: str) -> bool:
    """Whether a pod has the present password: it reads it from the endpoint's Secret.

    A pod of a predecessor of the same name mounts another Secret, and the kubelet updates none of a
    pod that is being deleted.
    """
    return "deletionTimestamp" not in pod["metadata"] and any(
        (volume.get("secret") or {}).get("secretName") == secret
        for volume in pod["spec"].get("volumes") or ()
    )


def _digest(endpoint: AsyncEndpoint, url: str) -> str:
    """Return a digest of what the Secret has: the URL, and what the spec adds to all objects."""
    spec = endpoint.spec
    added = content_hash([spec.labels, spec.annotations]) if spec.labels or spec.annotations else ""
    return hashlib.sha256(f"{url}{added}".encode()).hexdigest()[:16]
