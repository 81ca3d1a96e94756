"""RedisStore: the Redis adapter of the store's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.store.redis.actions import ActionVerbs
from asyncendpoints_core.store.redis.caller import Caller
from asyncendpoints_core.store.redis.claim import ClaimVerbs, Doorbell
from asyncendpoints_core.store.redis.connection import RedisConnection
from asyncendpoints_core.store.redis.control import ControlVerbs
from asyncendpoints_core.store.redis.enqueue import EnqueueVerb
from asyncendpoints_core.store.redis.figures import FigureVerbs
from asyncendpoints_core.store.redis.health import read_health
from asyncendpoints_core.store.redis.jobs import JobVerbs
from asyncendpoints_core.store.redis.logs import LogVerbs
from asyncendpoints_core.store.redis.ownership import OwnerVerbs
from asyncendpoints_core.store.redis.reading import ReadVerbs
from asyncendpoints_core.store.redis.schedules import ScheduleVerbs
from asyncendpoints_core.store.redis.watch import Watch
from asyncendpoints_core.store.redis.webhooks import WebhookVerbs
from asyncendpoints_core.store.redis.workers import WorkerVerbs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from asyncendpoints_core.store.replies import Event, Health


class RedisStore(
    EnqueueVerb,
    JobVerbs,
    ScheduleVerbs,
    ClaimVerbs,
    WorkerVerbs,
    ReadVerbs,
    ControlVerbs,
    OwnerVerbs,
    WebhookVerbs,
    ActionVerbs,
    LogVerbs,
    FigureVerbs,
):
    """One endpoint's store in Redis.

    `source` is a URL, a callable that returns it (called for each new connection), or a
    RedisConnection that several stores share and their owner closes. `strict`: `enqueue` waits
    until disk and replica have confirmed the write, and a Redis without AOF is refused.
    """

    def __init__(
        self,
        source: str | Callable[[], str] | RedisConnection,
        namespace_name: str,
        *,
        strict: bool = False,
    ) -> None:
        self._strict = strict
        self._owned = not isinstance(source, RedisConnection)
        connection = source if isinstance(source, RedisConnection) else RedisConnection(source)
        self._caller = Caller(connection, namespace_name)
        self._doorbell = Doorbell(self._caller)
        self._watch = Watch(self._caller, namespace_name)
        self._heads = {}

    async def open(self) -> Health:
        """Connect, check the format version, and report the server's durability."""
        if self._owned:
            self._caller.connection.open()
        self._caller.closed = False
        self._doorbell.open()
        self._watch.open()
        await self._caller.create_schema()
        health = await read_health(self._caller, strict=self._strict)
        self._watch.sharded = self._caller.connection.clustered and health.sharded
        return health

    async def close(self) -> None:
        """Close the connections that this store owns."""
        self._caller.closed = True
        await self._watch.close()
        await self._doorbell.close()
        if self._owned:
            await self._caller.connection.close()

    async def request_notifications(self, seconds: float) -> None:
        """Have every change of a job published to `notifications.listen` for `seconds`."""
        kind = b"s" if self._watch.sharded else b"p"
        await self._caller.run("watch", kind, b"%d" % (seconds * 1000))

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Watch changes while the context is open."""
        return self._watch.events()
