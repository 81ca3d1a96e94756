"""Subscriptions on a Redis Cluster: one connection for each server, a channel for each endpoint."""

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

LOOK_SECONDS: Final = 1.0
"""How soon an endpoint is subscribed to that is new, or whose slot has moved."""
AT_A_TIME: Final = 20
"""Endpoints whose server is asked for at once."""

Address = tuple[str, int]


class Shards:
    """Keeps the subscriptions for as long as `run` does; see push.listen."""

    def __init__(
        self,
        connection: RedisConnection,
        told: Callable[[str], None],
        lost: Callable[[], None],
        names: Callable[[], Iterable[str]],
    ) -> None:
        self._connection = connection
        self._told, self._lost, self._names = told, lost, names
        self._servers: dict[Address, AbstractConnection] = {}
        self._at: dict[str, Address] = {}  # where each endpoint's channel is subscribed to
        self._readers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Subscribe to what is missing and let go of what is too much, until cancelled."""
        try:
            while True:
                wanted = set(self._names())
                for name in self._at.keys() - wanted:
                    await self._drop(name)
                missing = list(wanted - self._at.keys())
                some = random.sample(missing, min(AT_A_TIME, len(missing)))
                added = await asyncio.gather(*map(self._add, some))
                if len(missing) == len(some) or not all(added):
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            for reader in self._readers:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)

    async def _add(self, name: str) -> bool:
        """Subscribe to a channel; False, and it stays missing, when its server is away."""
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
            await server.disconnect(nowait=True)  # which its reader sees

    async def _read(self, address: Address, server: AbstractConnection) -> None:
        """Pass on what a server says, until it goes or says that a slot is no longer its own."""
        names = dict[bytes, str]()
        try:
            while True:
                kind, where, *_ = await server.read_response(timeout=math.inf)
                if where not in names:
                    names = {channel(n).encode(): n for n, at in self._at.items() if at == address}
                name = names.get(where, "")
                if kind in (b"ssubscribe", b"smessage") and name:
                    self._told(name)  # before it was subscribed to, something may have happened
                elif kind == b"sunsubscribe" and self._at.get(name) == address:
                    del self._at[name]  # its slot has moved
        except (redis_errors.RedisError, OSError):
            return
        finally:
            self._at = {name: at for name, at in self._at.items() if at != address}
            if self._servers.get(address) is server:
                del self._servers[address]
            await server.disconnect(nowait=True)
