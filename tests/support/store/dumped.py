"""Every key of one endpoint as text, and back again: a store that another program wrote."""

from typing import Any

from support.redis.backend import RedisBackend


async def dump(backend: RedisBackend) -> dict[str, Any]:
    """Return what Redis holds of the endpoint, by key; bytes in hexadecimal."""
    redis = backend.redis
    found: dict[str, Any] = {}
    for key in sorted(await redis.keys(backend.prefix + "*")):
        match await redis.type(key):
            case b"hash":
                pairs = (await redis.hgetall(key)).items()
                value: Any = {field.hex(): data.hex() for field, data in sorted(pairs)}
            case b"zset":
                scored = await redis.zrange(key, 0, -1, withscores=True)
                value = [[member.hex(), repr(score)] for member, score in scored]
            case b"list":
                value = [item.hex() for item in await redis.lrange(key, 0, -1)]
            case b"string":
                value = (await redis.get(key)).hex()
            case kind:
                raise AssertionError(f"{key} is a {kind}")
        found[key.decode().removeprefix(backend.prefix)] = value
    return found


async def load(backend: RedisBackend, found: dict[str, Any]) -> None:
    """Write what `dump` returned into an empty Redis."""
    for name, value in found.items():
        key = backend.key(name)
        if isinstance(value, dict):
            mapping = {bytes.fromhex(field): bytes.fromhex(data) for field, data in value.items()}
            await backend.redis.hset(key, mapping=mapping)
        elif isinstance(value, str):
            await backend.redis.set(key, bytes.fromhex(value))
        elif isinstance(value[0], list):
            scores = {bytes.fromhex(member): float(score) for member, score in value}
            await backend.redis.zadd(key, scores)
        else:
            await backend.redis.rpush(key, *(bytes.fromhex(item) for item in value))
