"""The list of an installation's endpoints, on the operator's Redis.

The operator writes it for the console of all endpoints, which has no access to the API server.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.redis.keys import prefix
from asyncendpoints_core.store.redis.ownership import send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.store.redis.connection import RedisConnection

_REVISION: Final = "revision"
_ENDPOINTS: Final = "endpoints"


class ListedEndpoint(msgspec.Struct, frozen=True):
    """An endpoint: the part of its resource that gateways read, and why its queue cannot be read
    on the operator's Redis, "" if it is there.
    """

    resource: dict[str, Any]
    elsewhere: str = ""


class EndpointList:
    """The hash with the list and its revision, which is a hash of the list."""

    def __init__(self, connection: RedisConnection, installation: str) -> None:
        self._connection = connection
        self._key = list_key(installation)

    async def revision(self) -> str:
        """Return the revision, "" if there is no list."""
        reply = await self._call("HGET", _REVISION)
        return reply.decode() if isinstance(reply, bytes) else ""

    async def read(self) -> list[ListedEndpoint]:
        """Return the list, empty if there is none. Raises StoreError if it cannot be read."""
        reply = await self._call("HGET", _ENDPOINTS)
        if not isinstance(reply, bytes):
            return []
        try:
            return msgspec.json.decode(reply, type=list[ListedEndpoint])
        except msgspec.DecodeError:
            raise StoreError("the list of endpoints was written by another version") from None

    async def write(self, endpoints: Sequence[ListedEndpoint]) -> None:
        """Replace the list."""
        content = msgspec.json.encode(endpoints).decode()
        await self._call("HSET", _REVISION, revision_of(endpoints), _ENDPOINTS, content)

    async def _call(self, verb: str, *words: str) -> object:
        [reply] = await send(self._connection, self._key, (verb, self._key, *words))
        if isinstance(reply, Exception):
            raise self._connection.store_error(reply) from reply
        return reply


def list_key(installation: str) -> str:
    """Return the key of an installation's list; the id has no "/", so no endpoint has this key."""
    return prefix(installation) + "console"


def revision_of(endpoints: Sequence[ListedEndpoint]) -> str:
    """Return the revision of a list."""
    return hashlib.sha256(msgspec.json.encode(endpoints)).hexdigest()[:16]
