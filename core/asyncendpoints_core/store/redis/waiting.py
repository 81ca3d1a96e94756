"""Blocking calls on dedicated connections: the wait for a wake-up, the watch of changes."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store.redis.keys import channel
from asyncendpoints_core.store.redis.python_layout import reader
from asyncendpoints_core.store.replies import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.caller import Caller

WATCH_MS: Final = 30_000
RENEW_SECONDS: Final = 10.0
RECONNECT_SECONDS: Final = (0.1, 5.0)
# How much longer than the wait itself the reply to a blocking pop may take.
GRACE_SECONDS: Final = 2.0
# Redis before 7.0 rounds the timeout of a pop down to milliseconds, and 0 means no timeout.
SHORTEST_SECONDS: Final = 0.002
_read_event = reader(messages.EVENT, "id revision")
_FAULTS: Final = (redis_errors.RedisError, OSError)


class Doorbell:
    """The waits of one store's workers; idle connections are kept for the next wait."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._idle: list[AbstractConnection] = []
        self._busy: set[AbstractConnection] = set()
        self._forwarding: set[asyncio.Task[None]] = set()
        self._closed = False
        # Workers that were woken and have not claimed since: a refused claim forwards the wake-up.
        self.woken: set[str] = set()

    def open(self) -> None:
        """Allow waits, also after `close`."""
        self._closed = False

    async def wait(self, worker: str, timeout_ms: int, then: bytes = b"") -> Any:
        """Wait for a wake-up; return True, or None if there was none in time.

        With `then`, a packed command, return its reply once the wait is over, or None if `worker`
        must not wait or the command was refused.
        """
        if timeout_ms <= 0:
            return None
        time = self._caller.connection.time
        began = time.monotonic()
        if not await self._caller.run("wait", worker.encode(), b"%d" % timeout_ms):
            await time.sleep(timeout_ms / 1000)
            return None
        left = timeout_ms / 1000 - (time.monotonic() - began)
        try:
            answer = await self._listen(max(SHORTEST_SECONDS, left), then)
        except asyncio.CancelledError:
            self._forward(worker)
            raise
        # Without `then`: also one whose wait ended in time, since it may be there for a due job.
        if answer is not None or not then:
            self.woken.add(worker)
        return answer

    async def _listen(self, seconds: float, then: bytes) -> Any:
        """Pop a wake-up, on a connection kept from an earlier wait if it still works."""
        while self._idle:
            kept = self._idle.pop()
            if not kept.is_connected:
                continue  # redis-py would connect to the same server again, whatever it is now
            try:
                return await self._pop(kept, seconds, then)
            except TimeoutError as error:
                raise self._caller.connection.store_error(error) from error
            except _FAULTS as error:
                # The kept connection broke, or its server moved; `then` may have run there.
                if then:
                    raise self._caller.connection.store_error(error) from error
        try:
            return await self._pop(await self._connect(), seconds, then)
        except (*_FAULTS, TimeoutError) as error:
            raise self._caller.connection.store_error(error) from error

    async def _pop(self, connection: AbstractConnection, seconds: float, then: bytes) -> Any:
        self._busy.add(connection)
        whole = False
        pop = connection.pack_command("BLPOP", self._caller.prefix + "bell", f"{seconds:.3f}")
        try:
            await _send(connection, [*pop, then] if then else pop)
            # redis-py's own timeout would return None, as an empty pop does.
            async with self._caller.connection.time.timeout(seconds + GRACE_SECONDS):
                answer = await connection.read_response(timeout=math.inf)
                if then:
                    answer = await _answer(connection)
            whole = True
        finally:
            self._busy.discard(connection)
            if whole and not self._closed:
                self._idle.append(connection)
            else:
                await connection.disconnect(nowait=True)
        return answer if then or answer is None else True

    async def _connect(self) -> AbstractConnection:
        if self._closed:
            raise StoreUnavailable("the store was closed")
        return await self._caller.connection.dedicated(self._caller.prefix + "meta")

    def _forward(self, worker: str) -> None:
        """Forward a wake-up that may have been popped without its reply being read."""

        async def forward() -> None:
            with suppress(StoreError):
                await self._caller.run("stop_waiting", worker.encode())

        task = asyncio.get_running_loop().create_task(forward())
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    async def close(self) -> None:
        """End every wait with StoreUnavailable."""
        self._closed = True
        if self._forwarding:
            await asyncio.wait(set(self._forwarding), timeout=1)
        for connection in (*self._idle, *self._busy):
            await connection.disconnect(nowait=True)
        self._idle.clear()


async def _send(connection: AbstractConnection, packed: Sequence[bytes]) -> None:
    """Send packed commands. Raises redis-py's ConnectionError."""
    try:
        await connection.send_packed_command(packed, check_health=False)
    except RuntimeError as error:
        # uvloop's, for a transport that is closed; asyncio's own lets the reader find out.
        raise redis_errors.ConnectionError("the connection is closed") from error


async def _answer(connection: AbstractConnection) -> Any:
    """Read the reply to the command behind a pop; None for an error reply."""
    try:
        return await connection.read_response(timeout=math.inf, disconnect_on_error=False)
    except redis_errors.ResponseError:
        return None


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
            async with caller.connection.time.timeout(GRACE_SECONDS):
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
