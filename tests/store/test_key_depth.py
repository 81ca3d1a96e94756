"""`perKey.maxDepth` that begins, ends or changes while jobs wait, on both stores."""

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Limit, Policy, limits_of
from asyncendpoints_core.jobs.records import Attributes, NewJob
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import EnqueueStatus
from support.store.stores import DONE, Backend, Hand, hand, new, policy, put

FULL = EnqueueStatus.KEY_FULL
KEYED = policy(limits=limits_of(keys={"other": Limit(weight=2)}))
PLAIN = policy()


def of(key: str, delay_ms: int = 0) -> NewJob:
    """Return a job of a key."""
    return new(delay_ms=delay_ms, attributes=Attributes(key=key))


def depth(most: int) -> Policy:
    """Return a policy in which so many jobs of a key may wait."""
    return policy(limits=limits_of(every_key=Limit(depth=most)))


async def submit(store: Store, key: str = "a") -> EnqueueStatus:
    [answer] = await store.enqueue([of(key)])
    return answer.status


async def complete_all(worker: Hand) -> None:
    while taken := await worker.take(100):
        await worker.settle(*[jobs.complete(job.claim, DONE) for job in taken])


@pytest.mark.parametrize("before", [PLAIN, KEYED], ids=["plain", "keyed"])
async def test_what_waited_before_counts(backend: Backend, before: Policy) -> None:
    store = backend.store
    await store.configure(before)
    await put(store, *[of(f"b{number}") for number in range(200)])
    await put(store, *[of("a") for _ in range(3)], of("a", 10_000), of("a", 10_000))
    await store.configure(depth(5))
    for _ in range(20):  # a bounded number each
        await store.sweep()
    assert await submit(store) is FULL
    assert await submit(store, "b7") is EnqueueStatus.CREATED
    await complete_all(await hand(store))
    for _ in range(3):
        assert await submit(store) is EnqueueStatus.CREATED
    assert await submit(store) is FULL


async def test_a_flood_counts_at_once(store: Store) -> None:
    """A maxDepth that is set against a flood that is there."""
    await store.configure(KEYED)
    await put(store, *[of("a") for _ in range(300)])
    await store.configure(depth(100))
    assert await submit(store) is FULL
    assert await submit(store, "b") is EnqueueStatus.CREATED


@pytest.mark.parametrize("between", [PLAIN, KEYED], ids=["plain", "keyed"])
async def test_what_ended_without_a_limit_counts_no_more(store: Store, between: Policy) -> None:
    await store.configure(depth(3))
    await put(store, *[of("a") for _ in range(3)])
    assert await submit(store) is FULL
    await store.configure(between)
    await complete_all(await hand(store))
    await store.configure(depth(3))
    for _ in range(3):
        assert await submit(store) is EnqueueStatus.CREATED
    assert await submit(store) is FULL


async def test_an_exception_for_one_key_changes_no_count_of_others(store: Store) -> None:
    await store.configure(depth(2))
    await put(store, of("b", 10_000), of("b", 10_000))
    exceptions = {"acme": Limit(depth=2, weight=3)}
    for keys in (exceptions, {}, exceptions):
        await store.configure(policy(limits=limits_of(every_key=Limit(depth=2), keys=keys)))
        assert await submit(store, "b") is FULL
