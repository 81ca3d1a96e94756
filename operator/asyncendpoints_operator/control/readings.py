"""Acts on readings of queues: scales, recovers, and reports; one at a time for each endpoint."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from asyncendpoints_core.errors import AsyncEndpointsError, StoreError
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.scaling.decide import Decision
from asyncendpoints_core.store.recovery import Recovered
from asyncendpoints_operator.control.drained_pods import DrainedPods
from asyncendpoints_operator.control.endpoint_state import Reconciled, WorkState
from asyncendpoints_operator.control.recover import PodRecovery
from asyncendpoints_operator.control.redis_users import RedisUsers
from asyncendpoints_operator.control.scale import Scaler
from asyncendpoints_operator.control.status_report import StatusReport
from asyncendpoints_operator.kube.election import NotLeader
from asyncendpoints_operator.kube.workqueue import WorkQueue
from asyncendpoints_operator.queues.queue_connection import QueueConnection, Reading
from asyncendpoints_operator.status import events
from asyncendpoints_operator.status.build import failure_of
from asyncendpoints_operator.status.event_publisher import EventPublisher
from asyncendpoints_operator.status.model import MAX_FAILURES
from asyncendpoints_operator.status.observed import QueueReason

log = logging.getLogger("asyncendpoints.operator")

AUTHENTICATION_SECONDS: Final = 5.0
"""When a Secret is read again whose credentials Redis refused."""
OUTDATED_SECONDS: Final = 5.0
"""When an endpoint is reconciled again whose workers keep a feature from being used."""
REPORT_RETRY_SECONDS: Final = 1.0


class ReadingHandler:
    """Handles the readings of endpoints in `reconciled`; writes what follows into `work`, by UID.

    A reading that arrives while the last one is being handled is dropped. `decisions` counts
    scaling decisions by reason.
    """

    def __init__(
        self,
        workqueue: WorkQueue,
        scaler: Scaler,
        recovery: PodRecovery,
        drained: DrainedPods,
        users: RedisUsers,
        status: StatusReport,
        publisher: EventPublisher,
        reconciled: Mapping[str, Reconciled],
        work: dict[str, WorkState],
    ) -> None:
        self._workqueue = workqueue
        self._scaler, self._recovery, self._users = scaler, recovery, users
        self._drained, self._status, self._publisher = drained, status, publisher
        self._reconciled, self._work = reconciled, work
        self._running: dict[str, asyncio.Task[None]] = {}  # by the endpoint's UID
        self._logged: dict[str, str] = {}  # the last error of each endpoint, by UID
        self.decisions: Counter[str] = Counter()

    def on_reading(self, connection: QueueConnection, reading: Reading) -> None:
        """Take in a reading, if the connection is still the endpoint's."""
        key, uid = connection.key, connection.identity.uid
        state = self._reconciled.get(key)
        if state is None or state.connection is not connection:
            return
        if reading.queue.reachable and self._users.is_due(connection):
            self._workqueue.add(key)
        if reading.adopted:
            text = "took over the jobs of the deleted resource of this name"
            adopted = events.Event("Normal", "QueueAdopted", text)
            self._publisher.publish(key, uid, [adopted])
        if reading.queue.reason is QueueReason.AUTHENTICATION:
            self._workqueue.add(key, AUTHENTICATION_SECONDS)  # its Secret is read again
        if reading.outdated and connection.endpoint.spec.worker.http is not None:
            self._workqueue.add(key, OUTDATED_SECONDS)  # the container of workers is replaced
        if uid not in self._running:
            task = asyncio.create_task(self._handle(connection))
            self._running[uid] = task
            task.add_done_callback(lambda _: self._running.pop(uid, None))

    def on_recovered(self, key: str, recovered: Recovered) -> None:
        """Publish what a round of recovery did."""
        state = self._reconciled.get(key)
        if state is None:
            return
        if recovered.leases_extended and state.queue.reason is not QueueReason.UNREACHABLE:
            return  # recovery was not run for a while: there was no leader, or nothing to do
        self._publisher.publish(key, state.resource.uid, events.of_recovery(recovered))

    def forget(self, uid: str) -> None:
        """Stop handling readings of an endpoint, and drop what followed from them."""
        self._work.pop(uid, None)
        self._logged.pop(uid, None)
        self._scaler.forget(uid)
        if uid in self._running:
            self._running[uid].cancel()

    async def close(self) -> None:
        """Cancel everything that is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, connection: QueueConnection) -> None:
        try:
            await self._act(connection)
        except NotLeader as error:
            log.info("%s: %s", connection.key, error)

    async def _act(self, connection: QueueConnection) -> None:
        """Scale, recover and report. Raises NotLeader."""
        key = connection.key
        try:
            await self._scale(connection)
        except NotLeader:
            raise
        except AsyncEndpointsError as error:
            self._log(connection, "a scaling step was not completed", error)
        except Exception:
            log.exception("%s: a scaling step failed", key)
        again: float | None = REPORT_RETRY_SECONDS
        try:
            await self._recovery.release_gone(connection)
            if connection.reading.queue.stats is not None:
                registered = {worker.info.pod for worker in connection.reading.workers}
                await self._drained.end(key, connection.identity.uid, registered)
            await self._report_statistics(connection)
            again = await self._status.report(key)
            self._logged.pop(connection.identity.uid, None)
        except NotLeader:
            raise
        except AsyncEndpointsError as error:
            self._log(connection, "its status was not written", error)
        if again is not None and connection.idle:
            self._workqueue.add(key, again)

    def _log(self, connection: QueueConnection, what: str, error: AsyncEndpointsError) -> None:
        """Log an error once while it is the same; condition QueueReachable shows the store's."""
        text = f"{what}: {error}"
        new = self._logged.get(connection.identity.uid) != text
        level = logging.WARNING if new and not isinstance(error, StoreError) else logging.DEBUG
        log.log(level, "%s: %s", connection.key, text)
        self._logged[connection.identity.uid] = text

    async def _scale(self, connection: QueueConnection) -> None:
        state = self._reconciled.get(connection.key)
        if state is None:
            return
        endpoint = state.resource.endpoint or connection.endpoint  # the valid one before
        work = self._work.get(connection.identity.uid, WorkState())
        planned = self._scaler.plan(endpoint, connection, work.memory)
        if planned is None:
            return
        connection.idle = planned.idle
        self.decisions[planned.decision.reason] += 1
        # Until the queue can be read, the memory that the last leader stored is still unknown.
        memory = planned.decision.memory if planned.step is not None else work.memory
        work = replace(work, memory=memory, decision=planned.decision)
        self._work[connection.identity.uid] = work
        await self._record(connection, planned.decision)
        await self._scaler.carry_out(connection, planned, state.deployment_lock)

    async def _record(self, connection: QueueConnection, decision: Decision) -> None:
        """Add a reading and its decision to the endpoint's figures."""
        stats = connection.reading.queue.stats
        if stats is None:
            return
        try:
            await connection.figures.observe(stats, decision)
        except StoreError as error:
            log.debug("%s: figures: %s", connection.key, error)

    async def _report_statistics(self, connection: QueueConnection) -> None:
        """Publish what the statistics show of schedules and deliveries of webhooks; read the last
        failed jobs when there are new ones and the resource shows them.
        """
        stats, uid = connection.reading.queue.stats, connection.identity.uid
        if stats is None:
            return
        spec, work, found = connection.endpoint.spec, self._work.get(uid, WorkState()), []
        if spec.schedules:
            found += events.of_schedules(work.schedules, stats)
            work = replace(work, schedules=stats.schedules)
        if spec.webhooks_digest:
            found += events.of_deliveries(work.totals, stats.totals)
            work = replace(work, totals=stats.totals)
        self._publisher.publish(connection.key, uid, found)
        self._work[uid] = work
        total = stats.totals.get("failed", 0)
        if spec.report_failures and total != work.failed_total:
            with contextlib.suppress(StoreError):
                page = await connection.store.list(State.FAILED, MAX_FAILURES, None)
                failures = tuple(map(failure_of, page.jobs))
                self._work[uid] = replace(work, failed_total=total, failures=failures)
