"""One Redis as the operator polls it: one connection and one loop for all endpoints on it.

Every second the queues of a Redis are read at the same time; idle ones every ten seconds, and at
once when Redis publishes a change. A Redis that does not answer delays no other one and is polled
less and less often (docs/rules.md K20).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.errors import StoreAuthenticationError, StoreError, StoreUnavailable
from asyncendpoints_core.store.redis.notifications import listen
from asyncendpoints_operator.queues.polled_redis import DEADLINE_SECONDS, PolledRedis
from asyncendpoints_operator.queues.queue_connection import POLL_SECONDS, QueueConnection, Reading

log = logging.getLogger("asyncendpoints.operator")

FIRST_BLOCK_SECONDS: Final = 0.5
MAX_BLOCK_SECONDS: Final = 15.0
"""The longest pause before a Redis that does not answer is polled again."""
_MIN_WAIT_SECONDS: Final = 0.02


class RedisPoller:
    """The loop that polls one Redis, from its construction until `close`."""

    def __init__(
        self,
        redis: PolledRedis,
        on_reading: Callable[[QueueConnection, Reading], None],
        idle_seconds: float,
    ) -> None:
        self.redis = redis
        self.queues: dict[str, QueueConnection] = {}
        self._on_reading = on_reading
        self._idle_seconds = idle_seconds
        self._blocked_until = 0.0
        self._failing: set[QueueConnection] = set()  # whose last reading failed
        self._outage_at = 0.0  # when one was logged that has not ended; 0: none
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._listen())]

    @property
    def unused(self) -> bool:
        """Whether it is another Redis than the operator's, and no endpoint is connected to it."""
        return not self.queues and not self.redis.own

    def _wake(self, key: str) -> None:
        if key in self.queues:
            self.queues[key].wake()

    def _reconnected(self) -> None:
        self.redis.connects += 1
        for queue in self.queues.values():
            queue.reconnected()
        self.redis.woken.set()

    async def _listen(self) -> None:
        connection = self.redis.connection
        await listen(connection, self._wake, self._reconnected, lambda: self.queues)

    async def _run(self) -> None:
        while True:
            now = time.monotonic()
            due = [q for q in self.queues.values() if q.next_poll(self._idle_seconds) <= now]
            if due and now >= self._blocked_until:
                try:
                    await self._poll(due)
                except Exception:
                    log.exception("%s: polling failed", self.redis.identity)
            await self._sleep()

    async def _sleep(self) -> None:
        now = time.monotonic()
        polls = (queue.next_poll(self._idle_seconds) for queue in self.queues.values())
        soonest = min(polls, default=now + POLL_SECONDS)
        wait = max(self._blocked_until, soonest, now + _MIN_WAIT_SECONDS) - now
        self.redis.woken.clear()
        # No longer than a second: a queue may have turned from idle to busy meanwhile.
        try:
            async with asyncio.timeout(min(wait, POLL_SECONDS)):
                await self.redis.woken.wait()
        except TimeoutError:
            return

    async def _poll(self, due: Sequence[QueueConnection]) -> None:
        """Read what is due and pass each reading on at once; an error is not read as zero jobs."""
        unavailable: dict[QueueConnection, StoreError] = {}
        late = set(due)

        async def poll_one(queue: QueueConnection) -> None:
            try:
                reading = await queue.read()
                late.discard(queue)
                self._publish(queue, reading)
                if reading.queue.stats is not None:
                    await queue.maintain(reading.queue.stats, self._idle_seconds)
            except StoreError as error:
                late.discard(queue)
                self._fail(queue, error)
                if isinstance(error, StoreUnavailable):
                    unavailable[queue] = error
            except Exception:
                late.discard(queue)
                log.exception("%s: reading failed", queue.key)

        try:
            async with asyncio.timeout(2 * DEADLINE_SECONDS):
                await asyncio.gather(*map(poll_one, due))
        except TimeoutError:
            timed_out = StoreUnavailable(f"{self.redis.identity} did not answer in time")
            for queue in late:
                unavailable[queue] = timed_out
                self._fail(queue, timed_out)
        self._conclude(due, unavailable)

    def _publish(self, queue: QueueConnection, reading: Reading) -> None:
        queue.reading = reading
        self._on_reading(queue, reading)

    def _fail(self, queue: QueueConnection, error: StoreError) -> None:
        self.redis.refused |= isinstance(error, StoreAuthenticationError)
        if self.queues.get(queue.key) is queue:  # else it was closed meanwhile
            self._publish(queue, queue.failed(error))

    def _conclude(
        self, due: Sequence[QueueConnection], unavailable: Mapping[QueueConnection, StoreError]
    ) -> None:
        """Open the circuit breaker if no connected queue can be read, close it if one was read.

        In a Redis Cluster some may be readable: before it is an outage, all are read.
        """
        errors = list(unavailable.values())
        self.redis.refused = any(isinstance(e, StoreAuthenticationError) for e in errors)
        connected, before = set(self.queues.values()), self._failing
        self._failing = (self._failing.difference(due) | unavailable.keys()) & connected
        if len(unavailable) < len(due):
            self._answered()
        elif self._failing and self._failing == connected:
            self._failed(errors[0])
        elif self._failing - before:
            for queue in connected - self._failing:
                queue.wake()

    def _answered(self) -> None:
        self.redis.failures = 0
        if self._outage_at:
            seconds = time.monotonic() - self._outage_at
            log.info("%s answers again after %.0f s", self.redis.identity, seconds)
            self._outage_at = 0.0

    def _failed(self, error: StoreError) -> None:
        if not self._outage_at:
            self._outage_at = time.monotonic()
            log.warning("%s: nothing can be read: %s", self.redis.identity, error)
        self.redis.failures += 1
        pause = delay_after(self.redis.failures, FIRST_BLOCK_SECONDS, MAX_BLOCK_SECONDS)
        self._blocked_until = time.monotonic() + pause

    async def close(self) -> None:
        """End the loop and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for queue in self.queues.values():
            await queue.close()
        await self.redis.connection.close()
