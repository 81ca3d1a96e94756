"""Subscriptions on a Redis Cluster: one connection per server, one channel per endpoint."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Final, cast

from redis import exceptions as redis_errors

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.redis.keys import channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.asyncio.connection import AbstractConnection, Connection

    from asyncendpoints_core.store.redis.connection import RedisConnection

RESCAN_SECONDS: Final = 1.0
"""How soon the channel of a new endpoint, or of one whose slot has moved, is subscribed to."""
CONCURRENT: Final = 20
"""How many channels are subscribed to concurrently."""

Address = tuple[str, int]


class Shards:
    """The subscriptions, for as long as `run` is awaited; see notifications.listen."""

    def __init__(
        self,
        connection: RedisConnection,
        changed: Callable[[str], None],
        lost: Callable[[], None],
        names: Callable[[], Iterable[str]],
    ) -> None:
        self._connection = connection
        self._changed, self._lost, self._names = changed, lost, names
        self._servers: dict[Address, AbstractConnection] = {}
        self._at: dict[str, Address] = {}  # the server of each subscription
        self._readers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Subscribe to missing channels and unsubscribe from unwanted ones, until cancelled."""
        try:
            while True:
                wanted = set(self._names())
                for name in self._at.keys() - wanted:
                    await self._drop(name)
                missing = list(wanted - self._at.keys())
                some = random.sample(missing, min(CONCURRENT, len(missing)))
                added = await asyncio.gather(*map(self._add, some))
                if len(missing) == len(some) or not all(added):
                    await self._connection.time.sleep(RESCAN_SECONDS)
        finally:
            for reader in self._readers:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)

    async def _add(self, name: str) -> bool:
        """Subscribe to a channel; return False if its server cannot be reached."""
        try:
            fresh = cast("Connection", await self._connection.dedicated(channel(name)))
        except StoreError:
            return False
        address = fresh.host, int(fresh.port)
        if address not in self._servers:
            self._servers[address] = fresh
            reader = asyncio.create_task(self._read(address, fresh))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
            self._lost()
        else:
            await fresh.disconnect(nowait=True)
        self._at[name] = address
        await self._send(address, "SSUBSCRIBE", name)
        return True

    async def _drop(self, name: str) -> None:
        address = self._at.pop(name, None)
        if address is not None:
            await self._send(address, "SUNSUBSCRIBE", name)

    async def _send(self, address: Address, verb: str, name: str) -> None:
        server = self._servers.get(address)
        if server is None:
            return
        try:
            await server.send_command(verb, channel(name))
        except (redis_errors.RedisError, OSError):
            await server.disconnect(nowait=True)  # which ends its reader

    async def _read(self, address: Address, server: AbstractConnection) -> None:
        """Report messages of one server until its connection breaks."""
        names = dict[bytes, str]()
        try:
            while True:
                kind, where, *_ = await server.read_response(timeout=math.inf)
                if where not in names:
                    names = {channel(n).encode(): n for n, at in self._at.items() if at == address}
                name = names.get(where, "")
                if kind in (b"ssubscribe", b"smessage") and name:
                    self._changed(name)  # a change may have preceded the subscription
                elif kind == b"sunsubscribe" and self._at.get(name) == address:
                    del self._at[name]  # its slot has moved
        except (redis_errors.RedisError, OSError):
            return
        finally:
            self._at = {name: at for name, at in self._at.items() if at != address}
            if self._servers.get(address) is server:
                del self._servers[address]
            await server.disconnect(nowait=True)
