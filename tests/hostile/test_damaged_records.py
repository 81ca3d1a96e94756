"""Many damaged records in Redis; the short form is in tests/store/test_redis_faults.py."""

import random

import pytest
from redis import Redis

from support.redis.server import RedisServer
from support.store.damage import damage_and_use


@pytest.mark.timeout(900)
async def test_damaged_records_affect_no_other_job(redis_server: RedisServer) -> None:
    for seed in range(300):
        with Redis.from_url(redis_server.url) as client:
            client.flushall()
        await damage_and_use(redis_server.url, random.Random(seed))
