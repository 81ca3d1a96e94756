"""A Redis user per endpoint, restricted to its keys, its channel and the commands of the store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from asyncendpoints_core.store.redis.caller import plain
from asyncendpoints_core.store.redis.endpoint_list import list_key
from asyncendpoints_core.store.redis.error_replies import reply_text, word_of
from asyncendpoints_core.store.redis.keys import prefix
from asyncendpoints_core.store.redis.ownership import send

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.store.redis.connection import RedisConnection

# What the scripts and the connection need; nothing that lists or scans other keys, and no
# administration. INFO shows figures of the whole server but no keys.
COMMANDS: Final = (
    *("auth", "blpop", "del", "eval", "evalsha", "get", "getrange", "hdel", "hello", "hexists"),
    *("hget", "hgetall", "hincrby", "hlen", "hmget", "hscan", "hset", "hstrlen", "info", "llen"),
    *("lpush", "persist", "pexpire", "pexpireat", "ping", "pttl", "publish", "rpush", "select"),
    *("set", "setrange", "strlen", "subscribe", "time", "unlink", "unsubscribe", "wait", "zadd"),
    *("zcard", "zcount"),
    *("zlexcount", "zrange", "zrangebylex", "zrangebyscore", "zrank", "zrem"),
    *("zremrangebyrank", "zremrangebyscore", "zrevrange", "zrevrangebylex", "zrevrank", "zscan"),
    "zscore",
)
# Waits for the disk (`durability: strict`).
_WAITAOF: Final = "waitaof"
# The slot map of a cluster, what redis-py's client sends, and sharded channels.
CLUSTERED: Final = ("asking", "cluster|slots", "cluster|shards", "command")
_SHARDED: Final = ("spublish", "ssubscribe")
# Older servers refuse a rule that names one of these; WAITAOF is of 7.2.
_SINCE_7: Final = (_WAITAOF, "cluster|shards", *_SHARDED)


class UsersForbidden(Exception):
    """The server does not let the operator manage users."""


class _RuleRefused(UsersForbidden):
    """The server does not accept the command as it is."""


def user_of(namespace_name: str) -> str:
    """Return the name of an endpoint's user; neither part of `namespace/name` contains a dot."""
    return f"aep.{namespace_name.replace('/', '.')}"


def url_of(url: str, namespace_name: str, password: str) -> str:
    """Return `url` with the credentials of the endpoint's user."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    user = f"{quote(user_of(namespace_name), safe='')}:{quote(password, safe='')}"
    return parts._replace(netloc=f"{user}@{hosts}").geturl()


async def ensure_user(
    connection: RedisConnection, namespace_name: str, password: str, keep: Iterable[str] = ()
) -> None:
    """Create or update an endpoint's user on each server of a cluster, which does not replicate
    users. `keep` are hashes of further passwords. Raises UsersForbidden or StoreError.
    """
    own = prefix(namespace_name)
    passwords = [f">{password}", *(f"#{one}" for one in sorted(keep))]
    rules = [*passwords, f"~{own}*", f"&{own}*"]
    await _set_user(connection, own, user_of(namespace_name), rules)


def console_user_of(installation: str) -> str:
    """Return the name of the user of an installation's console; no endpoint's user has it."""
    return f"aep-console.{installation}"


async def ensure_console_user(
    connection: RedisConnection, installation: str, password: str, namespaces: Iterable[str]
) -> None:
    """Create or update the user of the console of all endpoints: of those in `namespaces`, whose
    number each of its commands costs, since Redis tries one pattern after the other. Raises as
    `ensure_user` does.
    """
    own = [f"aep:{{{namespace}/*}}:*" for namespace in sorted(namespaces)]
    rules = [f">{password}", f"~{list_key(installation)}"]
    rules += [rule for pattern in own for rule in (f"~{pattern}", f"&{pattern}")]
    await _set_user(connection, list_key(installation), console_user_of(installation), rules)


async def _set_user(connection: RedisConnection, key: str, user: str, rules: Iterable[str]) -> None:
    await send(connection, key, ("PING",))  # connects, so that `clustered` is known
    allowed = [*COMMANDS, _WAITAOF]
    allowed += [*CLUSTERED, *_SHARDED] if connection.clustered else []
    for left_out in ((), (_WAITAOF,), _SINCE_7):
        rights = [f"+{name}" for name in allowed if name not in left_out]
        command = ("ACL", "SETUSER", user, "reset", "on", "resetchannels", *rules, *rights)
        try:
            return await _acl(connection, key, command)
        except _RuleRefused:
            if left_out is _SINCE_7:
                raise


def hash_of(password: str) -> str:
    """Return the hash of a password as Redis has it."""
    return hashlib.sha256(password.encode()).hexdigest()


async def password_hashes(connection: RedisConnection, namespace_name: str) -> frozenset[str]:
    """Return the hashes of the passwords that an endpoint's user has on any server, none if it
    does not exist. Raises as `ensure_user` does.
    """
    command = ("ACL", "GETUSER", user_of(namespace_name))
    found: set[str] = set()
    for (reply,) in await _everywhere(connection, prefix(namespace_name), command):
        if isinstance(reply, Exception):
            raise _refusal(connection, reply) from reply
        pairs = reply if isinstance(reply, dict) else _pairs(reply or ())
        found |= {one.decode() for one in pairs.get(b"passwords", ())}
    return frozenset(found)


def _pairs(flat: Sequence[Any]) -> dict[Any, Any]:
    """Return a map that RESP2 sends as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def users(connection: RedisConnection) -> frozenset[str]:
    """Return the users that exist on every server. Raises as `ensure_user` does."""
    found = []
    for (reply,) in await _everywhere(connection, prefix("users"), ("ACL", "USERS")):
        if isinstance(reply, Exception):
            raise _refusal(connection, reply) from reply
        found.append(frozenset(name.decode() for name in reply))
    return frozenset.intersection(*found)


async def delete_user(connection: RedisConnection, namespace_name: str) -> None:
    """Delete an endpoint's user and its connections. Raises as `ensure_user` does."""
    own = prefix(namespace_name)
    await _acl(connection, own, ("ACL", "DELUSER", user_of(namespace_name)))


async def _acl(connection: RedisConnection, key: str, command: tuple[str, ...]) -> None:
    """Run an ACL command, and save the users on servers that have a file for them."""
    for reply, _ in await _everywhere(connection, key, command, ("ACL", "SAVE")):
        if isinstance(reply, Exception):
            raise _refusal(connection, reply) from reply


async def _everywhere(
    connection: RedisConnection, key: str, *commands: tuple[str, ...]
) -> list[list[Any]]:
    """Return the replies of each server of a cluster, or of the one server."""
    first = await send(connection, key, *commands)
    return await connection.call_all_servers(plain(commands)) if connection.clustered else [first]


def _refusal(connection: RedisConnection, reply: Exception) -> Exception:
    match word_of(reply):
        case "ERR":
            return _RuleRefused(reply_text(reply))
        case "NOPERM":
            return UsersForbidden(reply_text(reply))
    return connection.store_error(reply)
