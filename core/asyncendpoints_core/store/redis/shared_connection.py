"""One connection to a Redis that many calls share: replies arrive in the order of the commands.

Concurrent calls are pipelined implicitly. A cancelled call leaves the connection usable; its reply
is dropped on arrival.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import hiredis
from redis import exceptions as redis_errors

from asyncendpoints_core.store.redis.transport import wire_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.common.time_source import Timer, TimeSource

_INCOMPLETE: Final = object()


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
            while True:
                try:
                    reply = await self._connection.read_response(
                        timeout=math.inf, disconnect_on_error=False
                    )
                except redis_errors.RedisError as error:
                    # Some error replies are of ConnectionError too (LOADING, NOAUTH).
                    if not isinstance(error, redis_errors.ResponseError) and not error.status_code:
                        raise
                    reply = error
                self._take(reply)
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
