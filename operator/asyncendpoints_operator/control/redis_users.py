"""A Redis user for each endpoint on the operator's Redis, and the Secret that tells its pods.

The operator may create and delete Secrets and read none, so passwords are derived: from the
password in its own URL and the endpoint's UID. Where ACL is off or forbidden, or the operator
itself has no password, the Secret holds the operator's URL and condition QueueShared says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.redis.users import (
    TenantsForbidden,
    delete_user,
    ensure_user,
    url_of,
    user_of,
    users,
)
from asyncendpoints_operator.desired.naming import redis_secret_name
from asyncendpoints_operator.desired.objects import redis_secret
from asyncendpoints_operator.kube.client import Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.kube.client import Cluster
    from asyncendpoints_operator.queues.redis_poller import Link, Server

log = logging.getLogger("asyncendpoints.operator")

_SECONDS: Final = 3.0
"""How long a Redis may take before pods are made without its user, which follows later."""
_NOTE: Final = "secret"


class Tenants:
    """Makes users and Secrets. `acl` False: never a user."""

    def __init__(self, cluster: Cluster, installation: str, *, acl: bool) -> None:
        self._cluster = cluster
        self._installation = installation
        self._acl = acl
        self._forbidden: dict[str, str] = {}  # by server: why there are no users

    def shared(self, link: Link) -> bool:
        """Whether the endpoint has no user of its own."""
        return link.server.place.own and link.server.place.name in self._forbidden

    def is_due(self, unit: Unit, link: Link) -> bool:
        """Whether its Redis was connected to anew since the user was made.

        It may have been started anew without a file of users, or be the replica that took over:
        Redis does not replicate them.
        """
        made = unit.user.startswith(f"{link.server.connects} ")
        return link.server.place.own and not made and not self.shared(link)

    async def lost(self, server: Server, keys: Iterable[str]) -> list[str]:
        """Return those of the endpoints whose user the server does not know any more."""
        if not server.up:
            return []
        try:
            async with asyncio.timeout(_SECONDS):
                known = await users(server.connection)
        except (StoreError, TenantsForbidden, TimeoutError) as error:
            log.debug("%s: its users cannot be listed: %s", server.identity, error)
            return []
        return [key for key in keys if user_of(key) not in known]

    async def ensure(self, unit: Unit, link: Link) -> None:
        """Make the user, and a Secret that says how to connect as it."""
        endpoint = link.endpoint
        url = link.server.place.source()
        password = self._password(url, endpoint)
        if not self._acl or not password:
            why = (
                "redis.acl is false" if not self._acl else "the operator's own URL has no password"
            )
            self._forbidden.setdefault(link.server.place.name, why)
        user = f"{link.server.connects} {password}"
        if not self.shared(link) and unit.user != user and link.server.up:
            try:
                async with asyncio.timeout(_SECONDS):
                    await ensure_user(link.server.connection, endpoint.key, password)
                unit.user = user
            except TenantsForbidden as error:
                log.warning("%s: no Redis users: %s", link.server.identity, error)
                self._forbidden[link.server.place.name] = str(error)
            except (StoreError, TimeoutError) as error:
                log.info("%s: its Redis user is made later: %s", unit.key, error)
        target = url if self.shared(link) else url_of(url, endpoint.key, password)
        await self._secret(unit, link, target)

    def _password(self, url: str, endpoint: AsyncEndpoint) -> str:
        own = unquote(urlsplit(url).password or "")
        if not own:
            return ""
        words = (self._installation, endpoint.key, endpoint.metadata.uid)
        return hmac.new(own.encode(), "\n".join(words).encode(), hashlib.sha256).hexdigest()

    async def _secret(self, unit: Unit, link: Link, url: str) -> None:
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        if unit.secret == digest:
            return
        endpoint = link.endpoint
        manifest = redis_secret(endpoint, url)
        known = await self._noted(link)
        if known is not None and known not in ("", digest):
            await self._delete(endpoint)
        try:
            await self._cluster.create(manifest)
        except Refused as error:
            if not error.conflict:
                raise
            if known == "":  # ours by its name, but nothing is known of what is in it
                await self._delete(endpoint)
                await self._cluster.create(manifest)
        if known is None:
            return  # its Redis does not answer: looked at again with the next reconciliation
        unit.secret = digest
        try:
            await link.store.note(**{_NOTE: digest})
        except StoreError as error:
            log.debug("%s: %s", unit.key, error)

    async def _noted(self, link: Link) -> str | None:
        """Return which URL the Secret was made with: its digest, "" unknown, None unreachable."""
        if not link.server.up:
            return None
        try:
            async with asyncio.timeout(_SECONDS):
                found = await link.store.ownership()
        except (StoreError, TimeoutError):
            return None
        mine = found.owner is not None and found.owner.uid == link.identity.uid
        return found.notes.get(_NOTE, "") if mine else ""

    async def _delete(self, endpoint: AsyncEndpoint) -> None:
        ref = Ref("v1", "Secret", endpoint.metadata.namespace, redis_secret_name(endpoint))
        await self._cluster.delete(ref, uid=None)

    async def remove(self, link_server: Server, key: str) -> None:
        """Take the user of an endpoint away that is gone."""
        if not self._acl or link_server.place.name in self._forbidden:
            return
        try:
            await delete_user(link_server.connection, key)
        except TenantsForbidden as error:
            log.debug("%s: %s", key, error)
