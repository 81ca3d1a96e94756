"""Who owns an endpoint's keys, the owner's notes on them, and the directory of its endpoints.

For the operator: after a restart, or after a resource is gone, it finds here what it created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.store.redis.caller import plain
from asyncendpoints_core.store.redis.keys import prefix
from asyncendpoints_core.store.replies import Identity

if TYPE_CHECKING:
    from redis.exceptions import RedisError

    from asyncendpoints_core.store.redis.caller import Caller
    from asyncendpoints_core.store.redis.connection import RedisConnection

_NOTE: Final = "note:"


class Ownership(msgspec.Struct, frozen=True):
    """`owner` None: not set yet. `purged`: only the tombstone is left."""

    owner: Identity | None
    closed: bool = False
    purged: bool = False
    notes: dict[str, str] = {}


class OwnerVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def ownership(self) -> Ownership:
        """Read the owner of the keys and every note."""
        (reply,) = await self._caller.send([("HGETALL", self._caller.prefix + "meta")])
        if isinstance(reply, Exception):
            raise self._caller.connection.store_error(reply) from reply
        pairs = zip(reply[::2], reply[1::2], strict=True)
        # The values of other fields may be bytes that are not text.
        found = {k.decode(): v for k, v in pairs}
        installation, uid = found.get("installation", b""), found.get("uid", b"")
        return Ownership(
            Identity(installation.decode(), uid.decode()) if installation or uid else None,
            closed=found.get("closed", b"0") != b"0",
            purged=found.get("purged", b"0") != b"0",
            notes={
                k.removeprefix(_NOTE): v.decode() for k, v in found.items() if k.startswith(_NOTE)
            },
        )

    async def note(self, **notes: str) -> None:
        """Write notes for `ownership` to read; a purge removes them."""
        words = [word for name, text in notes.items() for word in (_NOTE + name, text)]
        (reply,) = await self._caller.send([("HSET", self._caller.prefix + "meta", *words)])
        if isinstance(reply, Exception):
            raise self._caller.connection.store_error(reply) from reply

    async def adopt(self, before: Identity, uid: str) -> bool:
        """Take over the keys of `before` for another UID, and accept jobs again. False if `before`
        does not own them (any more).
        """
        words = (before.installation, before.uid, uid)
        return bool(await self._caller.run("adopt", *(word.encode() for word in words)))


class Directory:
    """The set of endpoints that an installation has on one Redis."""

    def __init__(self, connection: RedisConnection, installation: str) -> None:
        self._connection = connection
        # An installation's id has no "/", so no endpoint has this prefix.
        self._key = prefix(installation) + "endpoints"

    async def names(self) -> list[str]:
        """Return the endpoints' names (`namespace/name`), sorted."""
        return sorted(name.decode() for name in await self._call("SMEMBERS"))

    async def add(self, *names: str) -> None:
        """Add endpoints."""
        if names:
            await self._call("SADD", *names)

    async def remove(self, name: str) -> None:
        """Remove an endpoint."""
        await self._call("SREM", name)

    async def _call(self, verb: str, *words: str) -> list[bytes]:
        (reply,) = await send(self._connection, self._key, (verb, self._key, *words))
        if isinstance(reply, Exception):
            raise self._connection.store_error(reply) from reply
        return reply if isinstance(reply, list) else []


async def send(
    connection: RedisConnection, key: str, *commands: tuple[str, ...]
) -> list[RedisError | bytes | int | list[bytes] | None]:
    """Send commands to the server of `key`; error replies are returned. Raises StoreUnavailable."""
    return await connection.call(key, plain(commands))
