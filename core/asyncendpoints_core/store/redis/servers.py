"""The servers of one Redis: which of them serves a key, and connecting to it in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis import exceptions as redis_errors

from asyncendpoints_core.errors import StoreUnavailable, UsageError
from asyncendpoints_core.store.redis.topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.store.redis.topology import Topology

CONNECT_SECONDS: Final = 5.0


class Servers:
    """Opens connections to the Redis at `source`: a URL, or a callable that returns it, called for
    each new connection (a rotated Secret).
    """

    def __init__(self, source: str | Callable[[], str], time: TimeSource) -> None:
        self.url = ""
        self._time = time
        self._source = source
        self._topology: Topology | None = None
        self.closed = False

    @property
    def clustered(self) -> bool:
        """Whether it is a Redis Cluster."""
        return self._topology is not None and self._topology.clustered

    async def topology(self) -> Topology:
        """Return the topology of the current URL. Raises StoreUnavailable if it is not valid."""
        if self.closed:
            raise redis_errors.ConnectionError("closed")
        try:
            url = self._source if isinstance(self._source, str) else self._source()
            if self._topology is not None and url == self.url:
                return self._topology
            topology = topology_of(url)
        except UsageError as error:  # its file is being replaced, or was replaced by a wrong one
            raise StoreUnavailable(str(error)) from error
        old, self._topology, self.url = self._topology, topology, url
        if old is not None:
            await old.close()
        return topology

    async def establish(self, connection: AbstractConnection) -> None:
        """Connect and log in, in time."""
        try:
            async with self._time.timeout(CONNECT_SECONDS):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def next_connection(self, key: str) -> tuple[str, AbstractConnection]:
        """Return the name of the server of `key`, and a connection to it that is not connected."""
        return await (await self.topology()).open(key)

    async def connect(self, key: str) -> AbstractConnection:
        """Return a new connection to the server of `key`, logged in."""
        async with self._time.timeout(CONNECT_SECONDS):
            _, connection = await self.next_connection(key)
        await self.establish(connection)
        return connection

    async def all_servers(self) -> list[AbstractConnection]:
        """Return a connection to each server of a cluster, not connected."""
        return await (await self.topology()).all_servers()

    async def refresh(self) -> None:
        """Look up the servers again before the next connection."""
        if self._topology is not None:
            await self._topology.refresh()

    async def close(self) -> None:
        """Open nothing more, and close what the look-up uses."""
        self.closed = True
        if self._topology is not None:
            await self._topology.close()


async def serves(connection: AbstractConnection, key: str) -> bool:
    """Return whether a server of a cluster has the slot of `key`."""
    try:
        await connection.send_command("EXISTS", key)
        await connection.read_response()
    except redis_errors.MovedError:
        return False
    except redis_errors.ResponseError:
        return True  # moving to another server, but still here
    return True
