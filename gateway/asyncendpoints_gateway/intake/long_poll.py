"""Waiting for jobs to change: one watch of the store for all long polls, streams and Prefer waits.

A watcher reads the job, waits until told that it changed, and reads again. Because the store's
watch begins before (or tells once it has begun), no change between the two is missed; and because
a message can be lost all the same, everybody reads again now and then.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Found

log = logging.getLogger("asyncendpoints.gateway")

RESYNC_SECONDS: Final = (10.0, 15.0)
"""How often a watcher reads unasked: docs/rules.md S20."""
LOOK_SECONDS: Final = 2.0
"""How often a watcher looks whether its client is still there."""
LINGER_SECONDS: Final = 30.0
"""How long the store is watched on when nobody waits: a poll is often followed by the next."""
RECONNECT_SECONDS: Final = (0.2, 1.0)


class Watch:
    """One request that waits for one job. Made by `Hub.watch`, a context manager."""

    def __init__(self, hub: Hub, job_id: JobId) -> None:
        self._hub = hub
        self._job_id = job_id
        self._changed = asyncio.Event()

    def __enter__(self) -> Watch:
        self._hub._add(self._job_id, self)
        return self

    def __exit__(self, *_: object) -> None:
        self._hub._remove(self._job_id, self)

    def wake(self) -> None:
        """Tell that the job may have changed, or that waiting is over."""
        self._changed.set()

    async def read(self) -> Found:
        """Look the job up now. Raises StoreUnavailable."""
        self._changed.clear()
        return await self._hub.get(self._job_id)

    async def pause(self, seconds: float, gone: Callable[[], bool]) -> bool:
        """Wait up to `seconds` for a reason to read again; False when the time was over.

        Every few seconds `gone` is asked whether the client went away, which ends the wait too.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self._changed.is_set():
            left = end - loop.time()
            if left <= 0 or gone():
                return False
            try:
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True


class Hub:
    """Who waits for which job, and the one watch of the store that tells them.

    `get` reads one job. After `close` nobody waits any more: everybody answers with what they have.
    """

    def __init__(self, store: Store, get: Callable[[JobId], Awaitable[Found]], limit: int) -> None:
        """Prepare; `limit` is how many may wait at a time."""
        self._store = store
        self.get = get
        self._limit = limit
        self._watches: dict[JobId, set[Watch]] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.closing = False

    @property
    def waiters(self) -> int:
        """How many wait now."""
        return self._count

    def watch(self, job_id: JobId) -> Watch | None:
        """Return a watch to be entered, or None when as many wait as may, or nobody may."""
        if self.closing or self._count >= self._limit:
            return None
        return Watch(self, job_id)

    async def close(self) -> None:
        """Let everybody answer, and stop watching the store."""
        self.closing = True
        self._wake_all()
        if self._idle is not None:
            self._idle.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(
        self,
        job_id: JobId,
        seconds: float,
        satisfied: Callable[[Found], bool],
        gone: Callable[[], bool],
    ) -> tuple[Found, bool]:
        """Wait until what is read satisfies, at most `seconds`: (what was read last, waited).

        `waited` is False when there were too many waiters already. `gone` tells that the client
        went away, so that its place is free for another one. Raises StoreUnavailable only when
        the job could not be read even once.
        """
        watch = self.watch(job_id)
        if watch is None:
            return await self.get(job_id), False
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        found: Found | None = None
        with watch:
            while True:
                try:
                    found = await watch.read()
                except StoreUnavailable:
                    if found is None:
                        raise
                left = end - loop.time()
                if satisfied(found) or left <= 0 or self.closing or gone():
                    return found, True
                resync = random.uniform(*RESYNC_SECONDS)  # noqa: S311 - no secret
                await watch.pause(min(left, resync), gone)

    def _add(self, job_id: JobId, watch: Watch) -> None:
        self._count += 1
        self._watches.setdefault(job_id, set()).add(watch)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def _remove(self, job_id: JobId, watch: Watch) -> None:
        self._count -= 1
        watches = self._watches[job_id]
        watches.discard(watch)
        if not watches:
            del self._watches[job_id]
        if not self._watches and self._task is not None and not self.closing:
            self._idle = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._rest)

    def _rest(self) -> None:
        self._idle = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _wake_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    async def _run(self) -> None:
        backoff = Backoff(*RECONNECT_SECONDS)
        while True:
            try:
                async with self._store.events() as events:
                    backoff.reset()
                    async for event in events:
                        if event.job_id is None:
                            self._wake_all()
                        else:
                            for watch in self._watches.get(event.job_id, ()):
                                watch.wake()
            except StoreError as error:
                log.warning("the watch of the store was cut: %s", error)
            except Exception:
                log.exception("the watch of the store failed")
            await asyncio.sleep(backoff.next())
