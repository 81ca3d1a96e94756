"""Policy, identity, pause, deletion, and a store that is closed."""

import asyncio

import pytest

from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Identity
from support.store.stores import DONE, POLICY, Backend, drain, hand, new, policy, put, settle_one


async def test_the_policy_is_written_and_read_whole(store: Store) -> None:
    changed = Policy(
        max_depth=1,
        max_bytes=2,
        ttl_ms=3,
        idempotency_ms=4,
        completed_ms=5,
        failed_ms=6,
        max_finished=7,
        execution_ms=8,
        lease_ms=9,
        grace_ms=10,
        retry=RetryPolicy(11, 12, 1.5, 13, "none", 14),
    )
    assert await store.configure(changed) == changed
    assert await store.configure(Policy(), overwrite=False) == changed
    assert await store.configure(POLICY) == POLICY


async def test_a_changed_policy_counts_at_once(backend: Backend, store: Store) -> None:
    worker = await hand(store)
    await put(store, new())
    await store.configure(policy(execution_ms=1_234, max_depth=2))
    assert (await worker.one()).deadline_ms == await backend.now() + 1_234
    await put(store, new(), new())
    assert (await store.enqueue([new()]))[0].status == "full"


async def test_another_identity_is_refused(store: Store) -> None:
    mine = Identity("installation", "uid-1")
    assert await store.configure(POLICY, mine) == POLICY
    assert await store.configure(POLICY, mine) == POLICY
    for other in (Identity("installation", "uid-2"), Identity("other", "uid-1")):
        with pytest.raises(StoreError):
            await store.configure(policy(max_depth=1), other)
    assert await store.configure(Policy(), overwrite=False) == POLICY


async def test_a_paused_store_accepts_and_runs_nothing_new(store: Store) -> None:
    worker = await hand(store)
    await put(store, new())
    claim = (await worker.one()).claim
    await store.pause()
    waiting = await put(store, new(), new(delay_ms=0))
    assert (await worker.claim()).refused == "paused"
    assert await settle_one(store, jobs.complete(claim, DONE)) == "applied"
    assert (await store.stats()).paused
    await store.resume()
    assert not (await store.stats()).paused
    assert await drain(store, worker) == waiting


async def test_claims_need_pause_and_suspend_to_allow_them(backend: Backend, store: Store) -> None:
    worker = await hand(store)
    waiting = await put(store, new())
    [expires_ms] = [found.job.expires_at_ms for found in await store.get(waiting) if found.job]
    for first, second in (("pause", "suspend"), ("suspend", "pause")):
        for who in (first, second, first):
            await (store.pause() if who == "pause" else store.suspend(True))
        await backend.advance(1_000)
        stats = await store.stats()
        assert (stats.paused, stats.suspended) == (True, True)
        await (store.resume() if first == "pause" else store.suspend(False))
        await store.configure(POLICY)
        stats = await store.stats()
        assert (stats.paused, stats.suspended) == (second == "pause", second == "suspend")
        assert (await worker.claim()).refused == "paused"
        await backend.advance(1_000)
        await (store.resume() if second == "pause" else store.suspend(False))
        stats = await store.stats()
        assert (stats.paused, stats.suspended) == (False, False)
    [found] = await store.get(waiting)
    assert found.job is not None
    assert found.job.expires_at_ms == expires_ms + 4_000
    assert await drain(store, worker) == waiting


async def test_a_closed_endpoint_is_purged_in_steps(backend: Backend, store: Store) -> None:
    await put(store, *(new(key=f"k{number}") for number in range(40)))
    worker = await hand(store)
    taken = await worker.take(5)
    await settle_one(store, jobs.complete(taken[0].claim, DONE))
    await store.cancel([taken[1].job.id])
    await store.close_queue()
    assert (await store.stats()).closed
    assert (await worker.claim()).refused == "closed"
    for _ in range(1_000):
        if await store.purge():
            break
    else:
        raise AssertionError("the purge does not end")
    assert (await backend.scan()).states == {}


async def test_a_reopened_endpoint_continues_where_it_was(store: Store) -> None:
    worker = await hand(store)
    order = await put(store, new(), new())
    await store.close_queue()
    await store.reopen_queue()
    assert not (await store.stats()).closed
    assert await drain(store, worker) == order
    assert (await store.stats()).counts[State.COMPLETED] == 2


async def test_closing_ends_waits_and_watches(unchecked: Backend) -> None:
    store = unchecked.store
    await hand(store)
    waiting = asyncio.create_task(store.wait_for_work("w1", 30_000))
    async with store.events() as events:
        assert (await anext(events)).job_id is None
        watching = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(unchecked.waiters(1), 20)
        await store.close()
        for pending in (waiting, watching):
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(pending, 20)
    with pytest.raises(StoreUnavailable):
        await store.stats()
