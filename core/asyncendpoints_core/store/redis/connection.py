"""Calls to a Redis that several stores share: connects, sends again, turns errors to StoreError."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from asyncendpoints_core import __version__
from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.errors import StoreError, StoreVersionError
from asyncendpoints_core.store.redis.error_replies import meaning_of, reply_text, word_of
from asyncendpoints_core.store.redis.location import hide, place_of
from asyncendpoints_core.store.redis.scripts import SCHEMA
from asyncendpoints_core.store.redis.shared_connection import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.location import Place

REPLY_SECONDS: Final = 5.0
TRIES: Final = 4
RETRY_SECONDS: Final = (0.05, 0.2)

_LOST: Final = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)


class Replies(list[Any]):
    """The replies to some commands. `resent`: they were sent again after a reply was lost, so that
    what is answered may be the work of the first time.
    """

    resent = False


class RedisConnection:
    """A shared way to one Redis. `source` is a URL, or a callable that reads it anew for each
    connection (a rotated Secret).
    """

    def __init__(
        self, source: str | Callable[[], str], *, reply_seconds: float = REPLY_SECONDS
    ) -> None:
        self._source = source
        self._reply_seconds = reply_seconds
        self._url = ""
        self._place: Place | None = None
        self._links: dict[str, Link] = {}
        self._of_key: dict[str, Link] = {}
        self._connecting = asyncio.Lock()
        self._closed = False

    def open(self) -> None:
        """Let calls through, again after `close`."""
        self._closed = False

    @property
    def clustered(self) -> bool:
        """Whether it is a Redis Cluster."""
        return self._place is not None and self._place.clustered

    async def _current_place(self) -> Place:
        url = self._source if isinstance(self._source, str) else self._source()
        if self._place is None or url != self._url:
            if self._place is not None:
                await self._place.close()
            self._place, self._url = place_of(url), url
        return self._place

    async def dedicated(self, key: str) -> AbstractConnection:
        """Open a connection of the caller's own to the server of `key`, for what blocks.

        Raises StoreUnavailable.
        """
        try:
            connection = await self._dedicated(key)
            if self.clustered and not await _serves(connection, key):
                await connection.disconnect(nowait=True)
                await self._move()
                connection = await self._dedicated(key)
            return connection
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as error:
            raise self.store_error(error) from error

    async def _dedicated(self, key: str) -> AbstractConnection:
        if self._closed:
            raise redis_errors.ConnectionError("closed")
        place = await self._current_place()
        _, connection = await place.open(key)
        await connection.connect()
        return connection

    async def _link(self, key: str) -> Link:
        link = self._of_key.get(key)
        if link is not None and link.broken is None:
            return link
        async with self._connecting:
            place = await self._current_place()
            name, connection = await place.open(key)
            link = self._links.get(name)
            if link is None or link.broken is not None:
                if link is not None:
                    await link.close()
                await connection.connect()
                link = self._links[name] = Link(connection)
            if self._closed:
                await link.close()
            self._of_key[key] = link
            return link

    async def call(
        self, key: str, commands: Sequence[Sequence[bytes]], *, again: bool = True
    ) -> Replies:
        """Send packed commands to the server of `key` and return their replies.

        Error replies that a caller can act on are returned. `again`: whether to send once more
        when a reply was lost, which needs commands that are safe to repeat. Raises
        StoreUnavailable.
        """
        resent = False
        for attempt in range(1, TRIES + 1):
            sent = False
            try:
                if self._closed:
                    raise redis_errors.ConnectionError("closed")
                link = await self._link(key)
                sent = True
                replies = await link.call(commands, self._reply_seconds)
                refused = _errors(replies)
                ask = next((each for each in refused if word_of(each) == "ASK"), None)
                if ask is not None:
                    replies = await self._ask(ask, commands)
                    refused = _errors(replies)
                not_done = next((each for each in refused if meaning_of(each).resend), None)
                if not_done is None:
                    answer = Replies(replies)
                    answer.resent = resent
                    return answer
                error: Exception = not_done
                # One of the calls that the same answer met finds the server again for all.
                moved = meaning_of(error).reconnect and link.broken is None
            except _LOST as lost:
                error, moved = lost, False
                timed_out = isinstance(lost, redis_errors.TimeoutError)
                if self._closed or timed_out or (sent and not again):
                    raise self.store_error(lost) from lost
                resent = resent or sent
            except (redis_errors.RedisError, redis_errors.RedisClusterException) as other:
                raise self.store_error(other) from other
            if attempt == TRIES:
                raise self.store_error(error) from error
            if moved:
                await self._move()
            await asyncio.sleep(delay_after(attempt, *RETRY_SECONDS))
        raise AssertionError("unreachable")

    async def call_everyone(self, commands: Sequence[Sequence[bytes]]) -> list[list[Any]]:
        """Send packed commands to every server of a cluster and return the replies of each.

        One that is away is left out, unless all are. Raises StoreUnavailable.
        """
        found: list[list[Any]] = []
        away: Exception = redis_errors.ConnectionError("no servers")
        try:
            for connection in await (await self._current_place()).everyone():
                try:
                    await connection.connect()
                except _LOST as error:
                    away = error
                    continue
                link = Link(connection)
                try:
                    found.append(await link.call(commands, self._reply_seconds))
                finally:
                    await link.close()
        except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as error:
            raise self.store_error(error) from error
        if not found:
            raise self.store_error(away) from away
        return found

    async def _ask(self, ask: Any, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        """Ask the server that a slot is moving to."""
        connection = (await self._current_place()).at(ask.host, ask.port)
        await connection.connect()
        link = Link(connection)
        try:
            asking = connection.pack_command("ASKING")
            both = [part for command in commands for part in (asking, command)]
            return (await link.call(both, self._reply_seconds))[1::2]
        finally:
            await link.close()

    async def _move(self) -> None:
        """Find the servers again."""
        links, self._links, self._of_key = self._links, {}, {}
        for link in links.values():
            await link.close()
        if self._place is not None:
            await self._place.forget()

    def store_error(self, error: BaseException) -> StoreError:
        """Return the exception that an error reply or a failure of redis-py becomes for callers;
        its message shows no credentials.
        """
        meaning, reply = meaning_of(error), reply_text(error)
        if meaning.error is StoreVersionError:
            return StoreVersionError(
                f"the store in Redis is of format {reply.split()[1]}, asyncendpoints {__version__} "
                f"reads format {SCHEMA}"
            )
        return meaning.error(f"Redis at {hide(self._url)} {meaning.text.format(reply=reply)}")

    async def close(self) -> None:
        """Close every connection; calls under way raise StoreUnavailable."""
        self._closed = True
        await self._move()
        if self._place is not None:
            await self._place.close()


def _errors(replies: list[Any]) -> list[Exception]:
    return [reply for reply in replies if isinstance(reply, Exception)]


async def _serves(connection: AbstractConnection, key: str) -> bool:
    """Ask a server of a cluster whether it has the slot of `key`."""
    try:
        await connection.send_command("EXISTS", key)
        await connection.read_response()
    except redis_errors.MovedError:
        return False
    except redis_errors.ResponseError:
        return True  # on its way to another server, but still here
    return True
