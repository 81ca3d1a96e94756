"""A Redis user for each endpoint: its own keys and channel, and only the commands the store uses.

Also the URL that such a user connects by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from asyncendpoints_core.store.redis.caller import plain
from asyncendpoints_core.store.redis.error_replies import reply_text, word_of
from asyncendpoints_core.store.redis.keys import prefix
from asyncendpoints_core.store.redis.ownership import send

if TYPE_CHECKING:
    from asyncendpoints_core.store.redis.connection import RedisConnection

# What the scripts call, and what the connection itself needs; nothing that lists, scans or tells
# of other keys, and no administration. INFO shows figures of the whole server, no keys.
COMMANDS: Final = (
    *("auth", "blpop", "del", "eval", "evalsha", "get", "hdel", "hello", "hexists", "hget"),
    *("hgetall", "hincrby", "hlen", "hmget", "hset", "info", "llen", "lpush", "persist"),
    *("pexpire", "pexpireat", "ping", "pttl", "publish", "rpush", "select", "set"),
    *("subscribe", "time", "unlink", "unsubscribe", "wait", "zadd", "zcard", "zcount"),
    *("zlexcount", "zrange", "zrangebylex", "zrangebyscore", "zrank", "zrem"),
    *("zremrangebyrank", "zremrangebyscore", "zrevrange", "zrevrank", "zscan", "zscore"),
)
# Waits for the disk (durability: strict).
_WAITAOF: Final = "waitaof"
# The map of a cluster, what the client of one asks of it, and sharded channels.
CLUSTERED: Final = ("asking", "cluster|slots", "cluster|shards", "command")
_SHARDED: Final = ("spublish", "ssubscribe")
# Older servers refuse a rule that names one of these; WAITAOF is of 7.2.
_SINCE_7: Final = (_WAITAOF, "cluster|shards", *_SHARDED)


class TenantsForbidden(Exception):
    """The server does not let the operator manage users."""


class _RuleRefused(TenantsForbidden):
    """The server does not accept the command as it is."""


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
    """Make or renew an endpoint's user, on each server of a cluster: they tell each other nothing
    of users. Raises TenantsForbidden, or StoreError.
    """
    own = prefix(namespace_name)
    rules = ["reset", "on", f">{password}", f"~{own}*", "resetchannels", f"&{own}*"]
    await send(connection, own, ("PING",))  # connects, so that its kind is known
    allowed = [*COMMANDS, _WAITAOF]
    allowed += [*CLUSTERED, *_SHARDED] if connection.clustered else []
    for left_out in ((), (_WAITAOF,), _SINCE_7):
        rights = [f"+{name}" for name in allowed if name not in left_out]
        command = ("ACL", "SETUSER", user_of(namespace_name), *rules, *rights)
        try:
            return await _acl(connection, own, command)
        except _RuleRefused:
            if left_out is _SINCE_7:
                raise


async def users(connection: RedisConnection) -> frozenset[str]:
    """Return the names of the users that every server knows. Raises as `ensure_user` does."""
    found = []
    for (reply,) in await _everywhere(connection, prefix("users"), ("ACL", "USERS")):
        if isinstance(reply, Exception):
            raise _refusal(connection, reply) from reply
        found.append(frozenset(name.decode() for name in reply))
    return frozenset.intersection(*found)


async def delete_user(connection: RedisConnection, namespace_name: str) -> None:
    """Take an endpoint's user away; its connections end. Raises as `ensure_user` does."""
    own = prefix(namespace_name)
    await _acl(connection, own, ("ACL", "DELUSER", user_of(namespace_name)))


async def _acl(connection: RedisConnection, key: str, command: tuple[str, ...]) -> None:
    """Run an ACL command and have the servers keep it, where they keep users in a file."""
    for reply, _ in await _everywhere(connection, key, command, ("ACL", "SAVE")):
        if isinstance(reply, Exception):
            raise _refusal(connection, reply) from reply


async def _everywhere(
    connection: RedisConnection, key: str, *commands: tuple[str, ...]
) -> list[list[Any]]:
    """Return the replies of each server, of which only a cluster has several."""
    first = await send(connection, key, *commands)  # connects, so that its kind is known
    return await connection.call_everyone(plain(commands)) if connection.clustered else [first]


def _refusal(connection: RedisConnection, reply: Exception) -> Exception:
    match word_of(reply):
        case "ERR":
            return _RuleRefused(reply_text(reply))
        case "NOPERM":
            return TenantsForbidden(reply_text(reply))
    return connection.store_error(reply)
