"""Retry-After: the estimated time until a job is done, from its position in the queue.

`WaitEstimate` is pure: it turns readings of the store's totals into seconds. `Sampler` is the loop
that takes the readings.
"""

from __future__ import annotations

import logging
from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Stats

log = logging.getLogger("asyncendpoints.gateway")

MIN_SECONDS: Final = 1
MAX_SECONDS: Final = 3_600
WINDOW_MS: Final = 60_000
"""Estimates rest on the readings of the last minute."""
SAMPLE_SECONDS: Final = 1.0


class Reading(NamedTuple):
    """The store at one moment: the jobs that wait, and counters that only grow."""

    at_ms: int
    queued: int
    claimed: int
    returned: int
    ended: int
    busy_ms: int


def reading(stats: Stats) -> Reading:
    """Return what an estimate needs of the store's statistics."""
    totals = stats.totals
    return Reading(
        stats.now_ms,
        stats.counts.get(State.QUEUED, 0),
        totals.get("claimed", 0),
        totals.get("released", 0) + totals.get("recovered", 0),
        sum(totals.get(name, 0) for name in ("completed", "failed", "retried", "timed_out")),
        totals.get("busy_ms", 0),
    )


class WaitEstimate:
    """How fast jobs leave the queue and how long an attempt runs, over the last minute.

    `per_second`: jobs that leave the queue, None if not measured. `run_seconds`: the mean duration
    of an attempt, 0 if not measured. `unknown`: nothing was measured yet.
    """

    def __init__(self) -> None:
        """Start without readings: every estimate is the minimum."""
        self._readings: deque[Reading] = deque()
        self._stuck_since: int | None = None
        self._stuck_seconds = 0.0
        self.per_second: float | None = None
        self.run_seconds = 0.0
        self.unknown = True

    def add(self, new: Reading) -> None:
        """Add a reading. One that is out of order is ignored; counters that went back start the
        estimate again, since the store was replaced.
        """
        readings = self._readings
        if readings:
            last = readings[-1]
            if new.at_ms <= last.at_ms:
                return
            if new.claimed < last.claimed or new.ended < last.ended:
                readings.clear()
                self._stuck_since = None
            elif new.claimed != last.claimed or not new.queued:
                self._stuck_since = None
            elif self._stuck_since is None:
                self._stuck_since = last.at_ms
        readings.append(new)
        while readings[0].at_ms < new.at_ms - WINDOW_MS:
            readings.popleft()
        # Computed once a second here, rather than for each of thousands of responses.
        self.per_second, self.run_seconds = self._rate(), self._mean_run()
        stuck = self._stuck_since
        self._stuck_seconds = 0.0 if stuck is None else (new.at_ms - stuck) / 1000
        self.unknown = self.per_second is None and not self._stuck_seconds and not self.run_seconds

    def _rate(self) -> float | None:
        """Return the jobs that leave the queue per second, None if not measured.

        Only time in which jobs waited counts: an empty queue says nothing about the workers.
        """
        left = elapsed = 0
        previous: Reading | None = None
        for now in self._readings:
            if previous is not None and (previous.queued or now.queued):
                left += (now.claimed - previous.claimed) - (now.returned - previous.returned)
                elapsed += now.at_ms - previous.at_ms
            previous = now
        return left * 1000 / elapsed if left > 0 and elapsed > 0 else None

    def _mean_run(self) -> float:
        first, last = self._readings[0], self._readings[-1]
        ended = last.ended - first.ended
        return (last.busy_ms - first.busy_ms) / ended / 1000 if ended > 0 else 0.0

    def until_done(self, ahead: int) -> float:
        """Return the seconds until a job with `ahead` others before it is done; 0 if unknown.

        A queue that has not moved for a while is assumed to stand still for as long again.
        """
        wait = (ahead + 1) / self.per_second if self.per_second is not None else 0.0
        return max(wait, self._stuck_seconds) + self.run_seconds


_QUEUED: Final = State.QUEUED


def whole_seconds(seconds: float) -> int:
    """Return a Retry-After: whole seconds from 1 to 3600."""
    return min(MAX_SECONDS, max(MIN_SECONDS, ceil(seconds)))


def retry_after(estimate: WaitEstimate, job: Job, ahead: int, now_ms: int) -> int:
    """Return the Retry-After of a job in whole seconds."""
    if job.state is _QUEUED:
        if estimate.unknown:
            return MIN_SECONDS
        return whole_seconds(estimate.until_done(ahead))
    if job.state is State.SCHEDULED:
        return whole_seconds((job.not_before_ms - now_ms) / 1000)
    if job.state is State.IN_PROGRESS:
        return whole_seconds(estimate.run_seconds - (now_ms - job.started_ms) / 1000)
    return MIN_SECONDS


def offset_ms(store_ms: int, asked_ms: int, answered_ms: int) -> int:
    """Return how far the store's clock is ahead of ours (below 0: behind), when the store read
    `store_ms` between our `asked_ms` and `answered_ms`. 0 if the clocks can be equal.
    """
    return max(0, store_ms - answered_ms) + min(0, store_ms - asked_ms)


class Sampler:
    """Reads the store's statistics once a second, for the estimate and for the metrics."""

    def __init__(
        self, store: Store, publish: Callable[[Stats | None], None], time: TimeSource
    ) -> None:
        """Prepare; `publish` receives the statistics, None while the store is not available."""
        self._store = store
        self._publish = publish
        self._time = time
        self._offset_ms = 0
        self.estimate = WaitEstimate()

    def retry_after(self, job: Job, ahead: int, now_ms: int | None = None) -> str:
        """Return the Retry-After of a job with `ahead` others before it. `now_ms`: the store's
        time, if the caller knows it.
        """
        if now_ms is None:
            now_ms = self._time.now_ms() + self._offset_ms
        return str(retry_after(self.estimate, job, ahead, now_ms))

    async def run(self) -> None:
        """Take readings until cancelled. During an outage the last estimate stays valid."""
        while True:
            asked_ms = self._time.now_ms()
            try:
                stats = await self._store.stats()
            except StoreError as error:
                log.debug("the statistics are not available: %s", error)
                self._publish(None)
            except Exception:
                log.exception("reading the statistics failed")
                self._publish(None)
            else:
                self._offset_ms = offset_ms(stats.now_ms, asked_ms, self._time.now_ms())
                self.estimate.add(reading(stats))
                self._publish(stats)
            await self._time.sleep(SAMPLE_SECONDS)
