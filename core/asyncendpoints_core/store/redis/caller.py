"""Runs the scripts of one endpoint: the bytes of a call, and what makes it whole again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from redis import exceptions as redis_errors

from asyncendpoints_core.policy import Policy
from asyncendpoints_core.store.redis import keys, scripts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.store.redis.connection import RedisConnection


def policy_fields(policy: Policy) -> list[bytes]:
    """Return a policy as the fields and values of the hash `meta`."""
    flat: list[bytes] = []
    for name, value in msgspec.structs.asdict(policy).items():
        if name != "retry":
            flat += (name.encode(), str(value).encode())
    for name, value in msgspec.structs.asdict(policy.retry).items():
        flat += (name.encode(), str(value).encode())
    return flat


class Caller:
    """Runs the scripts of one endpoint over a connection."""

    def __init__(self, connection: RedisConnection, namespace_name: str) -> None:
        self.prefix = keys.prefix(namespace_name)
        self.connection = connection
        self._heads: dict[str, tuple[int, bytes]] = {}

    def pack(self, script: scripts.Script, args: Sequence[bytes], *, whole: bool) -> list[bytes]:
        """Return the bytes of a call; `whole` sends the source instead of its hash."""
        head = self._heads.get(script.name)
        if head is None or whole:
            names = [(self.prefix + key).encode() for key in script.keys]
            code = script.source if whole else script.sha
            words = [b"EVAL" if whole else b"EVALSHA", code.encode(), b"%d" % len(names), *names]
            head = len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
            if not whole:
                self._heads[script.name] = head
        parts = [b"*%d\r\n" % (head[0] + len(args)), head[1]]
        for arg in args:
            parts += (b"$%d\r\n" % len(arg), arg, b"\r\n")
        return [b"".join(parts)]

    async def run(self, name: str, *args: bytes, again: bool = True) -> Any:
        """Run a script and return its reply. Raises StoreError."""
        script = scripts.load(name)
        whole = False
        for _ in range(3):
            packed = self.pack(script, args, whole=whole)
            (reply,) = await self.connection.call(self.prefix + "meta", [packed], again=again)
            if not isinstance(reply, Exception):
                return reply
            if isinstance(reply, redis_errors.NoScriptError):
                whole = True
            elif scripts.EMPTY_ERROR in str(reply):
                await self.make()
            else:
                break
        raise self.connection.fault(reply) from reply

    async def make(self) -> None:
        """Write the schema where nothing is yet: the first open, or Redis lost its data."""
        fields = policy_fields(Policy())
        schema = await self.run("open", b"%d" % scripts.SCHEMA, *fields)
        if int(schema) != scripts.SCHEMA:
            raise self.connection.fault(redis_errors.ResponseError(scripts.VERSION_ERROR))
