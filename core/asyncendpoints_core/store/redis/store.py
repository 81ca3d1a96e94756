"""RedisStore: the Redis adapter of the store's protocol, put together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.protocol import Health, Stats
from asyncendpoints_core.store.redis.caller import Caller
from asyncendpoints_core.store.redis.connection import RedisConnection
from asyncendpoints_core.store.redis.jobs import JobVerbs
from asyncendpoints_core.store.redis.workers import WorkerVerbs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class RedisStore(JobVerbs, WorkerVerbs):
    """One endpoint's store in Redis.

    `source` is a URL, a callable that returns it (read anew for each connection), or a
    RedisConnection that several stores share and their owner closes.
    """

    def __init__(
        self, source: str | Callable[[], str] | RedisConnection, namespace_name: str
    ) -> None:
        self._owned = not isinstance(source, RedisConnection)
        connection = source if isinstance(source, RedisConnection) else RedisConnection(source)
        self._caller = Caller(connection, namespace_name)

    async def open(self) -> Health:
        """Connect, check the format version, and say what the server promises."""
        await self._caller.make()
        return Health("", None, None)

    async def close(self) -> None:
        """Let go of the connections that are this store's own."""
        if self._owned:
            await self._caller.connection.close()


async def read_stats(stores: Sequence[RedisStore]) -> list[Stats | StoreError]:
    """Read the figures of several stores; those on one connection in one go."""

    async def one(store: RedisStore) -> Stats | StoreError:
        try:
            return await store.stats()
        except StoreError as error:
            return error

    return list(await asyncio.gather(*map(one, stores)))
