"""What the parts of a leader share for one term of leadership: its means, and what it knows."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from asyncendpoints_operator.children import Children, gateway_and_worker
from asyncendpoints_operator.cluster import Ref, Refused
from asyncendpoints_operator.keyqueue import KeyQueue
from asyncendpoints_operator.places import Places
from asyncendpoints_operator.pods import PodWatch
from asyncendpoints_operator.queues import Queues
from asyncendpoints_operator.reporting import Reporter
from asyncendpoints_operator.tenants import Tenants
from asyncendpoints_operator.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.endpoint import AsyncEndpoint
    from asyncendpoints_core.recovery import Recovered
    from asyncendpoints_core.settings import Settings
    from asyncendpoints_operator.cache import Cache
    from asyncendpoints_operator.cluster import Cluster
    from asyncendpoints_operator.lease import Leadership
    from asyncendpoints_operator.naming import Platform
    from asyncendpoints_operator.server import Link, Reading


class Term:
    """Made when a term begins, thrown away when it ends.

    `seen` and `recovered` are called for each reading of a queue, and for each round of recovery.
    `forgotten` is set whenever an endpoint went.
    """

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        cluster: Cluster,
        cache: Cache,
        lease: Leadership,
        seen: Callable[[Link, Reading], None],
        recovered: Callable[[str, Recovered], None],
    ) -> None:
        self.settings, self.platform = settings, platform
        self.cluster, self.cache, self.lease = cluster, cache, lease
        self.installation = settings.installation_id
        self.keys = KeyQueue()
        self.units: dict[str, Unit] = {}
        self.forgotten = asyncio.Event()
        self.children = Children(cluster, cache, lease.check)
        identity = settings.operator_identity or "operator"
        self.reporter = Reporter(cluster, cache, identity, settings.counts_seconds)
        self.places = Places(cluster, settings.redis_source())
        self.tenants = Tenants(cluster, self.installation, acl=settings.redis_acl)
        self.queues = Queues(
            self.installation, seen, recovered, random.random, settings.idle_poll_seconds
        )
        self.pods = PodWatch(cache, self.reporter)

    def unit(self, key: str, uid: str) -> Unit:
        """Return what is known of an endpoint, beginning anew with another UID."""
        unit = self.units.get(key)
        if unit is None or unit.uid != uid:
            old = unit
            unit = self.units[key] = Unit(key, uid)
            if old is not None:
                unit.link = old.link
        return unit

    async def forget(self, key: str) -> None:
        """Let go of an endpoint that is gone, or not ours."""
        unit = self.units.pop(key, None)
        if unit is not None and unit.link is not None:
            await self.queues.unlink(unit.link)
        self.forgotten.set()

    async def refresh_deployments(self, endpoint: AsyncEndpoint) -> None:
        """Read both Deployments from the API server into the cache."""
        for known in gateway_and_worker(self.cache, endpoint):
            if known is None:
                continue
            meta = known["metadata"]
            ref = Ref("apps/v1", "Deployment", meta["namespace"], meta["name"])
            try:
                found = await self.cluster.get(ref)
            except Refused as error:
                if not error.missing:
                    raise
                self.cache.remove(known)
                continue
            self.cache.put({**found, "apiVersion": "apps/v1", "kind": "Deployment"})
