"""Delivers outcomes to the store in batches, and keeps them until the store has taken them.

While one batch is in flight the next one accumulates. A second batch is sent beside the first only
if it is large enough to be worth a call. Outcomes that create jobs have batches of their own: the
store refuses them, and no others, while its memory is full (docs/rules.md S9).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import RecordError, StoreError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import ErrorCode, JobError, Outcome, fail
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.group_commit import GroupCommit
from asyncendpoints_core.store.replies import MAX_BATCH, MAX_BATCH_BYTES, Settled, SettleStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_worker.metrics import Metrics

log = logging.getLogger("asyncendpoints.worker")

LARGE_BATCH: Final = 50
"""Outcomes that make a second batch worth sending beside the one in flight."""


class Settler:
    """The outcomes of one engine that the store has not taken yet.

    `slots` is how many slots they occupy; `slots_in_flight`, how many of these were sent: the
    store takes them before any claim that is sent later (docs/adr/0007).
    """

    def __init__(
        self,
        settle: Callable[[Sequence[Outcome]], Awaitable[list[Settled]]],
        time: TimeSource,
        metrics: Metrics,
        before_send: Callable[[], Awaitable[None]],
        slots_changed: Callable[[], None],
    ) -> None:
        """Deliver by `settle`, each batch after `before_send()`."""
        self._send = settle
        self._time = time
        self._metrics = metrics
        self._before_send = before_send
        self._slots_changed = slots_changed
        self._alone = self._group(_size)
        self._with_children = self._group(_size_with_children)
        self._without_slot: set[int] = set()
        self.slots = self.slots_in_flight = 0

    def _group(self, size: Callable[[Outcome], int]) -> GroupCommit[Outcome]:
        return GroupCommit(self._deliver, size, second_from=LARGE_BATCH)

    def add(self, outcome: Outcome) -> None:
        """Deliver an outcome soon."""
        self.slots += 1
        (self._with_children if outcome.children else self._alone).add(outcome)

    def add_without_slot(self, outcome: Outcome) -> None:
        """Deliver an outcome soon; its job's slot stays occupied by code that does not end."""
        self._without_slot.add(outcome.claim.number)
        self._alone.add(outcome)

    def claims(self) -> list[Claim]:
        """Return the claims whose outcomes are not delivered yet."""
        groups = self._alone, self._with_children
        batches = [
            batch for group in groups for batch in (group.waiting, *group.in_flight.values())
        ]
        return [outcome.claim for batch in batches for outcome in batch]

    def discard(self) -> None:
        """Drop the outcomes that were not sent yet: the store would refuse them."""
        for waiting in (self._alone.waiting, self._with_children.waiting):
            self.slots -= self._slots_of(waiting)
            self._without_slot.difference_update(outcome.claim.number for outcome in waiting)
            waiting.clear()
        self._slots_changed()

    async def _deliver(self, batch: list[Outcome]) -> None:
        """Settle a batch. One that contains a bad outcome is halved, so that it does not hold up
        the others (docs/rules.md S7).
        """
        await self._before_send()
        try:
            answers = await self._settle(batch, batch)
        except Exception:  # RecordError, or an outcome that cannot be encoded
            if len(batch) == 1:
                return await self._deliver_failure(batch)
            middle = len(batch) // 2
            await self._deliver(batch[:middle])
            await self._deliver(batch[middle:])
        else:
            self._delivered(batch, answers)

    async def _deliver_failure(self, batch: list[Outcome]) -> None:
        """Settle the job as Failed, because its outcome cannot be stored."""
        claim = batch[0].claim
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

    async def _settle(self, batch: list[Outcome], outcomes: list[Outcome]) -> list[Settled]:
        """Send the outcomes of `batch`, waiting for as long as the store is not available.

        Raises what is about an outcome: RecordError, or whatever encoding it raised.
        """
        group = self._with_children if batch[0].children else self._alone
        # Those that create jobs may be refused while others are taken: their slots stay occupied.
        slots, backoff = 0 if batch[0].children else self._slots_of(batch), Backoff()
        while True:
            self.slots_in_flight += slots
            self._slots_changed()
            try:
                answers = await self._send(outcomes)
            except Exception as error:
                if isinstance(error, RecordError) or not isinstance(error, StoreError):
                    raise
                if not group.paused:
                    group.paused = True
                    log.warning("outcomes are kept until the store is available: %s", error)
            else:
                if group.paused:
                    group.paused = False
                    log.info("the store accepts outcomes again")
                return answers
            finally:
                self.slots_in_flight -= slots
            await self._time.sleep(backoff.next())

    def _delivered(self, batch: list[Outcome], answers: list[Settled]) -> None:
        self._metrics.settled([answer.status for answer in answers])
        if batch[0].children:
            for outcome, answer in zip(batch, answers, strict=True):
                if answer == _REFUSED:
                    job_id = ids.text(outcome.claim.job_id)
                    log.error("a job failed: it enqueued too many", extra={"job_id": job_id})
        self.slots -= self._slots_of(batch)
        if self._without_slot:
            self._without_slot.difference_update(outcome.claim.number for outcome in batch)
        self._slots_changed()

    def _slots_of(self, batch: Collection[Outcome]) -> int:
        if not self._without_slot:
            return len(batch)
        return sum(outcome.claim.number not in self._without_slot for outcome in batch)


def _size(outcome: Outcome) -> int:
    return 0 if outcome.result is None else len(outcome.result.body)


_REFUSED: Final = Settled(SettleStatus.APPLIED, State.FAILED)
_SHARE: Final = -(-MAX_BATCH_BYTES // MAX_BATCH)


def _size_with_children(outcome: Outcome) -> int:
    """Return an outcome's share of a batch: both its bytes and its jobs are limited."""
    size = _size(outcome) + sum(len(child.request.body) for child in outcome.children)
    return max(size, _SHARE * (1 + len(outcome.children)))
