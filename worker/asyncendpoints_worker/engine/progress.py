"""Sends the progress of running attempts: the first report at once, then at most ten batches a
second.

Of several reports of one job only the last is sent, so a client sees one within 250 ms and a
handler may report as often as it likes.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.replies import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.handlers.attempt import RunningAttempt

INTERVAL_SECONDS: Final = 0.1
SEND_SECONDS: Final = 1.0


class Reporter:
    """The progress of one engine's attempts that is not in the store yet."""

    def __init__(
        self, store: Store, time: TimeSource, running: Mapping[int, RunningAttempt]
    ) -> None:
        """Report to `store`, for attempts that are in `running`."""
        self._store = store
        self._time = time
        self._running = running
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._pending: list[RunningAttempt] = []
        self._task: asyncio.Task[None] | None = None
        self._next = 0.0
        self._sending = asyncio.Lock()

    def notify(self, attempt: RunningAttempt) -> None:
        """Send `attempt.progress` soon; see ProgressReporter."""
        if threading.get_ident() == self._thread:
            self._add(attempt)
        else:
            self._loop.call_soon_threadsafe(self._add, attempt)

    def _add(self, attempt: RunningAttempt) -> None:
        if attempt.claim.number not in self._running:
            return
        self._pending.append(attempt)
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._pending:
                await self._time.sleep(max(0.0, self._next - self._time.monotonic()))
                await self.flush()
        finally:
            self._task = None

    async def flush(self) -> None:
        """Send what is pending and wait until that is done, so that an outcome comes after it.

        Progress that cannot be sent is dropped.
        """
        if not self._pending and not self._sending.locked():
            return
        async with self._sending:
            while self._pending:
                self._next = self._time.monotonic() + INTERVAL_SECONDS
                batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
                taken = [(attempt.claim, attempt.take_progress()) for attempt in batch]
                updates = [(claim, progress) for claim, progress in taken if progress is not None]
                try:
                    async with self._time.timeout(SEND_SECONDS):
                        await self._store.progress(updates)
                except (StoreError, TimeoutError):
                    return
