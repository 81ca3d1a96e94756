"""Damaged values of keys and limits in Redis: every job runs all the same.

One value in five is tried here, all of them in tests/hostile.
"""

import pytest

from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes
from support.redis.backend import RedisBackend
from support.redis.server import RedisServer
from support.store.gate_values import DAMAGE, damage_one
from support.store.stores import hand, new, policy, put


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", DAMAGE)
async def test_a_damaged_value_stops_no_job(redis_server: RedisServer, how: str) -> None:
    first = list(DAMAGE).index(how) % 5
    failures = [
        failure
        for index in range(first, 50, 5)
        for failure in await damage_one(redis_server.url, index, DAMAGE[how])
    ]
    assert not failures


@pytest.mark.parametrize("tag", ["v1", "1a"])
async def test_a_claim_of_as_many_jobs_as_there_are_keys(redis_url: str, tag: str) -> None:
    """A damaged tag, and a claim that would start one job of each key together."""
    backend = RedisBackend(redis_url)
    store = backend.store
    await store.open()
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=9))))
    await put(store, *[new(attributes=Attributes(key=key)) for key in "abcdef"])
    await backend.redis.hset(backend.key("gate:tags"), tag, b"\xff")
    worker = await hand(store)
    assert len(await worker.take(6)) == 6
    await backend.close()
