"""Workers that wait for the doorbell."""

import asyncio

from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import ClaimBatch
from support.store.stores import Backend, Hand, hand

LONG = 30_000
SHORT = 300


async def waiting(
    backend: Backend, workers: list[Hand], ms: int = LONG
) -> list[asyncio.Task[bool]]:
    """Let workers find nothing and then wait for the bell."""
    store = backend.store
    for worker in workers:
        assert await worker.take() == []
    tasks = [asyncio.create_task(store.wait_for_work(worker.id, ms)) for worker in workers]
    await asyncio.wait_for(backend.waiters(len(workers)), 20)
    return tasks


async def waiting_for_nothing(backend: Backend, workers: list[Hand]) -> list[asyncio.Task[bool]]:
    """Let workers wait for the bell without a claim before it."""
    tasks = [asyncio.create_task(backend.store.wait_for_work(one.id, LONG)) for one in workers]
    await asyncio.wait_for(backend.waiters(len(workers)), 20)
    return tasks


async def hands(store: Store, count: int) -> list[Hand]:
    return [await hand(store, f"w{number}") for number in range(count)]


async def next_claim(backend: Backend, worker: Hand, ms: int) -> asyncio.Task[ClaimBatch]:
    """Let a worker find nothing and then wait with its next claim."""
    assert await worker.take() == []
    task = asyncio.create_task(worker.claim_next(ms))
    await asyncio.wait_for(backend.waiters(1), 20)
    return task
