"""The master that Sentinels name, and connections to it that make sure it is one."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import NoPermissionError, RedisError
from redis.utils import str_if_bytes

from asyncendpoints_core.store.redis.causes import NotMasterError, cause_of
from asyncendpoints_core.store.redis.error_replies import meaning_of, reply_text

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    Address = tuple[str, int]
    Answer = tuple[int, Address | str]

GRACE_SECONDS: Final = 0.5
"""How much longer the other Sentinels may take once one has named a master."""
FOLLOW_SECONDS: Final = 5.0
"""How often the Sentinels are asked while there are connections."""

log = logging.getLogger("asyncendpoints")


class Sentinels(Sentinel):
    """The Sentinels of a URL. All are asked at once: one that does not answer delays the others
    by GRACE_SECONDS, and one that missed a failover does not name the former master.
    """

    def __init__(self, addresses: list[Address], options: dict[str, Any]) -> None:
        """Make clients of the Sentinels at `addresses`, with redis-py's `options`."""
        super().__init__(addresses, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        self._newest = -1
        self._connections: WeakSet[MasterConnection | MasterTLSConnection] = WeakSet()
        self._following: asyncio.Task[None] | None = None

    async def discover_master(self, service_name: str) -> Address:
        """Return the address that the Sentinels with the newest configuration name, of several
        the one that most of them do. Raises MasterNotFoundError.
        """
        address, _ = await self._discover(service_name)
        return address

    async def _discover(self, service_name: str) -> tuple[Address, bool]:
        """Return the master, and whether it is sure: of no older configuration than seen before,
        unless most of the Sentinels name it, as when all were set up again.
        """
        answers = await self._answers(service_name)
        # Also of those that cannot name one now: an older configuration has the former master.
        newest = max(epoch for epoch, _ in answers)
        votes = Counter(
            master for epoch, master in answers if epoch == newest and not isinstance(master, str)
        )
        if not votes:
            names = [_address_of(each) for each in self.sentinels]
            texts = (_text(master) for _, master in answers)
            reasons = zip(names, texts, strict=True)
            raise MasterNotFoundError("; ".join(f"{name} {reason}" for name, reason in reasons))
        [(address, count)] = votes.most_common(1)
        sure = newest >= self._newest or 2 * count > len(answers)
        if sure:
            self._newest = newest
        return address, sure

    def follow(self, connection: MasterConnection | MasterTLSConnection, service_name: str) -> None:
        """Close a connection once the Sentinels name another master. Its server may be one that
        they cannot reach, so that it still is a master and takes what the failover then drops.
        """
        self._connections.add(connection)
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow(service_name))

    async def _follow(self, service_name: str) -> None:
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            connections = [each for each in self._connections if each.is_connected]
            if not connections:
                return
            try:
                master, sure = await self._discover(service_name)
            except MasterNotFoundError:
                continue
            if not sure:
                continue
            for each in connections:
                if (address := (each.host, each.port)) != master:
                    log.warning("leaving Redis at %s:%s: the master is %s:%s", *address, *master)
                    await each.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for sentinel in self.sentinels:
            await sentinel.aclose()

    async def _answers(self, service_name: str) -> list[Answer]:
        """Return for each Sentinel its epoch and the master's address, or why there is none."""
        tasks = [asyncio.create_task(_ask(each, service_name)) for each in self.sentinels]
        pending, found = set(tasks), False
        try:
            while pending and not found:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                found = any(not isinstance(task.result()[1], str) for task in done)
            if pending:
                await asyncio.wait(pending, timeout=GRACE_SECONDS)
        finally:
            late = [task for task in tasks if not task.done()]
            for task in late:
                task.cancel()
        return [task.result() if task not in late else (-1, "is late") for task in tasks]


async def _ask(sentinel: Redis, service_name: str) -> Answer:
    try:
        masters: Any = await sentinel.sentinel_masters()
        state = masters.get(service_name)
        if state is None:
            return -1, f"does not know {service_name}"
        # Services that speak Sentinel's protocol may leave out what redis-py does not need.
        epoch, address = int(state.get("config-epoch", 0)), (state["ip"], state["port"])
        if "failover_in_progress" in state.get("flags", ""):
            # The old address stays in the list until all replicas follow the promoted one.
            named: Any = await sentinel.sentinel_get_master_addr_by_name(service_name)
            if named is None:
                return epoch, "has no master during a failover"
            promoted = (str_if_bytes(named[0]), int(named[1]))
            if promoted != address:
                return epoch, promoted
    except (RedisError, OSError) as error:
        text = meaning_of(error).text
        return -1, text.format(reply=reply_text(error), cause=cause_of(error))
    except (AttributeError, KeyError, TypeError, ValueError):
        return -1, "gave an answer that no Sentinel gives"
    if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
        return epoch, f"calls {address[0]}:{address[1]} down"
    if state.get("role-reported", "master") != "master":
        return epoch, f"names {address[0]}:{address[1]}, which is a replica"
    return epoch, address


def _text(master: Address | str) -> str:
    return (
        master if isinstance(master, str) else f"named {master[0]}:{master[1]}, before a failover"
    )


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


def _follow(connection: MasterConnection | MasterTLSConnection) -> None:
    pool = connection.connection_pool
    pool.sentinel_manager.follow(connection, pool.service_name)


class MasterConnection(SentinelManagedConnection):
    """A connection to the master."""

    async def connect_to(self, address: Address) -> None:
        """Connect, and check that the server is a master."""
        await super().connect_to(address)  # type: ignore[no-untyped-call]
        await _check_role(self, address)
        _follow(self)


class MasterTLSConnection(SentinelManagedSSLConnection):
    """A connection to the master by TLS."""

    async def connect_to(self, address: Address) -> None:
        """Connect, and check that the server is a master."""
        await super().connect_to(address)  # type: ignore[no-untyped-call]
        await _check_role(self, address)
        _follow(self)
