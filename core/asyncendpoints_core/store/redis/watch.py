"""The watch of changes, on a dedicated connection for each watcher."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from redis import exceptions as redis_errors

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store.redis.keys import channel
from asyncendpoints_core.store.redis.python_layout import reader
from asyncendpoints_core.store.replies import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.caller import Caller

WATCH_MS: Final = 30_000
RENEW_SECONDS: Final = 10.0
RECONNECT_SECONDS: Final = (0.1, 5.0)
SUBSCRIBE_SECONDS: Final = 2.0
_read_event = reader(messages.EVENT, "id revision")
_FAULTS: Final = (redis_errors.RedisError, OSError)


class Watch:
    """The events of one endpoint, one connection per watcher."""

    def __init__(self, caller: Caller, namespace_name: str) -> None:
        self._caller = caller
        self._channel = channel(namespace_name)
        self._closed = asyncio.Event()
        self.sharded = False

    def open(self) -> None:
        """Allow watches, also after `close`."""
        self._closed = asyncio.Event()

    async def close(self) -> None:
        """End every watch with StoreUnavailable."""
        self._closed.set()

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """See Store.events."""
        return self._events()

    @asynccontextmanager
    async def _events(self) -> AsyncIterator[AsyncIterator[Event]]:
        queue: asyncio.Queue[Event | Exception] = asyncio.Queue(10_000)
        connection = await self._subscribe()
        reader = asyncio.create_task(self._read(connection, queue))
        renewer = asyncio.create_task(self._renew())
        try:
            yield self._drain(queue)
        finally:
            for task in (reader, renewer):
                task.cancel()
            await asyncio.gather(reader, renewer, return_exceptions=True)
            await connection.disconnect(nowait=True)  # the reader may never have begun

    async def _drain(self, queue: asyncio.Queue[Event | Exception]) -> AsyncIterator[Event]:
        while True:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            yield item

    async def _subscribe(self) -> AbstractConnection:
        """Subscribe, then set the watch key: from then on no event is missed."""
        if self._closed.is_set():
            raise StoreUnavailable("the store was closed")
        caller = self._caller
        connection = await caller.connection.dedicated(caller.prefix + "meta")
        try:
            verb = "SSUBSCRIBE" if self.sharded else "SUBSCRIBE"
            await connection.send_command(verb, self._channel)
            async with caller.connection.time.timeout(SUBSCRIBE_SECONDS):
                await connection.read_response(timeout=math.inf)
            await self._set_watch_key()
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, (*_FAULTS, TimeoutError)):
                raise caller.connection.store_error(error) from error
            raise
        return connection

    async def _set_watch_key(self) -> None:
        kind = b"s" if self.sharded else b"p"
        await self._caller.run("watch", kind, b"%d" % WATCH_MS)

    async def _renew(self) -> None:
        while True:
            await self._caller.connection.time.sleep(RENEW_SECONDS)
            with suppress(StoreError):
                await self._set_watch_key()

    async def _read(
        self, connection: AbstractConnection, queue: asyncio.Queue[Event | Exception]
    ) -> None:
        backoff = Backoff(*RECONNECT_SECONDS)
        closed = self._closed  # `open` after `close` makes a new one
        closing = asyncio.create_task(closed.wait())
        try:
            while True:
                _put(queue, Event(None))
                try:
                    await self._relay(connection, queue, closing)
                except (*_FAULTS, StoreError):
                    await connection.disconnect(nowait=True)
                while not closed.is_set():
                    await self._caller.connection.time.sleep(backoff.next())
                    try:
                        connection = await self._subscribe()
                        backoff.reset()
                        break
                    except StoreError:
                        continue
                if closed.is_set():
                    _put(queue, StoreUnavailable("the store was closed"))
                    return
        finally:
            closing.cancel()
            await connection.disconnect(nowait=True)

    async def _relay(
        self,
        connection: AbstractConnection,
        queue: asyncio.Queue[Event | Exception],
        closing: asyncio.Task[bool],
    ) -> None:
        while True:
            reading = asyncio.ensure_future(connection.read_response(timeout=math.inf))
            try:
                await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                reading.cancel()
                raise
            if closing.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                return
            kind, _, data = reading.result()
            if kind in (b"message", b"smessage"):
                for at in range(0, len(data), messages.EVENT.size):
                    job_id, revision = _read_event(data, at)
                    _put(queue, Event(JobId(job_id), revision))
            else:
                raise redis_errors.ConnectionError("the subscription was ended by the server")


def _put(queue: asyncio.Queue[Event | Exception], event: Event | Exception) -> None:
    """Queue an event; a watcher that falls behind gets an event without a job instead."""
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(Event(None))
    queue.put_nowait(event)
