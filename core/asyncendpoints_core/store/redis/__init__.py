"""The Redis store: every verb one Lua script, every endpoint one hash tag."""

from asyncendpoints_core.store.redis.connection import RedisConnection
from asyncendpoints_core.store.redis.store import RedisStore

__all__ = ["RedisConnection", "RedisStore"]
