"""Waiting for jobs to change: long polls, event streams and `Prefer: wait` share one subscription
to the store's events.

A waiting request reads the job, waits for an event and reads again. The subscription starts with
an event for everyone, so no change between the two is missed; and since an event can be lost, all
read again periodically (docs/rules.md S20).
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.common.time_source import Timer, TimeSource
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Found

log = logging.getLogger("asyncendpoints.gateway")

RESYNC_SECONDS: Final = (10.0, 15.0)
"""How long a request waits at most, and at least, before it reads again without an event."""
CLIENT_CHECK_SECONDS: Final = 2.0
"""How often a waiting request checks whether its client is still connected."""
LINGER_SECONDS: Final = 30.0
"""How long the subscription outlives the last request: the next poll often follows soon."""
RECONNECT_SECONDS: Final = (0.2, 1.0)


class Watch:
    """One request that waits for one job; a context manager made by `Hub.watch`."""

    def __init__(self, hub: Hub, job_id: JobId, time: TimeSource) -> None:
        self._hub = hub
        self._job_id = job_id
        self._time = time
        self._changed = asyncio.Event()

    def __enter__(self) -> Watch:
        self._hub._add(self._job_id, self)
        return self

    def __exit__(self, *_: object) -> None:
        self._hub._remove(self._job_id, self)

    def wake(self) -> None:
        """End the wait: the job may have changed, or the hub is closing."""
        self._changed.set()

    async def read(self) -> Found:
        """Read the job. Raises StoreError."""
        self._changed.clear()
        return await self._hub.get(self._job_id)

    async def wait(self, seconds: float, client_gone: Callable[[], bool]) -> bool:
        """Wait for a reason to read again; False after `seconds` or once `client_gone()`."""
        end = self._time.monotonic() + seconds
        while not self._changed.is_set():
            left = end - self._time.monotonic()
            if left <= 0 or client_gone():
                return False
            try:
                async with self._time.timeout(min(left, CLIENT_CHECK_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True


class Hub:
    """The waiting requests by job, and the one subscription that wakes them.

    `get` reads one job. After `close` no request waits: each is answered with what it read last.
    """

    def __init__(
        self,
        store: Store,
        get: Callable[[JobId], Awaitable[Found]],
        limit: int,
        time: TimeSource,
    ) -> None:
        """Prepare; `limit` is how many requests may wait at a time."""
        self._store = store
        self.get = get
        self._limit = limit
        self._time = time
        self._watches: dict[JobId, set[Watch]] = {}
        self.waiters = 0
        """How many requests wait now."""
        self._task: asyncio.Task[None] | None = None
        self._idle: Timer | None = None
        self.closing = False

    def watch(self, job_id: JobId) -> Watch | None:
        """Return a watch to be entered; None at the limit, or while the hub is closing."""
        if self.closing or self.waiters >= self._limit:
            return None
        return Watch(self, job_id, self._time)

    async def close(self) -> None:
        """Wake every request, and end the subscription."""
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
        client_gone: Callable[[], bool],
    ) -> tuple[Found, bool]:
        """Wait up to `seconds` until what is read satisfies; return what was read last, and
        whether the request could wait at all (False at the limit).

        Ends early once `client_gone()`. Raises StoreError only if the job could not be read
        even once.
        """
        watch = self.watch(job_id)
        if watch is None:
            return await self.get(job_id), False
        end = self._time.monotonic() + seconds
        found: Found | None = None
        with watch:
            while True:
                try:
                    found = await watch.read()
                except StoreError:
                    if found is None:
                        raise
                left = end - self._time.monotonic()
                if satisfied(found) or left <= 0 or self.closing or client_gone():
                    return found, True
                resync = random.uniform(*RESYNC_SECONDS)  # noqa: S311 - not a secret
                await watch.wait(min(left, resync), client_gone)

    def _add(self, job_id: JobId, watch: Watch) -> None:
        self.waiters += 1
        self._watches.setdefault(job_id, set()).add(watch)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._relay_events())

    def _remove(self, job_id: JobId, watch: Watch) -> None:
        self.waiters -= 1
        watches = self._watches[job_id]
        watches.discard(watch)
        if not watches:
            del self._watches[job_id]
        if not self._watches and self._task is not None and not self.closing:
            self._idle = self._time.call_at(
                self._time.monotonic() + LINGER_SECONDS, self._unsubscribe
            )

    def _unsubscribe(self) -> None:
        self._idle = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _wake_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    async def _relay_events(self) -> None:
        """Wake the requests that an event is about, until cancelled."""
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
                log.warning("the subscription to job events was interrupted: %s", error)
            except Exception:
                log.exception("the subscription to job events failed")
            await self._time.sleep(backoff.next())
