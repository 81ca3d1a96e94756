"""Calls to a Redis that many callers share: where a call is sent, when it is sent again, and the
connection that writes it and gives it its replies.

Concurrent calls are pipelined implicitly, and replies arrive in the order of the commands.
servers.py connects.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import hiredis
from redis import exceptions as redis_errors

from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.store.redis import servers
from asyncendpoints_core.store.redis.causes import store_error
from asyncendpoints_core.store.redis.error_replies import meaning_of, word_of
from asyncendpoints_core.store.redis.servers import Servers
from asyncendpoints_core.store.redis.single_flight import SingleFlight
from asyncendpoints_core.store.redis.transport import read_replies, wire_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.common.time_source import Timer, TimeSource
    from asyncendpoints_core.errors import StoreError

REPLY_SECONDS: Final = 5.0
TRIES: Final = 4
RETRY_SECONDS: Final = (0.05, 0.2)
RESEND_SECONDS: Final = 1.0
"""A call that has taken longer is not sent again: its caller has waited for long enough."""

_TIMEOUTS: Final = (redis_errors.TimeoutError, TimeoutError)
_LOST: Final = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)
_FAILURES: Final = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)
_INCOMPLETE: Final = object()


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
        self._servers = Servers(source, self.time)
        self._reply_seconds = reply_seconds
        self._shared: dict[str, SharedConnection] = {}
        self._by_key: dict[str, SharedConnection] = {}
        self._attempts: SingleFlight[SharedConnection] = SingleFlight()

    def open(self) -> None:
        """Allow calls, also after `close`."""
        self._servers.closed = False

    @property
    def clustered(self) -> bool:
        """Whether it is a Redis Cluster."""
        return self._servers.clustered

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
                if self._servers.closed or isinstance(lost, _TIMEOUTS) or (shared and not again):
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

    async def dedicated(self, key: str) -> AbstractConnection:
        """Open a connection to the server of `key` for the caller alone, for blocking commands.

        Raises StoreUnavailable.
        """
        try:
            connection = await self._servers.connect(key)
            if self.clustered and not await servers.serves(connection, key):
                await connection.disconnect(nowait=True)
                await self._reconnect()
                connection = await self._servers.connect(key)
            return connection
        except _FAILURES as error:
            raise self.store_error(error) from error

    def _working(self, key: str) -> SharedConnection | None:
        shared = self._by_key.get(key)
        return shared if shared is not None and shared.broken is None else None

    async def _connect(self, key: str) -> SharedConnection:
        """Open the connection that all calls to the server of `key` share."""
        async with self.time.timeout(servers.CONNECT_SECONDS):
            name, connection = await self._servers.next_connection(key)
            shared = await self._attempts.run(name, lambda: self._share(name, connection))
        self._by_key[key] = shared
        return shared

    async def _share(self, name: str, connection: AbstractConnection) -> SharedConnection:
        shared = self._shared.get(name)
        if shared is None or shared.broken is not None:
            if shared is not None:
                await shared.close()
            await self._servers.establish(connection)
            shared = self._shared[name] = SharedConnection(connection, self.time)
        return shared

    async def call_all_servers(self, commands: Sequence[bytes]) -> list[list[Any]]:
        """Send packed commands to every server of a cluster and return the replies of each.

        Servers that cannot be reached are left out, unless all are. Raises StoreUnavailable.
        """
        try:
            connections = await self._servers.all_servers()
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
        await self._servers.establish(connection)
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
        connection = (await self._servers.topology()).connect_to(ask.host, ask.port)
        asking = b"".join(connection.pack_command("ASKING"))
        both = [each for command in commands for each in (asking, command)]
        return (await self._call_once(connection, both))[1::2]

    async def _reconnect(self) -> None:
        """Close the connections and look up the servers again."""
        connections, self._shared, self._by_key = self._shared, {}, {}
        for shared in connections.values():
            await shared.close()
        await self._servers.refresh()

    def store_error(self, error: BaseException) -> StoreError:
        """Return the exception that an error reply or a failure of redis-py becomes for callers;
        its message shows no credentials.
        """
        return store_error(error, self._servers.url)

    async def close(self) -> None:
        """Close every connection; pending calls raise StoreUnavailable."""
        self._servers.closed = True
        await self._attempts.close()
        await self._reconnect()
        await self._servers.close()


def _errors(replies: list[Any]) -> list[Exception]:
    return [reply for reply in replies if isinstance(reply, Exception)]


class SharedConnection(asyncio.Protocol):
    """A connected connection and its calls that wait for replies.

    redis-py connects and logs in. Then this takes the place of its streams, because reading
    through them costs a task that wakes up, and some ten function calls, for each reply. Writing
    needs no flow control, since every call waits for its replies. Where redis-py does not let it
    (see transport.py), a task reads replies through redis-py.
    """

    def __init__(self, connection: AbstractConnection, time: TimeSource) -> None:
        self._connection = connection
        self._time = time
        # Of each call: its future, how many replies it gets, and when they are late.
        self._pending: deque[tuple[asyncio.Future[list[Any]], int, float]] = deque()
        self._received: list[Any] = []  # of the first of these
        self._timer: Timer | None = None
        self._loop = asyncio.get_running_loop()
        self.broken: Exception | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._reading: asyncio.Task[None] | None = None
        wire = wire_of(connection)
        if wire is None:
            self._reading = self._loop.create_task(self._read())
            return
        self._parser = hiredis.Reader(
            protocolError=redis_errors.InvalidResponse,
            replyError=wire.error_of,
            notEnoughData=_INCOMPLETE,
        )
        self._transport = wire.transport
        self._transport.set_protocol(self)
        if wire.ended:
            self.connection_lost(None)

    async def call(self, commands: Sequence[bytes], timeout: float) -> list[Any]:
        """Send packed commands and return their replies; an error reply is returned, not raised.

        Raises redis-py's ConnectionError, or its TimeoutError after `timeout` seconds.
        """
        if self.broken is not None:
            raise self.broken
        late = self._time.monotonic() + timeout
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        # Written before anything is awaited, so that replies come in the order of _pending.
        self._pending.append((future, len(commands), late))
        if self._timer is None:
            self._timer = self._time.call_at(late, self._expire)
        try:
            if self._transport is not None:
                self._transport.writelines(commands)
            else:
                await self._connection.send_packed_command(commands, check_health=False)
        except RuntimeError as error:
            # uvloop's, for a transport that is closed; asyncio's own calls connection_lost.
            self._break(redis_errors.ConnectionError("the connection is closed"), error)
        except redis_errors.ConnectionError as error:
            self._break(error)
        return await future

    def data_received(self, data: bytes) -> None:
        """Give the replies that are complete to their calls."""
        if self.broken is not None:
            return
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not _INCOMPLETE:
                self._take(reply)
        except redis_errors.RedisError as error:
            self._break(error)

    async def _read(self) -> None:
        """Give replies to their calls as redis-py reads them."""
        try:
            await read_replies(self._connection, self._take)
        except Exception as error:
            self._break(error)

    def _take(self, reply: Any) -> None:
        """Give a reply to the first call that waits for one."""
        if not self._pending:
            raise redis_errors.ConnectionError("a reply without a request")
        self._received.append(reply)
        future, count, _ = self._pending[0]
        if len(self._received) == count:
            self._pending.popleft()
            if not future.done():
                future.set_result(self._received)
            self._received = []

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending calls."""
        text = "Connection closed by server" if exc is None else "the connection was lost"
        self._break(redis_errors.ConnectionError(text), exc)

    def _expire(self) -> None:
        """Break the connection if the first call whose reply is awaited gets it too late."""
        self._timer = None
        late = next((late for future, _, late in self._pending if not future.done()), None)
        if late is None:
            return
        if late > self._time.monotonic():
            self._timer = self._time.call_at(late, self._expire)
        else:
            self._break(redis_errors.TimeoutError("Redis did not answer in time"))

    def _break(self, error: Exception, cause: Exception | None = None) -> None:
        if self.broken is None:
            error.__cause__ = cause
            self.broken = error
        if self._timer is not None:
            self._timer.cancel()
        while self._pending:
            future, _, _ = self._pending.popleft()
            if not future.done():
                future.set_exception(error)

    async def close(self) -> None:
        """Fail the pending calls and close the connection."""
        self._break(redis_errors.ConnectionError("the connection was closed"))
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._connection.disconnect(nowait=True)
