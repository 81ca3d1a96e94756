"""One Redis as the operator reads it: one connection, one loop for all endpoints on it.

Every second the figures of all endpoints of a Redis are read in one go; those with nothing to do
every ten seconds, and at once when Redis tells that something happened. One Redis that does not
answer delays none of the others, and is asked less and less often (docs/rules.md K20).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.errors import (
    StoreAuthenticationError,
    StoreError,
    StoreUnavailable,
    StoreVersionError,
)
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Health, Identity, WorkerState
from asyncendpoints_core.store.recovery import Keeper
from asyncendpoints_core.store.redis import RedisConnection, RedisStore
from asyncendpoints_core.store.redis.notifications import listen
from asyncendpoints_core.store.redis.ownership import Directory
from asyncendpoints_operator.status.observed import Queue, QueueReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_core.store.protocol import Stats
    from asyncendpoints_operator.queues.redis_locations import Place

log = logging.getLogger("asyncendpoints.operator")

POLL_SECONDS: Final = 1.0
DEADLINE_SECONDS: Final = 5.0
FIRST_BLOCK_SECONDS: Final = 0.5
MAX_BLOCK_SECONDS: Final = 15.0
"""How long a Redis that does not answer is left alone at most."""
PUSH_SECONDS: Final = 30.0
"""How long one call for push holds at least: several readings of an idle endpoint."""
HEALTH_SECONDS: Final = 60.0
"""How often it is asked what it promises: somebody may have turned its AOF on."""


class OtherOwner(StoreError):
    """The keys belong to another installation."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a queue gave. `adopted`: it was that of a deleted namesake until now."""

    queue: Queue
    workers: tuple[WorkerState, ...] = ()
    adopted: bool = False


@dataclass(slots=True, eq=False)
class Link:
    """One endpoint's queue on its Redis."""

    key: str
    endpoint: AsyncEndpoint
    server: Server
    store: RedisStore
    identity: Identity
    keeper: Keeper
    health: Health | None = None
    health_until: float = 0.0
    configured: Policy | None = None
    adopted: bool = False
    idle: bool = False
    woken: bool = True
    read_at: float = 0.0
    push_until: float = 0.0
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """What the resource says the store shall decide by."""
        return self.endpoint.spec.policy()


