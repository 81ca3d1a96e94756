"""Runs the scripts of one endpoint: packs calls, loads missing scripts, creates the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.store.redis import error_replies, keys, scripts
from asyncendpoints_core.store.redis.error_replies import word_of
from asyncendpoints_core.store.redis.policy_fields import policy_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.redis.confirmation import Confirmation
    from asyncendpoints_core.store.redis.connection import RedisConnection


# Longer than 64 bytes, so that Redis keeps the hash `meta`, which every script reads, as a hash
# table and not as a listpack, which is searched from its head for each field.
ABOUT: Final = (
    b"asyncendpoints: one endpoint's job store. Its layout is in docs/redis.md of the project."
)


def _bulk(words: Sequence[bytes]) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _pack(words: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + _bulk(words)


def plain(commands: Iterable[Sequence[str]]) -> list[bytes]:
    """Pack commands that are not scripts."""
    return [_pack([word.encode() for word in command]) for command in commands]


class Caller:
    """The script calls of one endpoint over a connection."""

    def __init__(self, connection: RedisConnection, namespace_name: str) -> None:
        self.prefix = keys.prefix(namespace_name)
        self.connection = connection
        self._slot_key = self.prefix + "meta"
        self._heads: dict[str, tuple[int, bytes]] = {}
        # Written again when Redis has lost its data: the policy last seen in force.
        self.policy = Policy()
        self.closed = False
        # Whether the store uses features, as far as this process knows: full scripts are sent then.
        self.full = False
        # How a write is confirmed; None unless `durability: strict`.
        self.confirmation: Confirmation | None = None

    def pack(self, script: scripts.Script, args: Sequence[bytes], *, whole: bool) -> bytes:
        """Return the bytes of a call; `whole` sends the script's source instead of its hash."""
        head = self._heads.get(script.sha)
        if head is None or whole:
            names = [(self.prefix + key).encode() for key in script.keys]
            code = script.source if whole else script.sha
            words = [b"EVAL" if whole else b"EVALSHA", code.encode(), b"%d" % len(names), *names]
            head = len(words), _bulk(words)
            if not whole:
                self._heads[script.sha] = head
        parts = [b"*%d\r\n" % (head[0] + len(args)), head[1]]
        for arg in args:
            parts += (b"$%d\r\n" % len(arg), arg, b"\r\n")
        return b"".join(parts)

    def packed(self, name: str, *args: bytes) -> bytes:
        """Return the bytes of a call by hash, for a dedicated connection."""
        return self.pack(scripts.load(name, full=self.full), args, whole=False)

    async def run(self, name: str, *args: bytes, again: bool = True) -> Any:
        """Run a script and return its reply. Raises StoreError."""
        reply, _ = await self.execute(name, *args, again=again)
        return reply

    async def execute(
        self,
        name: str,
        *args: bytes,
        again: bool = True,
        durably: bool = False,
        featured: bool = False,
    ) -> tuple[Any, bool]:
        """Run a script; return its reply, and whether it may have run twice (a reply was lost).

        `featured`: the arguments need the full script. `durably`: raise StoreUnavailable if, under
        `durability: strict`, its writes do not become durable in time.
        """
        if self.closed:
            raise StoreUnavailable("the store was closed")
        whole, resent, tries = False, False, 5
        confirmation = self.confirmation if durably else None
        while True:
            call = self.pack(scripts.load(name, full=self.full or featured), args, whole=whole)
            more = plain(confirmation.commands()) if confirmation is not None else ()
            replies = await self.connection.call(self._slot_key, [call, *more], again=again)
            reply, resent = replies[0], resent or replies.resent
            if not isinstance(reply, Exception):
                if confirmation is not None:
                    confirmation.check(replies[1:])
                return reply, resent
            tries -= 1
            word = word_of(reply) if tries else ""
            if word == "NOSCRIPT":
                whole = True
            elif word == error_replies.EMPTY:
                await self.create_schema()
            elif word == error_replies.TIMER:
                await self.run("cancel_timer")
            elif word in (error_replies.FEATURE, error_replies.PLAIN):
                self.full, whole = word == error_replies.FEATURE, False
                if featured and not await self.use_features():
                    raise StoreUnavailable("workers of an older version are registered")
            else:
                raise self.connection.store_error(reply) from reply

    async def send(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Send commands that are not scripts to the server of the endpoint's keys."""
        return await self.connection.call(self._slot_key, plain(commands))

    async def quarantine(self, ids: Sequence[JobId], *, whole: bool = False) -> int:
        """Move records that cannot be read to `corrupt`, failing their jobs; return how many.

        `whole`: also those whose state is readable (because the request is not).
        """
        if not ids:
            return 0
        return int(await self.run("quarantine", b"".join(ids), b"1" if whole else b"0"))

    async def use_features(self) -> bool:
        """Raise the schema, so that features may be used, and programs that do not know them are
        refused; False while a worker of such a program is registered.
        """
        if not self.full:
            self.full = not await self.run("raise_schema", b"%d" % scripts.SCHEMA)
        return self.full

    async def create_schema(self) -> None:
        """Create the store if there is none: on the first open, or after Redis lost its data."""
        fields = [*policy_fields(self.policy), b"about", ABOUT]
        featured = self.policy.webhooks or self.policy.limits is not None
        first = scripts.SCHEMA if featured else scripts.FIRST_SCHEMA
        schema = await self.run("open", b"%d" % first, *fields)
        if not scripts.FIRST_SCHEMA <= int(schema) <= scripts.SCHEMA:
            text = f"{error_replies.VERSION} {int(schema)}"
            raise self.connection.store_error(redis_errors.ResponseError(text))
