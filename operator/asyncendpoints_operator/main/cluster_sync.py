"""Keeps the cache equal to the cluster: each kind by a watch of its own and by full lists."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from asyncendpoints_core.common.backoff import delay_after
from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.desired.naming import Kind
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import PLURALS, Cluster, Refused, Unreachable
from asyncendpoints_operator.kube.watch import MANAGED_SELECTOR, WATCHED, Watcher

log = logging.getLogger("asyncendpoints.operator")

_RETRY_SECONDS: Final = 2.0
_MAX_RETRY_SECONDS: Final = 15.0
_PROBE_SECONDS: Final = 20.0
"""How often it is checked whether a kind that may be absent exists."""
_TURN_SECONDS: Final = 5.0
"""How long a kind waits for the lists of the others at most."""

_BEGIN_SECONDS: Final = 5.0
"""How long a list waits at most until the watch has begun. One that begins later is followed by
another list."""

Namespaces = tuple[str | None, ...]
"""Names, or None alone for the whole cluster."""


class Readable:
    """What of the cluster can be listed, by the last attempt for each kind and namespace.

    Each namespace that cannot be read is logged once, whatever the number of kinds in it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failing: dict[str, set[str]] = {}  # the kinds, by namespace
        self._listed: set[tuple[str, str]] = set()
        self._blind_since = monotonic()

    def succeeded(self, kind: str, namespace: str | None) -> None:
        """Record that a kind was listed."""
        name = namespace or ""
        self._listed.add((kind, name))
        failing = self._failing.get(name, set())
        if kind in failing:
            failing.discard(kind)
            if not failing:
                del self._failing[name]
                log.info("%s can be read again", _name(namespace))

    def failed(self, kind: str, namespace: str | None, error: Exception) -> None:
        """Record that a kind could not be listed."""
        name = namespace or ""
        if name not in self._failing:
            log.warning("%s cannot be read yet: %s", _name(namespace), error)
        self._failing.setdefault(name, set()).add(kind)
        if self._listed:
            self._listed.discard((kind, name))
            if not self._listed:
                self._blind_since = self._monotonic()

    @property
    def blind_seconds(self) -> float:
        """For how long nothing can be listed; 0 while anything can."""
        return 0.0 if self._listed else self._monotonic() - self._blind_since

    @property
    def unreadable(self) -> dict[str, int]:
        """How many kinds cannot be listed or watched, by namespace ("" for the whole cluster)."""
        return {name: len(kinds) for name, kinds in self._failing.items()}


def _name(namespace: str | None) -> str:
    return "the cluster" if namespace is None else f"namespace {namespace}"


