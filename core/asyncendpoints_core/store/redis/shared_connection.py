"""One connection to a Redis that many calls share: replies arrive in the order of the commands.

Concurrent calls are pipelined implicitly. A cancelled call leaves the connection usable; its reply
is dropped on arrival.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any

from redis import exceptions as redis_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.common.time_source import TimeSource


async def send(connection: AbstractConnection, packed: Sequence[bytes]) -> None:
    """Send packed commands. Raises redis-py's ConnectionError."""
    try:
        await connection.send_packed_command(packed, check_health=False)
    except RuntimeError as error:
        # uvloop's, for a transport that is closed; asyncio's own lets the reader find out.
        raise redis_errors.ConnectionError("the connection is closed") from error


class SharedConnection:
    """A connected connection and the futures of its pending replies."""

    def __init__(self, connection: AbstractConnection, time: TimeSource) -> None:
        self._connection = connection
        self._time = time
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._reader = self._loop.create_task(self._read())
        self.broken: Exception | None = None

    async def call(self, commands: Sequence[Sequence[bytes]], timeout: float) -> list[Any]:
        """Send packed commands and return their replies; an error reply is returned, not raised.

        Raises redis-py's ConnectionError, or its TimeoutError after `timeout` seconds.
        """
        if self.broken is not None:
            raise self.broken
        futures = [self._loop.create_future() for _ in commands]
        self._pending.extend(futures)
        timer = self._time.call_at(self._time.monotonic() + timeout, self._expire)
        try:
            # Written before anything is awaited, so that replies come in the order of _pending.
            packed = [part for command in commands for part in command]
            await self._send(packed)
            return [await future for future in futures]
        finally:
            timer.cancel()
            for future in futures:
                future.cancel()

    async def _send(self, packed: Sequence[bytes]) -> None:
        try:
            await send(self._connection, packed)
        except redis_errors.ConnectionError as error:
            self._break(error)
            raise

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._connection.read_response(
                        timeout=math.inf, disconnect_on_error=False
                    )
                except redis_errors.ResponseError as error:
                    reply = error
                except redis_errors.ConnectionError as error:
                    # Some error replies have this class too (LOADING, NOAUTH): they answer a call.
                    if error.status_code is None:
                        raise
                    reply = error
                if not self._pending:
                    raise redis_errors.ConnectionError("a reply without a request")
                future = self._pending.popleft()
                if not future.done():
                    future.set_result(reply)
        except Exception as error:
            self._break(error)

    def _expire(self) -> None:
        self._break(redis_errors.TimeoutError("Redis did not answer in time"))

    def _break(self, error: Exception) -> None:
        if self.broken is None:
            self.broken = error
        while self._pending:
            future = self._pending.popleft()
            if not future.done():
                future.set_exception(error)
        self._reader.cancel()

    async def close(self) -> None:
        """Fail the pending calls and close the connection."""
        self._break(redis_errors.ConnectionError("the connection was closed"))
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.disconnect(nowait=True)
