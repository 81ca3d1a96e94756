"""What becomes of the queues of endpoints that are gone: closed, kept for a while, then purged.

Gone is what the API server says so of, freshly asked by name, and nothing else: a 403, an
unsynced cache, another cluster on the same Redis never look like it (docs/rules.md K22). Only
queues of this installation's own directory are looked at.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import AsyncEndpointsError, StoreAuthenticationError
from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_operator.kube.client import Ref, Refused
from asyncendpoints_operator.queues.redis_poller import DEADLINE_SECONDS

if TYPE_CHECKING:
    from asyncendpoints_core.store.redis.ownership import Ownership
    from asyncendpoints_operator.control.term import Term
    from asyncendpoints_operator.queues.redis_poller import Server

log = logging.getLogger("asyncendpoints.operator")

INTERVAL_SECONDS: Final = 60.0
SOON_SECONDS: Final = 1.0


class Purger:
    """Looks through the directories of every Redis in use, every minute and when one went."""

    def __init__(self, term: Term) -> None:
        self._term = term

    async def run(self) -> None:
        """Look until cancelled."""
        wait = SOON_SECONDS
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._term.forgotten.wait()
                self._term.forgotten.clear()
                await asyncio.sleep(SOON_SECONDS)  # several often go together
            except TimeoutError:
                pass
            next_at = await self._round()
            wait = max(SOON_SECONDS, min(INTERVAL_SECONDS, next_at - time.time()))

    async def _round(self) -> float:
        """Look through every Redis once; returns when something falls due (s since 1970).

        One that does not answer holds up no other, and is looked through when it does.
        """
        servers = [server for server in self._term.queues.servers.values() if server.up]
        due = await asyncio.gather(*map(self._look_through, servers))
        return min(due, default=time.time() + INTERVAL_SECONDS)

    async def _look_through(self, server: Server) -> float:
        soonest = time.time() + INTERVAL_SECONDS
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                names = await server.directory.names()
            for name in names:
                if self._term.cache.endpoint(name) is None:
                    soonest = min(soonest, await self._one(server, name))
            if not names and not server.links and not server.place.own:
                await self._term.queues.drop(server)
        except (AsyncEndpointsError, TimeoutError) as error:
            log.debug("%s: not looked through for queues: %s", server.identity, error)
            refused = isinstance(error, StoreAuthenticationError)
            if refused and not server.links and not server.place.own:
                await self._term.queues.drop(server)  # its Secret has changed since
        except Exception:
            log.exception("%s: looking through its queues failed", server.identity)
        return soonest

    async def _one(self, server: Server, name: str) -> float:
        """Deal with one queue that has no endpoint, as far as is known; returns when it is due."""
        store = RedisStore(server.connection, name)
        found = await store.ownership()
        ours = found.owner is not None and found.owner.installation == self._term.installation
        if found.purged or found.owner is None:
            await server.directory.remove(name)
            return time.time() + INTERVAL_SECONDS
        if not ours or not await self._is_gone(name):
            return time.time() + INTERVAL_SECONDS
        deleted = found.notes.get("deleted") or ""
        if not deleted:
            self._term.lease.check()
            await store.close_queue()
            deleted = f"{time.time():.0f}"
            await store.note(deleted=deleted)
            log.info("%s: is gone; its queue takes no more jobs", name)
        due = float(deleted) + self._delay(found)
        if time.time() < due:
            return due
        await self._purge(server, store, name)
        return due

    def _delay(self, found: Ownership) -> float:
        if found.notes.get("on-delete") == "Purge":
            return 0.0
        return float(self._term.settings.keep_seconds)

    async def _purge(self, server: Server, store: RedisStore, name: str) -> None:
        self._term.lease.check()
        if self._term.cache.endpoint(name) is not None or not await self._is_gone(name):
            return
        # Its user first: a purged queue is not looked at again.
        await self._term.tenants.remove(server, name)
        await store.purge()
        await server.directory.remove(name)
        log.info("%s: its queue was purged", name)

    async def _is_gone(self, name: str) -> bool:
        """Ask the API server, freshly. Only its own word that there is no such object counts."""
        namespace, _, own = name.partition("/")
        try:
            await self._term.cluster.get(Ref(API_VERSION, KIND, namespace, own))
        except Refused as error:
            return error.missing and error.reason == "NotFound"
        return False
