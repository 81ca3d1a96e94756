"""Every value of the hashes in Redis cut short or damaged; the short form is in tests/store."""

import random

import pytest

from support.redis.server import RedisServer
from support.store.damage import mutated
from support.store.gate_values import DAMAGE, damage_one
from support.store.short_values import ShortValues


@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [0, 1, 2, 0.3, 0.6, 0.95])
async def test_no_short_value_fails_a_verb(redis_server: RedisServer, size: float) -> None:
    scene = ShortValues(redis_server.url)
    await scene.build()
    fields = {name: len(found) for name, found in (await scene.hashes()).items()}
    await scene.backend.close()
    failures = []
    for name, index in ((name, i) for name, count in fields.items() for i in range(count)):
        scene = ShortValues(redis_server.url)
        await scene.build()
        found = (await scene.hashes()).get(name, [])
        if index < len(found):
            await scene.cut(name, found[index], size)
            failures += [f"{name} {index}: {failure}" for failure in await scene.use()]
        await scene.backend.close()
    assert not failures


@pytest.mark.timeout(900)
async def test_no_damaged_value_fails_a_verb(redis_server: RedisServer) -> None:
    failures = []
    for seed in range(500):
        chance = random.Random(seed)
        scene = ShortValues(redis_server.url)
        await scene.build()
        hashes = await scene.hashes()
        name = chance.choice(sorted(hashes))
        key, field = scene.backend.key(name), chance.choice(hashes[name])
        value = await scene.backend.redis.hget(key, field)
        await scene.backend.redis.hset(key, field, mutated(value, chance))
        failures += [f"{name} {seed}: {failure}" for failure in await scene.use()]
        await scene.backend.close()
    assert not failures


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", DAMAGE)
async def test_no_damaged_value_of_keys_and_limits_stops_a_job(
    redis_server: RedisServer, how: str
) -> None:
    failures = []
    for index in range(50):
        failures += await damage_one(redis_server.url, index, DAMAGE[how])
    assert not failures


@pytest.mark.timeout(900)
async def test_no_random_damage_of_keys_and_limits_stops_a_job(redis_server: RedisServer) -> None:
    failures = []
    for seed in range(500):
        chance = random.Random(seed)
        index = chance.randrange(50)
        found = await damage_one(redis_server.url, index, lambda value: mutated(value, chance))  # noqa: B023
        failures += [f"{seed}: {failure}" for failure in found]
    assert not failures
