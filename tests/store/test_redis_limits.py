"""Keys and limits in Redis: what is forgotten, and places that a script left half-way."""

from collections.abc import AsyncIterator

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes, NewJob
from support.redis.backend import RedisBackend
from support.store.stores import DONE, check_places, hand, new, policy, put
from support.store.work import new_job

LIMITED = policy(limits=limits_of(every_key=Limit(concurrency=2, rate=1, burst=2)))


def of(key: str) -> NewJob:
    """Return a job of a key."""
    return new(attributes=Attributes(key=key))


@pytest.fixture
async def backend(redis_url: str) -> AsyncIterator[RedisBackend]:
    made = RedisBackend(redis_url)
    await made.open()
    await made.store.configure(LIMITED)
    yield made
    await made.close()


async def test_tags_and_buckets_that_say_nothing_are_forgotten(backend: RedisBackend) -> None:
    worker = await hand(backend.store)
    for _ in range(2):
        await put(backend.store, *(of(f"key {i}") for i in range(300)))
        while taken := await worker.take(100):
            await backend.store.settle([jobs.complete(job.claim, DONE) for job in taken])
    tags, buckets = backend.key("gate:tags"), backend.key("gate:buckets")
    assert await backend.redis.hlen(buckets) == 300
    assert await backend.redis.hlen(tags) > 300
    await backend.advance(2_000)
    await put(backend.store, of("last"), of("last"))
    await worker.take(10)
    await backend.advance(2_000)
    for _ in range(20):
        await backend.store.sweep()
    assert await backend.redis.hlen(buckets) == 0
    assert await backend.redis.hlen(tags) < 10


async def test_no_key_of_redis_is_of_one_tenant(backend: RedisBackend) -> None:
    worker = await hand(backend.store)
    seen = []
    for keys in (range(9), range(9, 300)):
        await put(backend.store, *(of(f"key {number}") for number in keys for _ in range(5)))
        await worker.take(3)
        seen.append(set(await backend.redis.keys()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("part", ["place of a running job", "place of none", "usage", "no place"])
async def test_places_are_repaired(backend: RedisBackend, part: str) -> None:
    worker = await hand(backend.store)
    first, *_ = await put(backend.store, *(of("a") for _ in range(4)))
    await worker.take(2)
    places, usage = backend.key("gate:places"), backend.key("gate:usage")
    redis, stray = backend.redis, bytes(16)
    if part == "place of a running job":
        await redis.hdel(places, first)
    elif part == "place of none":
        await redis.hset(places, stray, b"a\0report")
        await redis.zadd(usage, {b"ka\0" + stray: 0, b"jreport\0" + stray: 0})
    elif part == "usage":
        await redis.zadd(usage, {b"ka\0" + stray: 0})
    else:
        await redis.zrem(usage, b"ka\0" + first)
    await backend.store.sweep()
    check_places(await backend.scan())
    assert await worker.take(2) == []


async def test_without_limits_of_concurrency_running_jobs_have_no_places(
    backend: RedisBackend,
) -> None:
    await backend.store.configure(policy(limits=limits_of(total=Limit(rate=100, burst=100))))
    worker = await hand(backend.store)
    await put(backend.store, of("a"), of("b"))
    assert len(await worker.take(2)) == 2
    assert not await backend.redis.exists(backend.key("gate:places"), backend.key("gate:usage"))
    assert await backend.redis.zcard(backend.key("expiries")) == 0


async def test_what_is_looked_up_is_never_searched_from_its_head(backend: RedisBackend) -> None:
    worker = await hand(backend.store)
    await put(backend.store, *(of(key) for key in "abcd" for _ in range(2)))
    await worker.take(4)
    for key, encoding in (
        ("gate:tags", b"hashtable"),
        ("gate:states", b"hashtable"),
        ("gate:flows", b"hashtable"),
        ("gate:places", b"hashtable"),
        ("gate:usage", b"skiplist"),
        ("ready:normal", b"skiplist"),
    ):
        assert await backend.redis.object("encoding", backend.key(key)) == encoding


async def test_few_small_jobs_are_not_searched_from_the_first_either(backend: RedisBackend) -> None:
    await put(backend.store, new_job("n", b"1"))
    assert await backend.redis.object("encoding", backend.key("jobs")) == b"listpack"
    await backend.store.recover()
    for name in ("jobs", "meta"):
        assert await backend.redis.object("encoding", backend.key(name)) == b"hashtable"
        assert not await backend.redis.hexists(backend.key(name), "")


async def test_an_idle_store_gets_no_hash_of_jobs(backend: RedisBackend) -> None:
    await backend.store.recover()
    assert not await backend.redis.exists(backend.key("jobs"))
