"""Keeps the cache equal to the cluster: by a watch, and by full lists every few minutes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

from asyncendpoints_core.resource import GROUP, KIND, VERSION
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import PLURALS, Cluster, Refused, Unreachable
from asyncendpoints_operator.kube.watch import MANAGED_SELECTOR, Watcher, watched
from asyncendpoints_operator.kube.workqueue import WorkQueue

log = logging.getLogger("asyncendpoints.operator")

_RETRY_SECONDS: Final = 2.0
_GATEWAY_API: Final = ("gateway.networking.k8s.io", "v1", "httproutes")


class ClusterSync:
    """Watches and lists `namespaces` (none: all) into the cache; after a list all keys are due."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        workqueue: WorkQueue,
        namespaces: Sequence[str],
        resync_seconds: float,
    ) -> None:
        self._cluster, self._cache, self._workqueue = cluster, cache, workqueue
        self._namespaces = namespaces
        self._resync_seconds = resync_seconds
        self._resync_now = asyncio.Event()
        self._optional = False

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Wait until everything was listed once, and watch inside of this context."""
        await self._wait_for_crd()
        self._optional = await self._cluster.serves(*_GATEWAY_API)
        watcher = Watcher(
            self._cluster,
            self._namespaces,
            self._cache.put,
            self._cache.remove,
            self._resync_now.set,
            optional=self._optional,
        )
        watcher.start()
        try:
            await self._list_until_done()
            yield
        finally:
            await watcher.stop()

    async def run(self) -> None:
        """List everything every few minutes, and when events may have been missed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._resync_seconds):
                    await self._resync_now.wait()
            self._resync_now.clear()
            with contextlib.suppress(Unreachable, Refused):
                await self._list()
                for key in self._cache.endpoints():
                    self._workqueue.add(key)

    async def _wait_for_crd(self) -> None:
        logged = False
        while True:
            try:
                if await self._cluster.serves(GROUP, VERSION, PLURALS[KIND]):
                    return
                reason = "the API server does not have the kind AsyncEndpoint: apply the CRD"
            except (Unreachable, Refused) as error:
                reason = str(error)
            if not logged:
                log.warning("waiting: %s", reason)
                logged = True
            await asyncio.sleep(_RETRY_SECONDS)

    async def _list_until_done(self) -> None:
        while True:
            try:
                await self._list()
                return
            except (Unreachable, Refused) as error:
                log.warning("the cluster cannot be listed yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _list(self) -> None:
        """Make the cache what full lists say. Raises Unreachable, Refused."""
        for group, version, kind in watched(self._optional):
            api_version = f"{group}/{version}" if group else version
            selector = "" if kind == KIND else MANAGED_SELECTOR
            for namespace in self._namespaces or (None,):
                self._cache.begin()
                found = self._cluster.list(api_version, kind, namespace, selector)
                listed = [item async for item in found]
                for item in listed:
                    if kind != KIND:
                        item["metadata"].pop("managedFields", None)
                self._cache.replace(kind, listed, namespace)
