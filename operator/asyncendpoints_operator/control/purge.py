"""Queues of endpoints that are gone: closed, kept for a while, then purged.

An endpoint is gone only if the API server answers a GET by name with 404: a 403, an unsynced cache
or another cluster on the same Redis is not enough (docs/rules.md K22). Only queues in this
installation's own directory are considered.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from asyncendpoints_core.errors import AsyncEndpointsError, StoreAuthenticationError
from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_operator.control.redis_users import RedisUsers
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.queues.polled_redis import DEADLINE_SECONDS
from asyncendpoints_operator.queues.redis_poller import RedisPoller
from asyncendpoints_operator.queues.registry import Queues

log = logging.getLogger("asyncendpoints.operator")

INTERVAL_SECONDS: Final = 60.0
SOON_SECONDS: Final = 1.0


class Purger:
    """Checks the directory of every Redis in use, every minute and after `wake`.

    `check` raises when this process may not write any more.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        check: Callable[[], object],
        queues: Queues,
        users: RedisUsers,
        installation: str,
        keep_seconds: float,
    ) -> None:
        self._cluster, self._cache, self._check = cluster, cache, check
        self._queues, self._users = queues, users
        self._installation, self._keep_seconds = installation, keep_seconds
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Check soon, because an endpoint is gone."""
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled."""
        wait = SOON_SECONDS
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
                self._woken.clear()
                await asyncio.sleep(SOON_SECONDS)  # several are often deleted together
            except TimeoutError:
                pass
            next_at = await self._check_all()
            wait = max(SOON_SECONDS, min(INTERVAL_SECONDS, next_at - time.time()))

    async def _check_all(self) -> float:
        """Check every Redis once; returns when the next purge is due (s since 1970).

        One that does not answer delays no other, and is checked when it answers again.
        """
        pollers = [poller for poller in self._queues.pollers.values() if poller.redis.up]
        due = await asyncio.gather(*map(self._check_redis, pollers))
        return min(due, default=time.time() + INTERVAL_SECONDS)

    async def _check_redis(self, poller: RedisPoller) -> float:
        soonest = time.time() + INTERVAL_SECONDS
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                names = await poller.redis.directory.names()
            for name in names:
                if self._cache.endpoint(name) is None:
                    soonest = min(soonest, await self._check_queue(poller, name))
            if not names and poller.unused:
                await self._queues.drop(poller)
        except (AsyncEndpointsError, TimeoutError) as error:
            log.debug("%s: its directory cannot be checked: %s", poller.redis.identity, error)
            if isinstance(error, StoreAuthenticationError) and poller.unused:
                await self._queues.drop(poller)  # its Secret has changed since
        except Exception:
            log.exception("%s: checking its directory failed", poller.redis.identity)
        return soonest

    async def _check_queue(self, poller: RedisPoller, name: str) -> float:
        """Close or purge a queue whose endpoint is not in the cache; returns when it is due."""
        store = RedisStore(poller.redis.connection, name)
        found = await store.ownership()
        own = found.owner is not None and found.owner.installation == self._installation
        if found.purged or found.owner is None:
            await poller.redis.directory.remove(name)
            return time.time() + INTERVAL_SECONDS
        if not own or not await self._is_gone(name):
            return time.time() + INTERVAL_SECONDS
        deleted = found.notes.get("deleted") or ""
        if not deleted:
            self._check()
            await store.close_queue()
            deleted = f"{time.time():.0f}"
            await store.note(deleted=deleted)
            log.info("%s: was deleted; its queue accepts no more jobs", name)
        at_once = found.notes.get("on-delete") == "Purge"
        due = float(deleted) + (0.0 if at_once else self._keep_seconds)
        if time.time() >= due:
            await self._purge(poller, store, name)
        return due

    async def _purge(self, poller: RedisPoller, store: RedisStore, name: str) -> None:
        self._check()
        if self._cache.endpoint(name) is not None or not await self._is_gone(name):
            return
        # Its user first: a purged queue is not checked again.
        await self._users.remove(poller.redis, name)
        await store.purge()
        await poller.redis.directory.remove(name)
        log.info("%s: its queue was purged", name)

    async def _is_gone(self, key: str) -> bool:
        """Whether the API server itself answers that there is no such object."""
        namespace, _, name = key.partition("/")
        try:
            await self._cluster.get(Ref(API_VERSION, KIND, namespace, name))
        except Refused as error:
            return error.missing and error.reason == "NotFound"
        return False
