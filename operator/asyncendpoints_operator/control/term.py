"""What the parts of a leader share for one term of leadership: its means, and what it knows."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from asyncendpoints_operator.control.apply import Children, gateway_and_worker
from asyncendpoints_operator.control.endpoint_state import Unit
from asyncendpoints_operator.control.recover import PodWatch
from asyncendpoints_operator.control.redis_users import Tenants
from asyncendpoints_operator.kube.client import Ref, Refused
from asyncendpoints_operator.kube.workqueue import KeyQueue
from asyncendpoints_operator.queues.redis_locations import Places
from asyncendpoints_operator.queues.registry import Queues
from asyncendpoints_operator.status.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.recovery import Recovered
    from asyncendpoints_operator.desired.naming import Platform
    from asyncendpoints_operator.kube.cache import Cache
    from asyncendpoints_operator.kube.client import Cluster
    from asyncendpoints_operator.kube.election import Leadership
    from asyncendpoints_operator.queues.redis_poller import Link, Reading


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
