"""The operator's access to queues, without a cluster: readings are kept and can be awaited."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import NewJob, Request
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.recovery import Recovered
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_operator.queues.queue_connection import QueueConnection, Reading
from asyncendpoints_operator.queues.registry import Queues
from asyncendpoints_operator.status.observed import QueueReason
from support.resources import MINIMAL, merge

IDLE_SECONDS = 3_600
"""So long that no test waits for the next reading of an idle endpoint."""


def endpoint(name: str = "reports", uid: str = "uid-1", **spec: Any) -> AsyncEndpoint:
    meta = {"name": name, "namespace": "demo", "uid": uid}
    return AsyncEndpoint.parse(merge(MINIMAL, {"metadata": meta, "spec": spec}))


def new_job() -> NewJob:
    return NewJob(ids.new(1_700_000_000_000), "build-report", Request("POST", "/"), 1)


class Seen:
    """Every reading, with a way to wait for one."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, Reading]] = []
        self.recovered: list[tuple[str, Recovered]] = []
        self._news = asyncio.Event()

    def __call__(self, connection: QueueConnection, reading: Reading) -> None:
        self.readings.append((connection.key, reading))
        self._news.set()

    def recover(self, key: str, done: Recovered) -> None:
        self.recovered.append((key, done))

    async def until(self, good: Callable[[str, Reading], bool], seconds: float = 30) -> Reading:
        """Return the next reading, from now on, that meets the condition."""
        at = len(self.readings)
        async with asyncio.timeout(seconds):
            while True:
                self._news.clear()
                for key, reading in self.readings[at:]:
                    if good(key, reading):
                        return reading
                at = len(self.readings)
                await self._news.wait()

    async def reason(self, reason: QueueReason, key: str = "demo/reports") -> Reading:
        return await self.until(lambda k, r: k == key and r.queue.reason is reason)


@asynccontextmanager
async def reading(installation: str = "here") -> AsyncIterator[tuple[Queues, Seen]]:
    seen = Seen()
    queues = Queues(installation, seen, seen.recover, IDLE_SECONDS)
    try:
        yield queues, seen
    finally:
        await queues.close()


async def called_for_push(store: RedisStore) -> None:
    """Wait until the operator has requested push notifications."""
    while True:
        (value,) = await store._caller.send([("GET", store._caller.prefix + "watch")])
        if value:
            return
