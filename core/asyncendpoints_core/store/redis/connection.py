"""Calls to a Redis that several stores share: connects, resends, and maps errors to StoreError."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from asyncendpoints_core import __version__
from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.common.redaction import redact_url
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import (
    StoreError,
    StoreUnavailable,
    StoreVersionError,
    UsageError,
)
from asyncendpoints_core.store.redis.causes import cause_of
from asyncendpoints_core.store.redis.error_replies import meaning_of, reply_text, word_of
from asyncendpoints_core.store.redis.scripts import SCHEMA
from asyncendpoints_core.store.redis.shared_connection import SharedConnection
from asyncendpoints_core.store.redis.single_flight import SingleFlight
from asyncendpoints_core.store.redis.topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.topology import Topology

CONNECT_SECONDS: Final = 5.0
REPLY_SECONDS: Final = 5.0
TRIES: Final = 4
RETRY_SECONDS: Final = (0.05, 0.2)
RESEND_SECONDS: Final = 1.0
"""A call that has taken longer is not sent again: its caller has waited for long enough."""

_TIMEOUTS: Final = (redis_errors.TimeoutError, TimeoutError)
_LOST: Final = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)
_FAILURES: Final = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)


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
        self,
        source: str | Callable[[], str],
        *,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self.time = SystemTime()
        self._source = source
        self._reply_seconds = reply_seconds
        self._url = ""
        self._topology: Topology | None = None
        self._shared: dict[str, SharedConnection] = {}
        self._by_key: dict[str, SharedConnection] = {}
        self._attempts: SingleFlight[SharedConnection] = SingleFlight()
        self._closed = False

    def open(self) -> None:
        """Allow calls, also after `close`."""
        self._closed = False

    @property
    def clustered(self) -> bool:
        """Whether it is a Redis Cluster."""
        return self._topology is not None and self._topology.clustered

    async def _current_topology(self) -> Topology:
        try:
            url = self._source if isinstance(self._source, str) else self._source()
            if self._topology is not None and url == self._url:
                return self._topology
            topology = topology_of(url)
        except UsageError as error:  # its file is being replaced, or was replaced by a wrong one
            raise StoreUnavailable(str(error)) from error
        old, self._topology, self._url = self._topology, topology, url
        if old is not None:
            await old.close()
        return topology

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
        except _FAILURES as error:
            raise self.store_error(error) from error

    async def _dedicated(self, key: str) -> AbstractConnection:
        if self._closed:
            raise redis_errors.ConnectionError("closed")
        async with self.time.timeout(CONNECT_SECONDS):
            topology = await self._current_topology()
            _, connection = await topology.open(key)
        await self._establish(connection)
        return connection

    async def _establish(self, connection: AbstractConnection) -> None:
        """Connect and log in, in time."""
        try:
            async with self.time.timeout(CONNECT_SECONDS):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    def _working(self, key: str) -> SharedConnection | None:
        shared = self._by_key.get(key)
        return shared if shared is not None and shared.broken is None else None

    async def _connect(self, key: str) -> SharedConnection:
        """Open the connection that all calls to the server of `key` share."""
        if self._closed:
            raise redis_errors.ConnectionError("closed")
        async with self.time.timeout(CONNECT_SECONDS):
            topology = await self._current_topology()
            name, connection = await topology.open(key)
            shared = await self._attempts.run(name, lambda: self._share(name, connection))
        self._by_key[key] = shared
        return shared

    async def _share(self, name: str, connection: AbstractConnection) -> SharedConnection:
        shared = self._shared.get(name)
        if shared is None or shared.broken is not None:
            if shared is not None:
                await shared.close()
            await self._establish(connection)
            shared = self._shared[name] = SharedConnection(connection, self.time)
        return shared

    async def call(self, key: str, commands: Sequence[bytes], *, again: bool = True) -> Replies:
        """Send packed commands to the server of `key` and return their replies.

        Error replies are returned, but those that a resend may avoid. `again`: resend when a reply
        was lost; the commands must be safe to repeat. Raises StoreUnavailable.
        """
        resent, attempt, began = False, 0, self.time.monotonic()
        while True:
            attempt += 1
            shared: SharedConnection | None = None
            try:
                shared = self._working(key) or await self._connect(key)
                replies = Replies(await shared.call(commands, self._reply_seconds))
                refusal = None
                if _errors(replies):
                    replies = Replies(await self._redirected(replies, commands))
                    refusal = next((e for e in _errors(replies) if meaning_of(e).resend), None)
                if refusal is None:
                    replies.resent = resent
                    return replies
                error = refusal
            except _LOST as lost:
                if self._closed or isinstance(lost, _TIMEOUTS) or (shared and not again):
                    raise self.store_error(lost) from lost
                error, resent = lost, resent or shared is not None
            except _FAILURES as other:
                raise self.store_error(other) from other
            if attempt == TRIES or self.time.monotonic() - began > RESEND_SECONDS:
                raise self.store_error(error) from error
            # Of several calls with this reply, the first reconnects for all.
            if meaning_of(error).reconnect and shared is not None and shared.broken is None:
                await self._reconnect()
            await self.time.sleep(delay_after(attempt, *RETRY_SECONDS))

    async def call_all_servers(self, commands: Sequence[bytes]) -> list[list[Any]]:
        """Send packed commands to every server of a cluster and return the replies of each.

        Servers that cannot be reached are left out, unless all are. Raises StoreUnavailable.
        """
        try:
            connections = await (await self._current_topology()).all_servers()
            answers = await asyncio.gather(
                *(self._call_once(each, commands) for each in connections), return_exceptions=True
            )
            found = [answer for answer in answers if isinstance(answer, list)]
            if found:
                return found
            raise next(
                (answer for answer in answers if isinstance(answer, BaseException)),
                redis_errors.ConnectionError("no servers"),
            )
        except _FAILURES as error:
            raise self.store_error(error) from error

    async def _call_once(
        self, connection: AbstractConnection, commands: Sequence[bytes]
    ) -> list[Any]:
        await self._establish(connection)
        shared = SharedConnection(connection, self.time)
        try:
            return await shared.call(commands, self._reply_seconds)
        finally:
            await shared.close()

    async def _redirected(self, replies: list[Any], commands: Sequence[bytes]) -> list[Any]:
        """Send the commands to the server that the slot is moving to, if the replies say so."""
        ask: Any = next((each for each in _errors(replies) if word_of(each) == "ASK"), None)
        if ask is None:
            return replies
        connection = (await self._current_topology()).connect_to(ask.host, ask.port)
        asking = b"".join(connection.pack_command("ASKING"))
        both = [each for command in commands for each in (asking, command)]
        return (await self._call_once(connection, both))[1::2]

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
                f"reads formats up to {SCHEMA}"
            )
        text = meaning.text.format(reply=reply, cause=cause_of(error))
        return meaning.error(f"Redis at {redact_url(self._url)} {text}")

    async def close(self) -> None:
        """Close every connection; pending calls raise StoreUnavailable."""
        self._closed = True
        await self._attempts.close()
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
