"""Numbered claims: a number is repeated until it is answered (docs/rules.md S5)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import (
    StoreError,
    StoreUnavailable,
    StoreVersionError,
    UsageError,
    WorkerGone,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.store.protocol import ClaimBatch, Store

log = logging.getLogger("asyncendpoints.worker")

# UsageError: the file with the URL cannot be read while its Secret is being replaced.
FAULTS: Final = (StoreError, UsageError)
"""What a call to the store may raise, none of which may end a worker."""


class Claims:
    """Asks for the jobs of one worker incarnation after another; `worker` is the present one."""

    def __init__(self, store: Store, doubt: Callable[[str], None]) -> None:
        """Ask `store`; `doubt(worker)` is told when it refuses for want of a lease."""
        self.worker = ""
        self._store = store
        self._doubt = doubt
        # The last number, and whether a claim may have been made under it without an answer.
        self._request, self._open = 0, False

    def begin(self, worker: str) -> None:
        """Claim for `worker` from now on, whose numbers begin anew."""
        self.worker = worker
        self._request, self._open = 0, False

    def _next(self) -> int:
        if not self._open:
            self._request, self._open = self._request + 1, True
        return self._request

    def _answered(self, worker: str, batch: ClaimBatch) -> ClaimBatch | None:
        if self.worker != worker:
            return None
        self._open = False
        return batch

    async def ask(self, limit: int) -> ClaimBatch | None:
        """Claim once, asking again until there is an answer; None: the worker is another by now."""
        worker, request, backoff = self.worker, self._next(), Backoff()
        while True:
            try:
                return self._answered(worker, await self._store.claim(worker, request, limit))
            except WorkerGone:
                self._doubt(worker)
            except FAULTS as error:
                expected = isinstance(error, (StoreUnavailable, StoreVersionError))
                level = logging.DEBUG if expected else logging.WARNING
                log.log(level, "claim %d: %s", request, error)
            await asyncio.sleep(backoff.next())
            if self.worker != worker:
                return None

    async def ask_when_rung(self, limit: int, timeout_ms: int) -> ClaimBatch | None:
        """Claim when the doorbell rings or the time is over. None, or cancelled: nobody knows
        whether it was made, and `ask` or `close` finds out.
        """
        worker = self.worker
        try:
            batch = await self._store.claim_next(worker, self._next(), limit, timeout_ms)
        except FAULTS:
            # Its connection is another than that of `ask`, and may be the only one at fault.
            await asyncio.sleep(timeout_ms / 1000)
            return None
        return self._answered(worker, batch)

    async def close(self) -> ClaimBatch | None:
        """Return what a claim was given whose answer never came, and claim nothing more."""
        if not self._open or not self.worker:
            return None
        try:
            return await self._store.claim(self.worker, self._request, 0)
        except FAULTS:
            return None
