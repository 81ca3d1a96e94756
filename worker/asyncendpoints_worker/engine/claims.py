"""Numbered claims: a claim without a reply is repeated under its number, so none is lost
(docs/rules.md S5).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import (
    StoreError,
    StoreUnavailable,
    StoreVersionError,
    UsageError,
    WorkerGone,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import ClaimBatch

T = TypeVar("T")

log = logging.getLogger("asyncendpoints.worker")

# UsageError: the file with the URL cannot be read while its Secret is being replaced.
STORE_ERRORS: Final = (StoreError, UsageError)
"""What a call to the store may raise, none of which may end a worker."""
MAX_IDLE_MS: Final = 1_000
SKIPPED_IDLE_MS: Final = 50
"""After a claim that found only jobs it had to skip, although there are more."""
UNCALLED_IDLE_MS: Final = 100
"""While no wake-up can reach a worker: it was just cordoned, or waits until it holds no job."""


def longest_idle_ms(batch: ClaimBatch, random: Callable[[], float]) -> int:
    """Return how long to wait at most for the doorbell after `batch`, before the next claim.

    `random` returns uniform numbers in [0, 1).
    """
    due = MAX_IDLE_MS if batch.next_due_ms is None else batch.next_due_ms
    if batch.more:
        due = min(due, SKIPPED_IDLE_MS)
    # Jitter, so that many workers do not claim one due job in the same millisecond.
    most = MAX_IDLE_MS * (0.75 + random() / 4)
    return max(1, int(min(most, due)))


class Claims:
    """The claims of one worker id after another; `worker` is the current one, empty for none."""

    def __init__(self, store: Store, time: TimeSource, check_lease: Callable[[str], None]) -> None:
        """Claim from `store`; call `check_lease(worker)` when it refuses for lack of a lease."""
        self.worker = ""
        self._store = store
        self._time = time
        self._check_lease = check_lease
        self._backoff = Backoff(0.1, MAX_IDLE_MS / 1000)  # of waits, with a claim or not
        # The last number, and whether a claim under it may have been made without a reply.
        self._request, self._unanswered = 0, False

    def begin(self, worker: str) -> None:
        """Claim for `worker` from now on; its numbers start again."""
        self.worker = worker
        self._request, self._unanswered = 0, False

    def _number(self) -> int:
        if not self._unanswered:
            self._request, self._unanswered = self._request + 1, True
        return self._request

    def _answered(self, worker: str, batch: ClaimBatch) -> ClaimBatch | None:
        if self.worker != worker:
            return None
        self._unanswered = False
        return batch

    async def claim(self, limit: int) -> ClaimBatch | None:
        """Claim once, repeating until there is a reply; None if the worker id changed meanwhile."""
        worker, request, backoff = self.worker, self._number(), Backoff()
        while True:
            try:
                return self._answered(worker, await self._store.claim(worker, request, limit))
            except WorkerGone:
                self._check_lease(worker)
            except STORE_ERRORS as error:
                expected = isinstance(error, (StoreUnavailable, StoreVersionError))
                level = logging.DEBUG if expected else logging.WARNING
                log.log(level, "claim %d: %s", request, error)
            await self._time.sleep(backoff.next())
            if self.worker != worker:
                return None

    async def claim_when_woken(self, limit: int, timeout_ms: int) -> ClaimBatch | None:
        """Claim at the doorbell's wake-up or after `timeout_ms` (docs/adr/0007). After None or a
        cancel it is unknown whether the claim was made: `claim` or `recover_unanswered` finds out.
        """
        worker = self.worker
        claim = self._store.claim_next(worker, self._number(), limit, timeout_ms)
        batch = await self._waited(claim)
        return None if batch is None else self._answered(worker, batch)

    async def wait(self, timeout_ms: int) -> None:
        """Return at the doorbell's wake-up or after `timeout_ms`, and claim nothing."""
        await self._waited(self._store.wait_for_work(self.worker, timeout_ms))

    async def _waited(self, wait: Awaitable[T]) -> T | None:
        """Return what `wait` returns; after an error sleep, longer each time, and return None."""
        try:
            found = await wait
        except STORE_ERRORS:
            # Its connection is not the one that `claim` uses, and may be the only one at fault.
            await self._time.sleep(self._backoff.next())
            return None
        self._backoff.reset()
        return found

    async def recover_unanswered(self) -> ClaimBatch | None:
        """Return what a claim without a reply was given, and claim nothing more."""
        if not self._unanswered or not self.worker:
            return None
        try:
            return await self._store.claim(self.worker, self._request, 0)
        except STORE_ERRORS:
            return None
