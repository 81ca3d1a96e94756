"""What the leader keeps in memory about one endpoint. All of it can be lost: it is found again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.scaling.decide import Decision, Memory
from asyncendpoints_core.store.protocol import WorkerState
from asyncendpoints_operator.queues.redis_poller import Link
from asyncendpoints_operator.status.events import SentEvents
from asyncendpoints_operator.status.observed import LastFailure, Queue, Refusal, Scaling


@dataclass(slots=True)
class Applied:
    """A child as it was last applied: the hash of what was wanted, what the API server made of it.

    `times` are when it had to be applied again though nothing else was wanted (s, monotonic).
    """

    wanted: str
    fingerprint: str
    times: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Unit:
    """One endpoint. `endpoint` is None while its resource breaks a rule; then `faults` says which.

    `read_at` is when its figures were last read, `written_at` its status (s, monotonic).
    """

    key: str
    uid: str = ""
    generation: int = 0
    endpoint: AsyncEndpoint | None = None
    faults: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    applied: dict[tuple[str, str], Applied] = field(default_factory=dict)
    link: Link | None = None
    # What its Redis user and Secret were last made with; "": nothing yet, or not known.
    user: str = ""
    secret: str = ""
    queue: Queue = field(default_factory=Queue)
    workers: tuple[WorkerState, ...] = ()
    read_at: float = 0.0
    # UIDs of pods that were seen here, and states of pods whose ended containers were dealt with.
    pods_seen: set[str] = field(default_factory=set)
    ends_done: set[str] = field(default_factory=set)
    memory: Memory | None = None
    scaling: Scaling = field(default_factory=Scaling)
    decision: Decision | None = None
    failures: tuple[LastFailure, ...] = ()
    failed_total: int = -1
    told: SentEvents = field(default_factory=dict)
    written_at: float | None = None
    # Writes of the workers' Deployment, and of the status, are one after the other.
    deploying: asyncio.Lock = field(default_factory=asyncio.Lock)
    reporting: asyncio.Lock = field(default_factory=asyncio.Lock)
