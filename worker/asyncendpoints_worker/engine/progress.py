"""Sends the progress of running jobs: the first report at once, then at most ten groups a second.

Of several reports of one job only the last is sent, so a client sees one within 250 ms and a
handler may report as often as it likes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.protocol import MAX_BATCH

if TYPE_CHECKING:
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.engine.slots import Slot

INTERVAL: Final = 0.1
PATIENCE: Final = 1.0


class Reporter:
    """The progress of one engine's jobs that the store has not yet seen."""

    def __init__(self, store: Store) -> None:
        """Report to `store`."""
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._slots: list[Slot] = []
        self._task: asyncio.Task[None] | None = None
        self._next = 0.0
        self._sending = asyncio.Lock()

    def add(self, slot: Slot) -> None:
        """Send `slot.progress` soon."""
        self._slots.append(slot)
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._slots:
                await asyncio.sleep(max(0.0, self._next - self._loop.time()))
                await self.flush()
        finally:
            self._task = None

    async def flush(self) -> None:
        """Send what there is now and wait for what is under way, so that an outcome comes after it.

        A report is no outcome: one that cannot be sent is dropped.
        """
        if not self._slots and not self._sending.locked():
            return
        async with self._sending:
            while self._slots:
                self._next = self._loop.time() + INTERVAL
                slots, self._slots = self._slots[:MAX_BATCH], self._slots[MAX_BATCH:]
                taken = [(slot.claim, slot.take_progress()) for slot in slots]
                updates = [(claim, progress) for claim, progress in taken if progress is not None]
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self._store.progress(updates)
                except (StoreError, TimeoutError):
                    return
