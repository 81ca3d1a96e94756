"""One endpoint's queue on its Redis: configured, read, recovered and swept."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from asyncendpoints_core.errors import StoreAuthenticationError, StoreError, StoreVersionError
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.scaling.figures import FigureWriter
from asyncendpoints_core.store.recovery import Recovered, RecoveryLoop
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Health, Identity, Stats, WorkerState
from asyncendpoints_operator.queues.polled_redis import PolledRedis
from asyncendpoints_operator.status.observed import Queue, QueueReason

POLL_SECONDS: Final = 1.0
PUSH_SECONDS: Final = 30.0
"""How long a subscription to notifications lasts at least: several readings of an idle queue."""
HEALTH_SECONDS: Final = 60.0
"""How often Redis's persistence settings are read again."""


class OtherOwner(StoreError):
    """The keys belong to another installation."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one poll. `adopted`: the queue was taken over from a deleted resource."""

    queue: Queue = field(default_factory=Queue)
    workers: tuple[WorkerState, ...] = ()
    adopted: bool = False

    @property
    def outdated(self) -> int:
        """How many workers keep a feature that is wanted from being used."""
        stats = self.queue.stats
        held = stats is not None and stats.features_held_ms > 0
        return sum(worker.outdated for worker in self.workers) if held else 0


class QueueConnection:
    """One endpoint's queue. The registry sets `endpoint`; readings.py sets `idle` after scaling.

    `reading` is the last one; `notes` are what was stored beside the queue when it was configured.
    """

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        redis: PolledRedis,
        installation: str,
        on_recovered: Callable[[Recovered], None],
        webhook_pending: int,
    ) -> None:
        self.key = endpoint.key
        self.endpoint = endpoint
        self.redis = redis
        self.store = RedisStore(redis.connection, endpoint.key)
        self.figures = FigureWriter(self.store)
        self.identity = Identity(installation, endpoint.metadata.uid)
        self._webhook_pending = webhook_pending
        self.reading = Reading()
        self.notes: Mapping[str, str] = {}
        self.idle = False
        self._closing = False
        self.configured: Policy | None = None
        self._keeper = RecoveryLoop(self.store, lambda: self.policy, random.random, on_recovered)
        self._health: Health | None = None
        self._health_until = 0.0
        self._push_until = 0.0
        self._adopted = False
        self._is_due = True
        self._read_at = 0.0

    @property
    def policy(self) -> Policy:
        """The policy that the resource asks for."""
        return self.endpoint.spec.policy(self._webhook_pending)

    def wake(self) -> None:
        """Have it read at once."""
        self._is_due, self.idle = True, False
        self.redis.woken.set()

    @property
    def closing(self) -> bool:
        """Whether it accepts no more jobs, since the resource was deleted."""
        return self._closing

    def set_closing(self, closing: bool) -> None:
        """Accept no more jobs: the resource was deleted, though it still exists."""
        if closing is not self._closing:
            self._closing, self.configured = closing, None
            self.wake()

    def reconnected(self) -> None:
        """Configure and read everything again: the server may be another, or have lost its data."""
        self._is_due, self.configured = True, None
        self._push_until = self._health_until = 0.0

    def next_poll(self, idle_seconds: float) -> float:
        """Return when it is to be read next (s, monotonic)."""
        if self._is_due:
            return 0.0
        rests = self.idle and time.monotonic() < self._push_until
        return self._read_at + (idle_seconds if rests else POLL_SECONDS)

    async def read(self) -> Reading:
        """Configure the queue as the resource asks, and read it. Raises StoreError."""
        self._read_at, self._is_due = time.monotonic(), False
        health = await self._check_health()
        identity = self.redis.identity
        if health.durable is False and self.endpoint.spec.redis.durability == "strict":
            text = (
                "this Redis does not persist anything (AOF is off), and spec.redis.durability is "
                "strict"
            )
            return Reading(Queue(QueueReason.NOT_DURABLE, text, identity=identity, durable=False))
        if self.configured != self.policy:
            await self._configure()
        stats = await self.store.stats()
        await self._suspend(stats)
        workers = tuple(await self.store.workers()) if stats.workers else ()
        webhooks = None
        if self.endpoint.spec.webhooks_digest:
            webhooks = await self.store.webhook_status()
        queue = Queue(
            QueueReason.REACHABLE,
            stats=stats,
            identity=identity,
            durable=health.durable,
            warnings=health.warnings,
            webhooks=webhooks,
        )
        adopted, self._adopted = self._adopted, False
        return Reading(queue, workers, adopted)

    def failed(self, error: StoreError) -> Reading:
        """Return the reading that an error stands for."""
        self.configured, self.idle = None, False
        return Reading(_unreadable(error, self.redis.identity))

    async def _check_health(self) -> Health:
        now = time.monotonic()
        if self._health is None or now >= self._health_until:
            self._health = await self.store.open()
            self._health_until = now + HEALTH_SECONDS
        return self._health

    async def _configure(self) -> None:
        """Write policy and owner; take over the queue of a deleted resource of the same name."""
        found = await self.store.ownership()
        self.notes = found.notes
        owner, own = found.owner, self.identity
        if owner is not None and owner != own and not found.purged:
            if owner.installation != own.installation:
                raise OtherOwner(
                    f"the queue of this name on {self.redis.identity} belongs to installation "
                    f"{owner.installation}"
                )
            self._adopted = await self.store.adopt(owner, own.uid)
        in_force = await self.store.configure(self.policy, own)
        if self._closing:
            await self.store.close_queue()
        elif found.closed:
            await self.store.reopen_queue()
        await self.redis.directory.add(self.key)
        notes = {"on-delete": self.endpoint.spec.on_delete, "deleted": "", "seen": own.uid}
        await self.store.note(**notes)
        # What waits for workers of an older version is written once these are gone.
        self.configured = self.policy if in_force == self.policy else None

    async def _suspend(self, stats: Stats) -> None:
        if self.endpoint.spec.suspend != stats.suspended:
            await self.store.suspend(self.endpoint.spec.suspend)

    async def maintain(self, stats: Stats, idle_seconds: float) -> None:
        """Recover and sweep; while the queue is idle, subscribe to notifications instead.

        Without workers there is nothing to recover and nothing moves the queue's clock. So that
        the gap is not taken for an outage later, recovery runs once without using its result.
        """
        if not self.idle:
            await self._keeper.step()
            return
        if not stats.workers:
            await self.store.sweep()
            await self.store.recover()
        seconds = max(PUSH_SECONDS, 3 * idle_seconds)
        left = self._push_until - time.monotonic()
        if left < seconds / 2:
            await self.store.request_notifications(seconds)
            self._push_until = time.monotonic() + seconds
            # What came between the reading and the subscription was not notified.
            self._is_due = self._is_due or left <= 0

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()


def _unreadable(error: StoreError, identity: str) -> Queue:
    reason = QueueReason.UNREACHABLE
    if isinstance(error, StoreVersionError):
        reason = QueueReason.NEWER_FORMAT
    elif isinstance(error, OtherOwner):
        reason = QueueReason.OTHER_INSTALLATION
    elif isinstance(error, StoreAuthenticationError):
        reason = QueueReason.AUTHENTICATION
    return Queue(reason, str(error) or type(error).__name__, identity=identity)
