"""Everything that only the leader does, for as long as it leads."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import AsyncEndpointsError, StoreError
from asyncendpoints_core.jobs.states import State
from asyncendpoints_operator.control.purge import Purger
from asyncendpoints_operator.control.reconcile import Reconciler
from asyncendpoints_operator.control.scale import Scaler, Steps
from asyncendpoints_operator.control.term import Term
from asyncendpoints_operator.queues.redis_locations import Place
from asyncendpoints_operator.status import events
from asyncendpoints_operator.status.model import MAX_FAILURES
from asyncendpoints_operator.status.observed import QueueReason, failure_of

if TYPE_CHECKING:
    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.store.recovery import Recovered
    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.desired.naming import Platform
    from asyncendpoints_operator.kube.cache import Cache
    from asyncendpoints_operator.kube.client import Cluster
    from asyncendpoints_operator.kube.election import Leadership
    from asyncendpoints_operator.queues.redis_poller import Link, Reading, Server

log = logging.getLogger("asyncendpoints.operator")

RECONCILERS: Final = 4
OWN_URL_SECONDS: Final = 5.0
USERS_SECONDS: Final = 10.0
AUTHENTICATION_SECONDS: Final = 5.0
"""How soon a Secret is read again whose credentials Redis refused."""


class Leader:
    """One term of leadership: its loops, and what follows from a reading of a queue."""

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        cluster: Cluster,
        cache: Cache,
        lease: Leadership,
    ) -> None:
        self.term = Term(settings, platform, cluster, cache, lease, self._seen, self._recovered)
        self.scaler = Scaler(self.term)
        self._steps = Steps(self.scaler)
        self._reconcile = Reconciler(self.term)
        self._purger = Purger(self.term)

    async def run(self) -> None:
        """Work until cancelled."""
        term = self.term
        try:
            own = term.places.operators()
            if isinstance(own, Place):
                term.queues.use(own)
            for key in term.cache.endpoints():
                term.keys.add(key)
            async with asyncio.TaskGroup() as group:
                group.create_task(term.keys.run(self._reconcile, RECONCILERS))
                group.create_task(self._purger.run())
                group.create_task(self._watch_own_url())
                group.create_task(self._watch_users())
        finally:
            await self._steps.close()
            await term.queues.close()

    def _seen(self, link: Link, reading: Reading) -> None:
        """Take in a reading: decide, then report."""
        unit = self.term.units.get(link.key)
        if unit is None or unit.link is not link:
            return
        shared = self.term.tenants.shared(link)
        unit.queue = replace(reading.queue, shared=shared)
        unit.workers, unit.read_at = reading.workers, time.monotonic()
        if reading.queue.reachable and self.term.tenants.is_due(unit, link):
            self.term.keys.add(unit.key)
        if reading.adopted:
            text = "the jobs of the deleted resource of this name are this one's now"
            self.term.reporter.publish(unit, [events.Event("Normal", "QueueAdopted", text)])
        if reading.queue.reason is QueueReason.AUTHENTICATION:
            self.term.keys.add(link.key, AUTHENTICATION_SECONDS)  # its Secret is read anew
        self._steps.begin(unit, self._report)

    async def _report(self, unit: Unit) -> None:
        try:
            await self.term.pods.look_for_gone(unit)
            await self._read_failures(unit)
            again = await self.term.reporter.report(unit)
        except AsyncEndpointsError as error:
            log.warning("%s: its status was not written: %s", unit.key, error)
            again = 1.0
        if again is not None and (unit.link is None or unit.link.idle):
            self.term.keys.add(unit.key, again)

    async def _read_failures(self, unit: Unit) -> None:
        """Read the last failures when there are new ones and the resource wants them shown."""
        stats, link = unit.queue.stats, unit.link
        if stats is None or link is None or not link.endpoint.spec.report_failures:
            return
        total = stats.totals.get("failed", 0)
        if total == unit.failed_total:
            return
        try:
            page = await link.store.list(State.FAILED, MAX_FAILURES, None)
        except StoreError:
            return
        unit.failed_total = total
        unit.failures = tuple(map(failure_of, page.jobs))

    async def _watch_own_url(self) -> None:
        """Look at each endpoint on the operator's Redis when the URL of that has changed."""
        before: str | None = None
        while True:
            own = self.term.places.operators()
            url = own.source() if isinstance(own, Place) else None
            if before is not None and url != before:
                log.info("the URL of the operator's Redis has changed")
                for key in self.term.units:
                    self.term.keys.add(key)
            before = url or before
            await asyncio.sleep(OWN_URL_SECONDS)

    async def _watch_users(self) -> None:
        """Make users anew that Redis lost though it went on answering: somebody deleted them."""
        while True:
            await asyncio.sleep(USERS_SECONDS)
            made: dict[Server, list[str]] = {}
            for key, unit in self.term.units.items():
                if unit.user and unit.link is not None and unit.link.server.place.own:
                    made.setdefault(unit.link.server, []).append(key)
            for server, keys in made.items():
                for key in await self.term.tenants.lost(server, keys):
                    if key in self.term.units:
                        self.term.units[key].user = ""
                        self.term.keys.add(key)

    def _recovered(self, key: str, done: Recovered) -> None:
        unit = self.term.units.get(key)
        if unit is None or (done.held_still and unit.queue.reason is not QueueReason.UNREACHABLE):
            return  # nobody ticked, because there was no leader or nothing to do
        self.term.reporter.publish(unit, events.of_recovery(done))
