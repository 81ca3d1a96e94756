"""A Redis user for each endpoint: its own keys and channel, and only the commands the store uses.

Also the URL that such a user connects by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from redis import exceptions as redis_errors

from asyncendpoints_core.store.redis.keys import prefix
from asyncendpoints_core.store.redis.ownership import send

if TYPE_CHECKING:
    from asyncendpoints_core.store.redis.connection import RedisConnection

# What the scripts call, and what the connection itself needs; nothing that lists, scans or tells
# of other keys, and no administration. INFO shows figures of the whole server, no keys.
COMMANDS: Final = (
    *("auth", "blpop", "del", "eval", "evalsha", "get", "hdel", "hello", "hexists", "hget"),
    *("hgetall", "hincrby", "hlen", "hmget", "hset", "info", "llen", "lpush", "persist"),
    *("pexpire", "pexpireat", "ping", "pttl", "publish", "quit", "rpush", "select", "set"),
    *("subscribe", "time", "unlink", "unsubscribe", "wait", "zadd", "zcard", "zcount"),
    *("zlexcount", "zrange", "zrangebylex", "zrangebyscore", "zrank", "zrem"),
    *("zremrangebyrank", "zremrangebyscore", "zrevrange", "zrevrank", "zscan", "zscore"),
)
# Waits for the disk (durability: strict); Redis before 7.2 refuses a rule with it.
_WAITAOF: Final = "waitaof"
# Sharded channels and the map of a cluster; a server that does not know them is no cluster.
CLUSTERED: Final = ("asking", "cluster|slots", "cluster|shards", "spublish", "ssubscribe")


class TenantsForbidden(Exception):
    """The server does not let us make users."""


def user_of(namespace_name: str) -> str:
    """Return the name of an endpoint's user. Neither part of `namespace/name` has a dot."""
    return f"aep.{namespace_name.replace('/', '.')}"


def url_of(url: str, namespace_name: str, password: str) -> str:
    """Return `url` with the endpoint's user in place of its own."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    user = f"{quote(user_of(namespace_name), safe='')}:{quote(password, safe='')}"
    return parts._replace(netloc=f"{user}@{hosts}").geturl()


async def ensure_user(connection: RedisConnection, namespace_name: str, password: str) -> None:
    """Make or renew an endpoint's user. Raises TenantsForbidden, or StoreError."""
    own = prefix(namespace_name)
    rules = ["reset", "on", f">{password}", f"~{own}*", "resetchannels", f"&{own}*"]
    rules += [f"+{command}" for command in COMMANDS]
    if connection.clustered:
        rules += [f"+{command}" for command in CLUSTERED]
    command = ("ACL", "SETUSER", user_of(namespace_name), *rules)
    try:
        await _acl(connection, own, (*command, f"+{_WAITAOF}"))
    except TenantsForbidden as error:
        if _WAITAOF not in str(error):
            raise
        await _acl(connection, own, command)


async def users(connection: RedisConnection) -> frozenset[str]:
    """Return the names of all users that a server (no cluster) knows. Raises as `ensure_user`."""
    (reply,) = await send(connection, prefix("users"), ("ACL", "USERS"))
    if isinstance(reply, Exception):
        raise _refusal(connection, reply) from reply
    return frozenset(name.decode() for name in reply) if isinstance(reply, list) else frozenset()


async def delete_user(connection: RedisConnection, namespace_name: str) -> None:
    """Take an endpoint's user away; its connections end. Raises as `ensure_user` does."""
    own = prefix(namespace_name)
    await _acl(connection, own, ("ACL", "DELUSER", user_of(namespace_name)))


async def _acl(connection: RedisConnection, key: str, command: tuple[str, ...]) -> None:
    """Run an ACL command and have the server keep it, where it keeps users in a file."""
    reply: Any
    reply, _ = await send(connection, key, command, ("ACL", "SAVE"))
    if isinstance(reply, Exception):
        raise _refusal(connection, reply) from reply


def _refusal(connection: RedisConnection, reply: Exception) -> Exception:
    forbidden = isinstance(reply, redis_errors.NoPermissionError)
    if forbidden or "unknown command" in str(reply).lower():
        return TenantsForbidden(str(reply)[:200])
    return connection.fault(reply)
