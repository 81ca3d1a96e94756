"""Delivers outcomes to the store in groups, and keeps them until it has taken them.

Group commit: while one group is on its way the next one gathers, so the groups are as large as the
load makes them. A second group leaves early only when it is large enough to be worth a call.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import RecordError, StoreError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import ErrorCode, JobError, Outcome, fail
from asyncendpoints_core.store.protocol import MAX_BATCH, MAX_BATCH_BYTES, SettleStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.store.protocol import Settled, Store

log = logging.getLogger("asyncendpoints.worker")

LARGE: Final = 50
"""Outcomes that make a second group worth sending beside the one under way."""
IN_FLIGHT: Final = 2


class Entry(NamedTuple):
    """An outcome to deliver; `slots` (0 or 1) are what it occupies until then."""

    outcome: Outcome
    slots: int = 1


class Settler:
    """The outcomes of one engine that the store has not yet taken."""

    def __init__(
        self,
        store: Store,
        before: Callable[[], Awaitable[None]],
        under_way: Callable[[list[Entry], bool], None],
        delivered: Callable[[list[Entry], list[SettleStatus]], None],
    ) -> None:
        """Deliver to `store`, after `before()`. `under_way` is told of each group just before it is
        sent (True), and when the store did not take it (False); `delivered`, what became of it.
        """
        self._store = store
        self._before = before
        self._tell_way = under_way
        self._delivered = delivered
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Entry] = []
        self._under_way: dict[asyncio.Task[None], list[Entry]] = {}
        self._scheduled = False
        self._backoff = Backoff()
        self.unavailable = False

    def __len__(self) -> int:
        return len(self._waiting) + sum(map(len, self._under_way.values()))

    def add(self, entry: Entry) -> None:
        """Deliver an outcome soon."""
        self._waiting.append(entry)
        if not self._scheduled and self._may_send():
            self._scheduled = True
            self._loop.call_soon(self._send)

    def claims(self) -> list[Claim]:
        """Return the claims whose outcomes are not yet delivered."""
        groups = [self._waiting, *self._under_way.values()]
        return [entry.outcome.claim for group in groups for entry in group]

    def forget(self) -> int:
        """Drop what has not left: the store would refuse it. Return how many slots that frees."""
        freed = sum(entry.slots for entry in self._waiting)
        self._waiting.clear()
        return freed

    def _may_send(self) -> bool:
        under_way = len(self._under_way)
        return under_way == 0 or (under_way < IN_FLIGHT and len(self._waiting) >= LARGE)

    def _send(self) -> None:
        self._scheduled = False
        while self._waiting and self._may_send() and not self.unavailable:
            group = self._take_group()
            task = self._loop.create_task(self._deliver(group))
            self._under_way[task] = group
            task.add_done_callback(self._done)

    def _take_group(self) -> list[Entry]:
        size = count = 0
        for entry in self._waiting:
            result = entry.outcome.result
            size += 0 if result is None else len(result.body)
            if count == MAX_BATCH or (size > MAX_BATCH_BYTES and count):
                break
            count += 1
        group = self._waiting[:count]
        del self._waiting[:count]
        return group

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("a group of outcomes was lost", exc_info=task.exception())
        self._send()

    async def _deliver(self, group: list[Entry]) -> None:
        """Settle a group. One that contains a bad outcome is halved, so that it does not hold up
        the others (docs/rules.md S7).
        """
        await self._before()
        try:
            answers = await self._settle(group, [entry.outcome for entry in group])
        except Exception:  # RecordError, or an outcome that cannot be encoded
            if len(group) == 1:
                return await self._deliver_failure(group)
            middle = len(group) // 2
            await self._deliver(group[:middle])
            await self._deliver(group[middle:])
        else:
            self._tell(group, answers)

    async def _deliver_failure(self, group: list[Entry]) -> None:
        """Settle a job whose outcome cannot be stored as Failed."""
        [entry] = group
        job_id = ids.text(entry.outcome.claim.job_id)
        log.exception("an outcome cannot be stored", extra={"job_id": job_id})
        error = JobError(ErrorCode.INVALID_RESULT, "the outcome could not be stored")
        try:
            answers = await self._settle(group, [fail(entry.outcome.claim, error)])
        except Exception:
            # What the store still counts as held here is given back by reconcile.
            log.exception("its failure cannot be stored either", extra={"job_id": job_id})
            self._delivered(group, [SettleStatus.GONE])
        else:
            self._tell(group, answers)

    async def _settle(self, group: list[Entry], outcomes: list[Outcome]) -> list[Settled]:
        """Settle, waiting for as long as the store is not available. Raises what is about an
        outcome: RecordError, or whatever encoding it raised.
        """
        while True:
            self._tell_way(group, True)
            try:
                answers = await self._store.settle(outcomes)
            except Exception as error:
                self._tell_way(group, False)
                if isinstance(error, RecordError) or not isinstance(error, StoreError):
                    raise
                if not self.unavailable:
                    self.unavailable = True
                    log.warning("outcomes wait for the store: %s", error)
                await asyncio.sleep(self._backoff.next())
            else:
                if self.unavailable:
                    self.unavailable = False
                    self._backoff.reset()
                    log.info("the store accepts outcomes again")
                return answers

    def _tell(self, group: list[Entry], answers: list[Settled]) -> None:
        self._delivered(group, [answer.status for answer in answers])
