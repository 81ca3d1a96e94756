"""Delivers outcomes to the store in batches, and keeps them until the store has taken them.

While one batch is in flight the next one accumulates. A second batch is sent beside the first only
if it is large enough to be worth a call.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.common.group_commit import GroupCommit
from asyncendpoints_core.errors import RecordError, StoreError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import ErrorCode, JobError, Outcome, fail
from asyncendpoints_core.store.replies import MAX_BATCH, MAX_BATCH_BYTES, Settled, SettleStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.metrics import Metrics

log = logging.getLogger("asyncendpoints.worker")

LARGE_BATCH: Final = 50
"""Outcomes that make a second batch worth sending beside the one in flight."""


class PendingOutcome(NamedTuple):
    """An outcome to deliver, and how many slots (0 or 1) it occupies until then."""

    outcome: Outcome
    slots: int = 1


class Settler:
    """The outcomes of one engine that the store has not taken yet.

    `slots` is how many slots they occupy; `slots_in_flight`, how many of these were sent: the
    store takes them before any claim that is sent later (docs/adr/0007).
    """

    def __init__(
        self,
        store: Store,
        time: TimeSource,
        metrics: Metrics,
        before_send: Callable[[], Awaitable[None]],
        slots_changed: Callable[[], None],
    ) -> None:
        """Deliver to `store`, each batch after `before_send()`."""
        self._store = store
        self._time = time
        self._metrics = metrics
        self._before_send = before_send
        self._slots_changed = slots_changed
        self._group = GroupCommit(
            self._deliver,
            _size,
            limit=MAX_BATCH,
            max_bytes=MAX_BATCH_BYTES,
            second_from=LARGE_BATCH,
        )
        self._backoff = Backoff()
        self.slots = self.slots_in_flight = 0

    def add(self, pending: PendingOutcome) -> None:
        """Deliver an outcome soon."""
        self.slots += pending.slots
        self._group.add(pending)

    def claims(self) -> list[Claim]:
        """Return the claims whose outcomes are not delivered yet."""
        batches = [self._group.waiting, *self._group.in_flight.values()]
        return [pending.outcome.claim for batch in batches for pending in batch]

    def discard(self) -> None:
        """Drop the outcomes that were not sent yet: the store would refuse them."""
        self.slots -= _slots(self._group.waiting)
        self._group.waiting.clear()
        self._slots_changed()

    async def _deliver(self, batch: list[PendingOutcome]) -> None:
        """Settle a batch. One that contains a bad outcome is halved, so that it does not hold up
        the others (docs/rules.md S7).
        """
        await self._before_send()
        try:
            answers = await self._settle(batch, [pending.outcome for pending in batch])
        except Exception:  # RecordError, or an outcome that cannot be encoded
            if len(batch) == 1:
                return await self._deliver_failure(batch)
            middle = len(batch) // 2
            await self._deliver(batch[:middle])
            await self._deliver(batch[middle:])
        else:
            self._delivered(batch, answers)

    async def _deliver_failure(self, batch: list[PendingOutcome]) -> None:
        """Settle the job as Failed, because its outcome cannot be stored."""
        claim = batch[0].outcome.claim
        job_id = ids.text(claim.job_id)
        log.exception("an outcome cannot be stored", extra={"job_id": job_id})
        error = JobError(ErrorCode.INVALID_RESULT, "the outcome could not be stored")
        try:
            answers = await self._settle(batch, [fail(claim, error)])
        except Exception:
            # What the store still counts as held here is given back by reconcile.
            log.exception("its failure cannot be stored either", extra={"job_id": job_id})
            answers = [Settled(SettleStatus.GONE)]
        self._delivered(batch, answers)

    async def _settle(self, batch: list[PendingOutcome], outcomes: list[Outcome]) -> list[Settled]:
        """Send the outcomes of `batch`, waiting for as long as the store is not available.

        Raises what is about an outcome: RecordError, or whatever encoding it raised.
        """
        slots = _slots(batch)
        while True:
            self.slots_in_flight += slots
            self._slots_changed()
            try:
                answers = await self._store.settle(outcomes)
            except Exception as error:
                if isinstance(error, RecordError) or not isinstance(error, StoreError):
                    raise
                if not self._group.paused:
                    self._group.paused = True
                    log.warning("outcomes are kept until the store is available: %s", error)
            else:
                if self._group.paused:
                    self._group.paused = False
                    self._backoff.reset()
                    log.info("the store accepts outcomes again")
                return answers
            finally:
                self.slots_in_flight -= slots
            await self._time.sleep(self._backoff.next())

    def _delivered(self, batch: list[PendingOutcome], answers: list[Settled]) -> None:
        self._metrics.settled([answer.status for answer in answers])
        self.slots -= _slots(batch)
        self._slots_changed()


def _size(pending: PendingOutcome) -> int:
    result = pending.outcome.result
    return 0 if result is None else len(result.body)


def _slots(batch: Iterable[PendingOutcome]) -> int:
    return sum(pending.slots for pending in batch)