class KindSync:
    """Lists and watches one kind; what happens to another kind does not affect it."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        kind: Kind,
        namespaces: Namespaces,
        readable: Readable,
        listing: asyncio.Lock,
        resync_seconds: float,
    ) -> None:
        self._cluster, self._cache, self._kind = cluster, cache, kind
        self._namespaces, self._readable, self._listing = namespaces, readable, listing
        self._resync_seconds = resync_seconds
        self._watcher: Watcher | None = None
        self._watching: Namespaces = ()
        self._found: Namespaces = ()  # those that the last list was allowed for
        self._doubtful: set[str | None] = set()  # those that may have ended a watch
        self._changed = asyncio.Event()  # a watch has begun, or ended
        self._over = False  # whether the watch has ended
        self._deaf = False  # whether deletions since the last list may not have been reported
        self._failures = 0
        self._present, self._listed_at = True, 0.0
        self.listed = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled. `listed` is set once what can be listed was, or nothing exists."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._step()
                except Exception:
                    log.exception("%s: listing failed", self._kind.kind)
                await self._wait()
        finally:
            await self._watch(())

    async def _step(self) -> None:
        self._present = await self._is_present()
        if not self._present:
            await self._watch(())
            for namespace in self._namespaces:
                self._cache.begin(self._kind.kind)
                self._cache.keep(self._kind.kind, (), namespace)
            self.listed.set()
        elif self._is_due():
            self._listed_at = time.monotonic()
            fresh = await self._begin()
            async with self._turn():
                await self._list(fresh=fresh)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Let one kind list at a time, because lists are large before `compact`. A list that is
        not answered, in each namespace until its timeout, does not hold up the others.
        """
        held = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TURN_SECONDS):
                held = await self._listing.acquire()
        try:
            yield
        finally:
            if held:
                self._listing.release()

    def _is_due(self) -> bool:
        dead = self._watcher is None or not self._watcher.alive
        missing = self._found != self._namespaces
        return (
            dead
            or missing
            or self._deaf
            or time.monotonic() - self._listed_at >= self._resync_seconds
        )

    async def _is_present(self) -> bool:
        """Whether the API server has the kind; while it does not answer, as before."""
        if not self._kind.optional:
            return True
        kind = self._kind
        try:
            present = await self._cluster.serves(kind.api_version, kind.kind)
        except (Unreachable, Refused):
            return self._present
        if present != self._present:
            log.info("the kind %s is %s", kind.kind, "there" if present else "not there")
        return present

    async def _begin(self) -> bool:
        """Watch if no watch runs, so that nothing is between it and the list that follows; return
        whether it was so.
        """
        if self._watcher is not None:
            if self._watcher.alive:
                return False
            self._doubtful |= set(self._watching)
        tried = self._watching or self._namespaces
        await self._watch(tried)
        if self._over:
            self._doubtful |= set(tried)
        return True

    async def _list(self, *, fresh: bool) -> None:
        """Make the cache what full lists say; `fresh`: the watch has just begun."""
        self._deaf = False
        found = tuple([one for one in self._namespaces if await self._list_one(one)])
        # A refused one would end a new watch of the others; a watch that still runs is kept.
        if found != self._watching if fresh else not set(found) <= set(self._watching):
            await self._watch(found)
            self._deaf = False
            found = tuple([one for one in found if await self._list_one(one)])
        self._found = found
        self._failures = 0 if found == self._namespaces else self._failures + 1
        if found:
            self.listed.set()

    async def _list_one(self, namespace: str | None) -> bool:
        kind, api_version = self._kind.kind, self._kind.api_version
        self._cache.begin(kind)
        try:
            selector = "" if kind == KIND else MANAGED_SELECTOR
            listed = self._cluster.list(api_version, kind, namespace, selector)
            found = {self._cache.put_listed(item) async for item in listed}
            self._cache.keep(kind, found, namespace)
            if namespace in self._doubtful:
                await self._check_watch(namespace)
        except (Unreachable, Refused) as error:
            self._readable.failed(kind, namespace, error)
            return False
        self._readable.succeeded(kind, namespace)
        return True

    async def _check_watch(self, namespace: str | None) -> None:
        """Raise Refused if the operator may list the kind there, but not watch it."""
        kind = self._kind
        if not await self._cluster.may_watch(kind.api_version, kind.kind, namespace):
            text = f"no role allows to watch {PLURALS[kind.kind]} there"
            raise Refused(403, "Forbidden", text)
        self._doubtful.discard(namespace)

    async def _watch(self, namespaces: Namespaces) -> None:
        """Watch these namespaces instead of those before, and wait for its begin; none: stop."""
        if self._watcher is not None:
            await self._watcher.stop()
        self._watcher, self._watching = None, namespaces
        if namespaces:
            put, remove = self._cache.put, self._cache.remove
            names = [name for name in namespaces if name is not None]
            events = (put, remove, self._on_ended, self._on_begun)
            self._over = False
            self._watcher = Watcher(self._cluster, self._kind, names, *events)
            self._watcher.start()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEGIN_SECONDS):
                    await self._until_begun(self._watcher)

    async def _until_begun(self, watcher: Watcher) -> None:
        """Wait until a watch has begun, or has ended before."""
        while not (watcher.complete or self._over):
            self._changed.clear()
            await self._changed.wait()

    def _on_ended(self) -> None:
        self._over = True
        self._changed.set()

    def _on_begun(self) -> None:
        self._deaf = True
        self._changed.set()

    async def _wait(self) -> None:
        seconds = max(0.0, self._listed_at + self._resync_seconds - time.monotonic())
        if self._kind.optional:
            seconds = min(seconds, _PROBE_SECONDS) if self._present else _PROBE_SECONDS
        if self._present and self._found != self._namespaces:
            seconds = delay_after(self._failures, _RETRY_SECONDS, _MAX_RETRY_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                await asyncio.sleep(_RETRY_SECONDS)


class ClusterSync:
    """Watches and lists `namespaces` (none: all) into the cache; `wake` is called with all keys
    every few minutes.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        wake: Callable[[str], None],
        namespaces: Sequence[str],
        resync_seconds: float,
    ) -> None:
        self._cluster, self._cache, self._wake = cluster, cache, wake
        self._resync_seconds = resync_seconds
        self.readable = Readable()
        names, listing = tuple(namespaces) or (None,), asyncio.Lock()
        self._kinds = [
            KindSync(cluster, cache, kind, names, self.readable, listing, resync_seconds)
            for kind in WATCHED
        ]

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Wait until everything was listed once, and watch inside of this context."""
        await self._wait_for_crd()
        tasks = [asyncio.create_task(kind.run()) for kind in self._kinds]
        try:
            await asyncio.gather(*(kind.listed.wait() for kind in self._kinds))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self) -> None:
        """Have every endpoint reconciled every few minutes."""
        while True:
            await asyncio.sleep(self._resync_seconds)
            for key in self._cache.endpoints():
                self._wake(key)

    async def _wait_for_crd(self) -> None:
        logged = False
        while True:
            try:
                if await self._cluster.serves(API_VERSION, KIND):
                    return
                reason = "the API server does not have the kind AsyncEndpoint: apply the CRD"
            except (Unreachable, Refused) as error:
                reason = str(error)
            if not logged:
                log.warning("waiting: %s", reason)
                logged = True
            await asyncio.sleep(_RETRY_SECONDS)
