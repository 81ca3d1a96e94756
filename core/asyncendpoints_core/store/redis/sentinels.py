"""The master that Sentinels name, and connections to it that make sure it is one."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import NoPermissionError, RedisError

from asyncendpoints_core.store.redis.causes import NotMasterError, cause_of
from asyncendpoints_core.store.redis.error_replies import meaning_of, reply_text

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    Address = tuple[str, int]

GRACE_SECONDS: Final = 0.5
"""How much longer the other Sentinels may take once one has named a master."""


class Sentinels(Sentinel):
    """The Sentinels of a URL. All are asked at once: one that does not answer delays the others
    by GRACE_SECONDS, and one that missed a failover does not name the former master.
    """

    def __init__(self, addresses: list[Address], options: dict[str, Any]) -> None:
        """Make clients of the Sentinels at `addresses`, with redis-py's `options`."""
        super().__init__(addresses, sentinel_kwargs=options)  # type: ignore[no-untyped-call]

    async def discover_master(self, service_name: str) -> Address:
        """Return the address that the Sentinels with the newest configuration name, of several
        the one that most of them do. Raises MasterNotFoundError.
        """
        answers = await self._answers(service_name)
        found = [each for each in answers if not isinstance(each, str)]
        if not found:
            names = [_address_of(each) for each in self.sentinels]
            reasons = zip(names, answers, strict=True)
            raise MasterNotFoundError("; ".join(f"{name} {reason}" for name, reason in reasons))
        newest = max(epoch for epoch, _ in found)
        votes = Counter(address for epoch, address in found if epoch == newest)
        [(address, _)] = votes.most_common(1)
        return address

    async def _answers(self, service_name: str) -> list[tuple[int, Address] | str]:
        """Return for each Sentinel its epoch and the master's address, or why there is none."""
        tasks = [asyncio.create_task(_ask(each, service_name)) for each in self.sentinels]
        pending, found = set(tasks), False
        try:
            while pending and not found:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                found = any(not isinstance(task.result(), str) for task in done)
            if pending:
                await asyncio.wait(pending, timeout=GRACE_SECONDS)
        finally:
            late = [task for task in tasks if not task.done()]
            for task in late:
                task.cancel()
        return [task.result() if task not in late else "is late" for task in tasks]


async def _ask(sentinel: Redis, service_name: str) -> tuple[int, Address] | str:
    try:
        masters: Any = await sentinel.sentinel_masters()
    except (RedisError, OSError) as error:
        text = meaning_of(error).text
        return text.format(reply=reply_text(error), cause=cause_of(error))
    state = masters.get(service_name)
    if state is None:
        return f"does not know {service_name}"
    address = (state["ip"], state["port"])
    if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
        return f"calls {address[0]}:{address[1]} down"
    if state.get("role-reported", "master") != "master":
        return f"names {address[0]}:{address[1]}, which is a replica"
    return state["config-epoch"], address


def _address_of(sentinel: Redis) -> str:
    options = sentinel.connection_pool.connection_kwargs
    return f"{options['host']}:{options['port']}"


async def _check_role(connection: AbstractConnection, address: Address) -> None:
    """Raise NotMasterError for a server that a Sentinel still, or already, calls the master."""
    await connection.send_command("INFO", "replication")
    try:
        reply = await connection.read_response()
    except NoPermissionError:
        return
    if b"role:slave" in reply:
        raise NotMasterError(f"{address[0]}:{address[1]}, named by a Sentinel, is a replica")


class MasterConnection(SentinelManagedConnection):
    """A connection to the master."""

    async def connect_to(self, address: Address) -> None:
        """Connect, and check that the server is a master."""
        await super().connect_to(address)  # type: ignore[no-untyped-call]
        await _check_role(self, address)


class MasterTLSConnection(SentinelManagedSSLConnection):
    """A connection to the master by TLS."""

    async def connect_to(self, address: Address) -> None:
        """Connect, and check that the server is a master."""
        await super().connect_to(address)  # type: ignore[no-untyped-call]
        await _check_role(self, address)
