"""Everything that only the leader does: its parts put together, and their loops."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.store.replies import Stats
from asyncendpoints_operator.control.apply import Children
from asyncendpoints_operator.control.console_list import ConsoleList
from asyncendpoints_operator.control.console_secrets import ConsoleSecrets
from asyncendpoints_operator.control.drained_pods import DrainedPods
from asyncendpoints_operator.control.endpoint_state import Reconciled, WorkState
from asyncendpoints_operator.control.failures import Failures
from asyncendpoints_operator.control.pod_causes import PodCauses
from asyncendpoints_operator.control.purge import Purger
from asyncendpoints_operator.control.readings import ReadingHandler
from asyncendpoints_operator.control.reconcile import Reconciler
from asyncendpoints_operator.control.recover import PodRecovery
from asyncendpoints_operator.control.redis_users import RedisUsers
from asyncendpoints_operator.control.scale import Scaler
from asyncendpoints_operator.control.served_by import ServedBy
from asyncendpoints_operator.control.status_report import StatusReport
from asyncendpoints_operator.desired.naming import Platform
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster
from asyncendpoints_operator.kube.election import Leadership
from asyncendpoints_operator.kube.workqueue import WorkQueue
from asyncendpoints_operator.queues.redis_locations import RedisLocation, RedisLocations
from asyncendpoints_operator.queues.registry import Queues
from asyncendpoints_operator.status.event_publisher import EventPublisher

log = logging.getLogger("asyncendpoints.operator")

RECONCILERS: Final = 4
OWN_URL_SECONDS: Final = 5.0
USERS_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """The figures of one endpoint, as last read and decided."""

    key: str
    stats: Stats | None
    wanted: int | None


@dataclass(frozen=True, slots=True)
class LeaderFigures:
    """What the metrics show of a leader. `redis_up` is by what people are shown of each Redis."""

    applies: int
    status_writes: int
    decisions: Mapping[str, int]
    redis_up: Mapping[str, bool]
    endpoints: tuple[EndpointFigures, ...]


class Leader:
    """One leadership, from election to loss. The keys in `workqueue` are reconciled."""

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        cluster: Cluster,
        cache: Cache,
        lease: Leadership,
        workqueue: WorkQueue,
    ) -> None:
        self._cache, self._lease, self._workqueue = cache, lease, workqueue
        self._reconciled: dict[str, Reconciled] = {}
        self._work: dict[str, WorkState] = {}
        self._failures = Failures()
        installation, check = settings.installation_id, lease.check
        identity = settings.operator_identity or "operator"
        self._publisher = EventPublisher(cluster, identity)
        of, seconds = settings.class_name, settings.startup_seconds
        own = f"{settings.operator_namespace}/{settings.lease_name}"
        self._served_by = ServedBy(cluster, cache, own, of, self._publisher)
        self._children = Children(cluster, cache, self._failures)
        self._drained = DrainedPods(cluster, cache, self._failures)
        self._causes = PodCauses(cluster, cache)
        acl = settings.redis_acl
        self._users = RedisUsers(cluster, cache, self._failures, installation, acl=acl)
        self._console = ConsoleSecrets(cluster, self._failures)
        self._recovery = PodRecovery(cache, self._publisher)
        self._locations = RedisLocations(cluster, settings.redis_source())
        self._status = self._make_status(cluster, settings.counts_seconds)
        scaler = Scaler(cluster, cache, lease, self._publisher, self._failures, seconds)
        self._readings = self._make_readings(scaler)
        self._queues = Queues(
            *(installation, self._readings.on_reading, self._readings.on_recovered),
            *(settings.idle_poll_seconds, settings.webhook_max_pending),
        )
        self._purger = Purger(
            *(cluster, cache, check, self._queues, self._users, installation),
            settings.keep_seconds,
        )
        self._reconciler = self._make_reconciler(platform)
        self._list = self._make_list(settings)

    def _make_list(self, settings: Settings) -> ConsoleList | None:
        if settings.console_password_file is None:
            return None
        return ConsoleList(
            *(self._lease.check, self._reconciled, self._locations, self._queues),
            *(settings.installation_id, settings.console_password_file),
            acl=settings.redis_acl,
        )

    def _make_status(self, cluster: Cluster, counts_seconds: float) -> StatusReport:
        return StatusReport(
            cluster,
            self._cache,
            counts_seconds,
            self._users,
            self._publisher,
            self._failures,
            self._reconciled,
            self._work,
            self._causes.found,
        )

    def _make_readings(self, scaler: Scaler) -> ReadingHandler:
        return ReadingHandler(
            self._workqueue,
            scaler,
            self._recovery,
            self._drained,
            self._users,
            self._status,
            self._publisher,
            self._reconciled,
            self._work,
        )

    def _make_reconciler(self, platform: Platform) -> Reconciler:
        return Reconciler(
            self._cache,
            platform,
            self._lease,
            served_by=self._served_by,
            children=self._children,
            locations=self._locations,
            queues=self._queues,
            users=self._users,
            console=self._console,
            recovery=self._recovery,
            causes=self._causes,
            status=self._status,
            failures=self._failures,
            reconciled=self._reconciled,
            work=self._work,
            forget=self._forget,
            gone=self._purger.wake,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            own = self._locations.own()
            if isinstance(own, RedisLocation):
                self._queues.poll(own)
            for key in self._cache.endpoints():
                self._workqueue.add(key)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._workqueue.run(self._reconciler.reconcile, RECONCILERS))
                group.create_task(self._purger.run())
                group.create_task(self._watch_own_url())
                group.create_task(self._watch_users())
                if self._list is not None:
                    group.create_task(self._list.run())
        finally:
            await self._readings.close()
            await self._queues.close()

    async def _forget(self, known: Reconciled) -> None:
        key, uid = known.resource.key, known.resource.uid
        del self._reconciled[key]
        parts = (self._readings, self._children, self._users, self._recovery, self._publisher)
        for part in (*parts, self._status, self._failures, self._drained, self._console):
            part.forget(uid)
        self._causes.forget(key)
        await self._queues.disconnect(key)

    async def _watch_own_url(self) -> None:
        """Reconcile every endpoint when the URL of the operator's Redis has changed."""
        before: str | None = None
        while True:
            own = self._locations.own()
            url = own.source() if isinstance(own, RedisLocation) else None
            if before is not None and url != before:
                log.info("the URL of the operator's Redis has changed")
                for key in self._reconciled:
                    self._workqueue.add(key)
            before = url or before
            await asyncio.sleep(OWN_URL_SECONDS)

    async def _watch_users(self) -> None:
        """Make users again that were deleted while their Redis went on answering."""
        while True:
            await asyncio.sleep(USERS_SECONDS)
            for poller in list(self._queues.pollers.values()):
                if poller.redis.own:
                    for key in await self._users.find_lost(poller):
                        self._workqueue.add(key)

    @property
    def served_by_others(self) -> Mapping[str, str]:
        """The keys of resources of this class that another operator serves, with its name."""
        return self._served_by.others

    def figures(self) -> LeaderFigures:
        """Return what the metrics show."""
        redis_up: dict[str, bool] = {}  # one Redis may be connected to by several URLs
        for poller in self._queues.pollers.values():
            identity = poller.redis.identity
            redis_up[identity] = poller.redis.up and redis_up.get(identity, True)
        return LeaderFigures(
            applies=self._children.applies,
            status_writes=self._status.writes,
            decisions=dict(self._readings.decisions),
            redis_up=redis_up,
            endpoints=tuple(map(self._endpoint_figures, self._reconciled.values())),
        )

    def _endpoint_figures(self, state: Reconciled) -> EndpointFigures:
        work = self._work.get(state.resource.uid)
        decision = work.decision if work is not None else None
        wanted = decision.target if decision is not None else None
        return EndpointFigures(state.resource.key, state.queue.stats, wanted)
