"""Damaged values of keys and limits in Redis: every job runs all the same.

One value in five is tried here, all of them in tests/hostile.
"""

import pytest

from support.redis.server import RedisServer
from support.store.gate_values import DAMAGE, damage_one


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
