"""What the leader keeps in memory about one endpoint: immutable records with one writer each.

All of it can be lost: a new leader finds it again in the cluster and in Redis.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncendpoints_core.jobs.schedules import ScheduleState
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.scaling.decide import Decision, Memory
from asyncendpoints_operator.queues.queue_connection import QueueConnection
from asyncendpoints_operator.status.model import Failure
from asyncendpoints_operator.status.observed import Queue


@dataclass(frozen=True, slots=True)
class Resource:
    """An AsyncEndpoint as parsed. `endpoint` is None if it breaks a rule, which `faults` names."""

    key: str
    uid: str
    generation: int
    endpoint: AsyncEndpoint | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result of the last reconciliation; written by reconcile.py alone.

    `generation` is that of the last resource whose reconciliation was completed: until then its
    status is not that of `resource`. `unconnected` is the state of the queue while there is no
    `connection`. Writes of the workers' Deployment, by a reconciliation or a scaling step, hold
    `deployment_lock`.
    """

    resource: Resource
    generation: int = 0
    connection: QueueConnection | None = None
    unconnected: Queue = field(default_factory=Queue)
    deployment_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def queue(self) -> Queue:
        """The queue as last read, or why it cannot be read."""
        return self.connection.reading.queue if self.connection else self.unconnected


@dataclass(frozen=True, slots=True)
class WorkState:
    """What followed from the last reading of the queue; written by readings.py alone.

    `memory` is None until a decision was made. `failed_total` is the count at which `failures` were
    read, -1 before. `schedules` and `totals` are those of that reading, None before.
    """

    memory: Memory | None = None
    decision: Decision | None = None
    failed_total: int = -1
    failures: tuple[Failure, ...] = ()
    schedules: tuple[ScheduleState, ...] | None = None
    totals: Mapping[str, int] | None = None
