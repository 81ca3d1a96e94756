"""A worker in the test's own process, on a memory store that can fail."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from asyncendpoints_core.common.time_source import SystemTime, TimeSource
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.records import Outcome, OutcomeKind
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import ClaimBatch, Settled
from asyncendpoints_worker.handlers.registry import (
    HANDLER,
    Declaration,
    Registry,
)
from asyncendpoints_worker.local import LocalWorker
from support.store.work import (
    endpoint,
)


class RecordedSleeps(SystemTime):
    """The machine's time, which keeps how many seconds each sleep is to take."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await super().sleep(seconds)


def registry(**functions: Callable[..., Any]) -> Registry:
    return Registry.of(Declaration(HANDLER, name, f, "m:1") for name, f in functions.items())


@asynccontextmanager
async def working(
    handlers: Registry,
    store: MemoryStore | None = None,
    concurrency: int = 4,
    time: TimeSource | None = None,
    **spec: Any,
) -> AsyncIterator[tuple[MemoryStore, LocalWorker]]:
    store = store or MemoryStore()
    resource = endpoint(**spec)
    await store.open()
    policy = msgspec.structs.replace(resource.spec.policy(), grace_ms=50)
    await store.configure(policy)
    worker = LocalWorker(resource, store, handlers, concurrency=concurrency, time=time)
    await worker.start()
    try:
        yield store, worker
    finally:
        await worker.stop(0)
        await store.close()


class FaultyStore(MemoryStore):
    """Loses replies and refuses outcomes on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_claims = 0
        self.lose_settles = 0
        self.refuse_settles = 0
        self.swallow_claims = 0
        self.poison: OutcomeKind | None = None
        self.hold_claim: asyncio.Event | None = None
        self.claim_done = asyncio.Event()
        self.settle_calls = 0

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        batch = await super().claim(worker, request, limit)
        if batch.jobs:
            self.claim_done.set()
            if self.hold_claim is not None:
                await self.hold_claim.wait()
            if self.swallow_claims:
                self.swallow_claims -= 1
                return ClaimBatch(())
            if self.lose_claims:
                self.lose_claims -= 1
                raise StoreUnavailable("the reply was lost")
        return batch

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        self.settle_calls += 1
        if any(each.kind is self.poison for each in outcomes):
            raise ValueError("one of these cannot be stored")
        if self.refuse_settles:
            self.refuse_settles -= 1
            raise StoreUnavailable("not ready")
        answers = await super().settle(outcomes)
        if self.lose_settles:
            self.lose_settles -= 1
            raise StoreUnavailable("the reply was lost")
        return answers
