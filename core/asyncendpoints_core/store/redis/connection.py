"""Calls to a Redis that several stores share: connects, resends, and maps errors to StoreError."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from asyncendpoints_core import __version__
from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.errors import StoreError, StoreVersionError
from asyncendpoints_core.store.redis.error_replies import meaning_of, reply_text, word_of
from asyncendpoints_core.store.redis.scripts import SCHEMA
from asyncendpoints_core.store.redis.shared_connection import SharedConnection
from asyncendpoints_core.store.redis.topology import redact_url, topology_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.topology import Topology

REPLY_SECONDS: Final = 5.0
TRIES: Final = 4
RETRY_SECONDS: Final = (0.05, 0.2)

_LOST: Final = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)


class Replies(list[Any]):
    """The replies to a call. `resent`: it was sent again after its reply was lost, so it may have
    been carried out twice.
    """

    resent = False


class RedisConnection:
    """The connections to one Redis, one per server. `source` is a URL, or a callable that returns
    it, called for each new connection (a rotated Secret).
    """

    def __init__(
        self, source: str | Callable[[], str], *, reply_seconds: float = REPLY_SECONDS
    ) -> None:
        self._source = source
        self._reply_seconds = reply_seconds
        self._url = ""
        self._topology: Topology | None = None
        self._shared: dict[str, SharedConnection] = {}
        self._by_key: dict[str, SharedConnection] = {}
        self._connecting = asyncio.Lock()
        self._closed = False

    def open(self) -> None:
        """Allow calls, also after `close`."""
        self._closed = False

    @property
    def clustered(self) -> bool:
        """Whether it is a Redis Cluster."""
        return self._topology is not None and self._topology.clustered

    async def _current_topology(self) -> Topology:
        url = self._source if isinstance(self._source, str) else self._source()
        if self._topology is None or url != self._url:
            if self._topology is not None:
                await self._topology.close()
            self._topology, self._url = topology_of(url), url
        return self._topology

    async def dedicated(self, key: str) -> AbstractConnection:
        """Open a connection to the server of `key` for the caller alone, for blocking commands.

        Raises StoreUnavailable.
        """
        try:
            connection = await self._dedicated(key)
            if self.clustered and not await _serves(connection, key):
                await connection.disconnect(nowait=True)
                await self._reconnect()
                connection = await self._dedicated(key)
            return connection
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as error:
            raise self.store_error(error) from error

    async def _dedicated(self, key: str) -> AbstractConnection:
        if self._closed:
            raise redis_errors.ConnectionError("closed")
        topology = await self._current_topology()
        _, connection = await topology.open(key)
        await connection.connect()
        return connection

    async def _connect(self, key: str) -> SharedConnection:
        shared = self._by_key.get(key)
        if shared is not None and shared.broken is None:
            return shared
        async with self._connecting:
            topology = await self._current_topology()
            name, connection = await topology.open(key)
            shared = self._shared.get(name)
            if shared is None or shared.broken is not None:
                if shared is not None:
                    await shared.close()
                await connection.connect()
                shared = self._shared[name] = SharedConnection(connection)
            if self._closed:
                await shared.close()
            self._by_key[key] = shared
            return shared

    async def call(
        self, key: str, commands: Sequence[Sequence[bytes]], *, again: bool = True
    ) -> Replies:
        """Send packed commands to the server of `key` and return their replies.

        Error replies are returned, but those that a resend may avoid. `again`: resend when a reply
        was lost; the commands must be safe to repeat. Raises StoreUnavailable.
        """
        resent = False
        for attempt in range(1, TRIES + 1):
            sent = False
            try:
                if self._closed:
                    raise redis_errors.ConnectionError("closed")
                shared = await self._connect(key)
                sent = True
                replies = await shared.call(commands, self._reply_seconds)
                refused = _errors(replies)
                ask = next((each for each in refused if word_of(each) == "ASK"), None)
                if ask is not None:
                    replies = await self._ask(ask, commands)
                    refused = _errors(replies)
                not_done = next((each for each in refused if meaning_of(each).resend), None)
                if not_done is None:
                    answer = Replies(replies)
                    answer.resent = resent
                    return answer
                error: Exception = not_done
                # Of several calls with this reply, the first reconnects for all.
                moved = meaning_of(error).reconnect and shared.broken is None
            except _LOST as lost:
                error, moved = lost, False
                timed_out = isinstance(lost, redis_errors.TimeoutError)
                if self._closed or timed_out or (sent and not again):
                    raise self.store_error(lost) from lost
                resent = resent or sent
            except (redis_errors.RedisError, redis_errors.RedisClusterException) as other:
                raise self.store_error(other) from other
            if attempt == TRIES:
                raise self.store_error(error) from error
            if moved:
                await self._reconnect()
            await asyncio.sleep(delay_after(attempt, *RETRY_SECONDS))
        raise AssertionError("unreachable")

    async def call_all_servers(self, commands: Sequence[Sequence[bytes]]) -> list[list[Any]]:
        """Send packed commands to every server of a cluster and return the replies of each.

        Servers that cannot be reached are left out, unless all are. Raises StoreUnavailable.
        """
        found: list[list[Any]] = []
        unreachable: Exception = redis_errors.ConnectionError("no servers")
        try:
            for connection in await (await self._current_topology()).all_servers():
                try:
                    await connection.connect()
                except _LOST as error:
                    unreachable = error
                    continue
                shared = SharedConnection(connection)
                try:
                    found.append(await shared.call(commands, self._reply_seconds))
                finally:
                    await shared.close()
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as error:
            raise self.store_error(error) from error
        if not found:
            raise self.store_error(unreachable) from unreachable
        return found

    async def _ask(self, ask: Any, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        """Send the commands to the server that a slot is moving to."""
        connection = (await self._current_topology()).connect_to(ask.host, ask.port)
        await connection.connect()
        shared = SharedConnection(connection)
        try:
            asking = connection.pack_command("ASKING")
            both = [part for command in commands for part in (asking, command)]
            return (await shared.call(both, self._reply_seconds))[1::2]
        finally:
            await shared.close()

    async def _reconnect(self) -> None:
        """Close the connections and look up the servers again."""
        connections, self._shared, self._by_key = self._shared, {}, {}
        for shared in connections.values():
            await shared.close()
        if self._topology is not None:
            await self._topology.refresh()

    def store_error(self, error: BaseException) -> StoreError:
        """Return the exception that an error reply or a failure of redis-py becomes for callers;
        its message shows no credentials.
        """
        meaning, reply = meaning_of(error), reply_text(error)
        if meaning.error is StoreVersionError:
            return StoreVersionError(
                f"the store in Redis is of format {reply.split()[1]}, asyncendpoints {__version__} "
                f"reads format {SCHEMA}"
            )
        return meaning.error(f"Redis at {redact_url(self._url)} {meaning.text.format(reply=reply)}")

    async def close(self) -> None:
        """Close every connection; pending calls raise StoreUnavailable."""
        self._closed = True
        await self._reconnect()
        if self._topology is not None:
            await self._topology.close()


def _errors(replies: list[Any]) -> list[Exception]:
    return [reply for reply in replies if isinstance(reply, Exception)]


async def _serves(connection: AbstractConnection, key: str) -> bool:
    """Return whether a server of a cluster has the slot of `key`."""
    try:
        await connection.send_command("EXISTS", key)
        await connection.read_response()
    except redis_errors.MovedError:
        return False
    except redis_errors.ResponseError:
        return True  # moving to another server, but still here
    return True