class Server:
    """One Redis, and the loop that reads it."""

    def __init__(
        self,
        place: Place,
        installation: str,
        seen: Callable[[Link, Reading], None],
        idle_seconds: float,
    ) -> None:
        self.place = place
        self.connection = RedisConnection(place.source, reply_seconds=DEADLINE_SECONDS)
        self.directory = Directory(self.connection, installation)
        self.links: dict[str, Link] = {}
        self.failures = 0
        # How often it was connected to: what answers now may know nothing of users made before.
        self.connects = 0
        self.refused = False
        self._seen = seen
        self._idle_seconds = idle_seconds
        self._blocked_until = 0.0
        self._woken = asyncio.Event()
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._listen())]

    @property
    def identity(self) -> str:
        """What people are shown of it: no credentials."""
        return self.place.identity

    @property
    def up(self) -> bool:
        """Whether it answered when last asked."""
        return self.failures == 0

    def wake(self, key: str) -> None:
        """Read an endpoint's figures at once."""
        link = self.links.get(key)
        if link is not None:
            link.woken, link.idle = True, False
            self._woken.set()

    def _lost(self) -> None:
        self.connects += 1
        for link in self.links.values():
            link.woken, link.configured = True, None
            # It may be another server, or the same with other settings.
            link.push_until = link.health_until = 0.0
        self._woken.set()

    async def _listen(self) -> None:
        await listen(self.connection, self.wake, self._lost, lambda: self.links)

    async def _run(self) -> None:
        while True:
            now = time.monotonic()
            due = [link for link in self.links.values() if self._due(link) <= now]
            if due and now >= self._blocked_until:
                for link in due:
                    link.read_at, link.woken = now, False
                try:
                    await self._poll(due)
                except Exception:
                    log.exception("%s: reading failed", self.identity)
            await self._sleep()

    def _due(self, link: Link) -> float:
        """Return when an endpoint is to be read next (s, monotonic)."""
        if link.woken:
            return 0.0
        told = link.idle and time.monotonic() < link.push_until
        return link.read_at + (self._idle_seconds if told else POLL_SECONDS)

    async def _sleep(self) -> None:
        now = time.monotonic()
        soonest = min(map(self._due, self.links.values()), default=now + POLL_SECONDS)
        wait = max(self._blocked_until, soonest, now + 0.02) - now
        self._woken.clear()
        # No longer than a second: an endpoint may have turned from idle to busy meanwhile.
        try:
            async with asyncio.timeout(min(wait, POLL_SECONDS)):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _poll(self, due: Sequence[Link]) -> None:
        """Read what is due, each told as soon as it is read; an error is never told as zero."""
        away: list[StoreError] = []
        late = set(due)

        async def one(link: Link) -> None:
            try:
                reading = await self._read(link)
                late.discard(link)
                self._seen(link, reading)
                if reading.queue.stats is not None:
                    await self._keep(link, reading.queue.stats)
            except StoreError as error:
                late.discard(link)
                self._tell_failure(link, error)
                if isinstance(error, StoreUnavailable):
                    away.append(error)
            except Exception:
                late.discard(link)
                log.exception("%s: reading failed", link.key)

        try:
            async with asyncio.timeout(2 * DEADLINE_SECONDS):
                await asyncio.gather(*map(one, due))
        except TimeoutError:
            gone = StoreUnavailable(f"{self.identity} did not answer in time")
            away += [gone] * len(late)
            for link in late:
                self._tell_failure(link, gone)
        self._judge(away, all_away=len(away) >= len(due))

    def _tell_failure(self, link: Link, error: StoreError) -> None:
        link.configured, link.idle = None, False
        self.refused = self.refused or isinstance(error, StoreAuthenticationError)
        self._seen(link, Reading(failed(error, self.identity)))

    def _judge(self, away: Sequence[StoreError], *, all_away: bool) -> None:
        """Open or close the breaker."""
        self.refused = any(isinstance(error, StoreAuthenticationError) for error in away)
        if not (away and all_away):
            self.failures = 0
            return
        self.failures += 1
        self._blocked_until = time.monotonic() + delay_after(
            self.failures, FIRST_BLOCK_SECONDS, MAX_BLOCK_SECONDS
        )

    async def _read(self, link: Link) -> Reading:
        """Bring the store to what the resource says, and read it."""
        health = await self._health(link)
        durable = health.durable
        if durable is False and link.endpoint.spec.redis.durability == "strict":
            return Reading(
                Queue(
                    QueueReason.NOT_DURABLE,
                    "this Redis keeps nothing on disk (AOF is off), and spec.redis.durability is "
                    "strict",
                    identity=self.identity,
                    durable=False,
                )
            )
        if link.configured != link.policy:
            await self._configure(link)
        stats = await link.store.stats()
        await self._suspend(link, stats)
        workers = tuple(await link.store.workers()) if stats.workers else ()
        queue = Queue(
            QueueReason.REACHABLE,
            stats=stats,
            identity=self.identity,
            durable=durable,
            warnings=health.warnings,
        )
        adopted, link.adopted = link.adopted, False
        return Reading(queue, workers, adopted)

    async def _health(self, link: Link) -> Health:
        now = time.monotonic()
        if link.health is None or now >= link.health_until:
            link.health = await link.store.open()
            link.health_until = now + HEALTH_SECONDS
        return link.health

    async def _configure(self, link: Link) -> None:
        """Write the policy and whose the queue is; take over that of a deleted namesake."""
        found = await link.store.ownership()
        link.notes = found.notes
        owner = found.owner
        if owner is not None and owner != link.identity and not found.purged:
            if owner.installation != link.identity.installation:
                raise OtherOwner(
                    f"the queue of this name on {self.identity} belongs to installation "
                    f"{owner.installation}"
                )
            link.adopted = await link.store.adopt(owner, link.identity.uid)
        await link.store.configure(link.policy, link.identity)
        if found.closed:
            await link.store.reopen_queue()
        await self.directory.add(link.key)
        await link.store.note(
            **{"on-delete": link.endpoint.spec.on_delete, "deleted": "", "seen": link.identity.uid}
        )
        link.configured = link.policy

    async def _suspend(self, link: Link, stats: Stats) -> None:
        if link.endpoint.spec.suspend and not stats.paused:
            await link.store.pause()
        elif stats.paused and not link.endpoint.spec.suspend:
            await link.store.resume()

    async def _keep(self, link: Link, stats: Stats) -> None:
        """Recover and sweep; and while there is nothing to do, ask to be told when there is.

        Without workers there is nothing to recover, and nobody ticks: so that the gap is not taken
        for an outage later, the first tick after it is made without looking at what it finds.
        """
        if not link.idle:
            await link.keeper.step()
            return
        if not stats.workers:
            await link.store.sweep()
            await link.store.recover()
        seconds = max(PUSH_SECONDS, 3 * self._idle_seconds)
        left = link.push_until - time.monotonic()
        if left < seconds / 2:
            await link.store.call_for_push(seconds)
            link.push_until = time.monotonic() + seconds
            # What came between the reading and the call, nobody was told of.
            link.woken = link.woken or left <= 0

    async def close(self) -> None:
        """End the loop and the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self.links.values():
            await link.store.close()
        await self.connection.close()


def failed(error: BaseException, identity: str) -> Queue:
    """Return what an error says of the queue."""
    message = str(error) or type(error).__name__
    reason = QueueReason.UNREACHABLE
    if isinstance(error, StoreVersionError):
        reason = QueueReason.NEWER_FORMAT
    elif isinstance(error, OtherOwner):
        reason = QueueReason.OTHER_INSTALLATION
    elif isinstance(error, StoreAuthenticationError):
        reason = QueueReason.AUTHENTICATION
    return Queue(reason, message, identity=identity)
