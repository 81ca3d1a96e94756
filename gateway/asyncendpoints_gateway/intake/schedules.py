"""Creates the jobs of schedules: computes which time is due, and has the store decide on it.

Every gateway does this, and none needs another: the store's time counts, and the store creates at
most one job for a time (docs/rules.md S24).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.schedules import FireStatus
from asyncendpoints_core.resource.firings import PreparedSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.schedules import Firing, ScheduleState
    from asyncendpoints_core.resource.schedules import Schedule
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_gateway.intake.store_policy import StorePolicy

log = logging.getLogger("asyncendpoints.gateway")

POLL_SECONDS: Final = 10.0
"""How often the store's time is read: it may step, and a laptop may have slept."""
RETRY_SECONDS: Final = 1.0
"""When a time is tried again that could not be decided, or a definition that is not in force."""
AGAIN_SECONDS: Final = 0.05

_DECIDED: Final = frozenset(
    {FireStatus.CREATED, FireStatus.MISSED, FireStatus.SKIPPED, FireStatus.DONE}
)


class ScheduleLoop:
    """Fires an endpoint's schedules until it is cancelled. `count(schedule, outcome, times)` is
    called for the times that this process had decided.
    """

    def __init__(
        self,
        schedules: Sequence[Schedule],
        store: Store,
        policy: StorePolicy,
        count: Callable[[str, str, int], None],
        time: TimeSource,
    ) -> None:
        self._prepared = [PreparedSchedule.of(one) for one in schedules if not one.suspend]
        self._store = store
        self._policy = policy
        self._count = count
        self._time = time
        self._next: dict[str, tuple[int, int]] = {}  # by name: (after, the next time after it)
        self._logged: dict[str, tuple[int, str]] = {}  # by name: why a time waits, logged once

    async def run(self) -> None:
        """Fire what is due, from when the store was reached."""
        if not self._prepared:
            return
        await self._policy.connected.wait()
        while True:
            wait = RETRY_SECONDS
            try:
                wait = await self._round()
            except StoreError as error:
                log.debug("the schedules were not read: %s", error)
            except Exception:
                log.exception("firing the schedules failed")
            await self._time.sleep(wait)

    async def _round(self) -> float:
        """Fire what is due now; return when to look again, in seconds."""
        began = self._time.monotonic()
        stats = await self._store.stats()
        states = {state.name: state for state in stats.schedules}
        waits = [POLL_SECONDS]
        firing = []
        for one in self._prepared:
            state = states.get(one.schedule.name)
            if state is None or state.hash != one.hash:
                waits.append(RETRY_SECONDS)
                continue
            due_ms = self._next_after(one.schedule, state.last_ms)
            if due_ms and due_ms <= stats.now_ms:
                firing.append(self._fire(one, state, stats.now_ms))
            elif due_ms:
                waits.append((due_ms - stats.now_ms) / 1_000)
        waits += await asyncio.gather(*firing)
        return max(0.0, min(waits) - (self._time.monotonic() - began))

    def _next_after(self, schedule: Schedule, after_ms: int) -> int:
        known = self._next.get(schedule.name)
        if known is None or known[0] != after_ms:
            known = self._next[schedule.name] = after_ms, schedule.times.next(after_ms)
        return known[1]

    async def _fire(self, one: PreparedSchedule, state: ScheduleState, now_ms: int) -> float:
        """Fire the latest time that is due; return when to look again, in seconds."""
        due_ms = one.schedule.times.latest(state.last_ms, now_ms)
        firing = one.firing(due_ms, state.last_ms, self._policy.max_attempts, now_ms)
        try:
            fired = await self._store.fire(firing)
        except StoreError as error:
            self._report_waiting(firing, str(error))
            return RETRY_SECONDS
        self._report(firing, fired.status)
        if fired.status in _DECIDED:
            wait_ms = firing.next_ms - now_ms if firing.next_ms else POLL_SECONDS * 1_000
            return wait_ms / 1_000
        return AGAIN_SECONDS if fired.status is FireStatus.OUTDATED else RETRY_SECONDS

    def _report_waiting(self, firing: Firing, why: str) -> None:
        """Log, once, why a time that is due has to wait."""
        if self._logged.get(firing.schedule) != (firing.due_ms, why):
            self._logged[firing.schedule] = firing.due_ms, why
            text = "schedule %s: %s is tried until its deadline: %s"
            log.warning(text, firing.schedule, rfc3339(firing.due_ms), why)

    def _report(self, firing: Firing, status: FireStatus) -> None:
        """Count and log what became of a time, unless another process decided on it."""
        if status in (FireStatus.DONE, FireStatus.OTHER, FireStatus.OUTDATED):
            return
        name, at = firing.schedule, rfc3339(firing.due_ms)
        if status in (FireStatus.FULL, FireStatus.CLOSED):
            self._report_waiting(firing, f"the queue is {status.value}")
            return
        missed = firing.missed + (status is FireStatus.MISSED)
        if missed:
            self._count(name, "missed", missed)
            log.warning("schedule %s: missed %d time%s", name, missed, "" if missed == 1 else "s")
        if status is FireStatus.SKIPPED:
            self._count(name, "skipped", 1)
            text = "schedule %s: skipped %s, because an earlier job is not finished"
            log.warning(text, name, at)
        elif status is FireStatus.CREATED:
            self._count(name, "created", 1)
            log.info("schedule %s created job %s for %s", name, ids.text(firing.job.id), at)
