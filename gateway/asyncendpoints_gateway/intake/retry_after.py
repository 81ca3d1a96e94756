"""Retry-After: the estimated time until a job is done, from its position in the queue and the
limits that hold it back.

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
    from collections.abc import Callable, Mapping, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Limit
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.positions import Position
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Stats

    Limits = Mapping[str, Limit] | None
    """By resource, as Policy has them."""

log = logging.getLogger("asyncendpoints.gateway")

MIN_SECONDS: Final = 1
MAX_SECONDS: Final = 3_600
WINDOW_MS: Final = 60_000
"""Estimates rest on the readings of the last minute."""
SAMPLE_SECONDS: Final = 1.0


class Reading(NamedTuple):
    """The store at one moment: the jobs that wait, how many of them workers may start, and
    counters that only grow.
    """

    at_ms: int
    queued: int
    startable: int
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
        stats.startable,
        totals.get("claimed", 0),
        totals.get("released", 0) + totals.get("recovered", 0),
        sum(totals.get(name, 0) for name in ("completed", "failed", "retried", "timed_out")),
        totals.get("busy_ms", 0),
    )


class StartRate:
    """How fast jobs leave the queue while `waiting` of a reading is not 0.

    `per_second`: None if not measured. `stuck_seconds`: for how long none has left.
    """

    def __init__(self, waiting: Callable[[Reading], int]) -> None:
        self._waiting = waiting
        self._stuck_since: int | None = None
        self.per_second: float | None = None
        self.stuck_seconds = 0.0

    def clear(self) -> None:
        """Forget what was measured."""
        self._stuck_since = None

    def update(self, readings: Sequence[Reading]) -> None:
        """Compute both again when there is one more reading."""
        new = readings[-1]
        if len(readings) > 1:
            last = readings[-2]
            if new.claimed != last.claimed or not self._waiting(new):
                self._stuck_since = None
            elif self._stuck_since is None:
                self._stuck_since = last.at_ms
        stuck = self._stuck_since
        self.stuck_seconds = 0.0 if stuck is None else (new.at_ms - stuck) / 1000
        self.per_second = self._rate(readings)

    def _rate(self, readings: Sequence[Reading]) -> float | None:
        """Only time in which jobs waited counts: else it says nothing about the workers."""
        left = elapsed = 0
        previous: Reading | None = None
        for now in readings:
            if previous is not None and (self._waiting(previous) or self._waiting(now)):
                left += (now.claimed - previous.claimed) - (now.returned - previous.returned)
                elapsed += now.at_ms - previous.at_ms
            previous = now
        return left * 1000 / elapsed if left > 0 and elapsed > 0 else None

    def until(self, number: int) -> float:
        """Return the seconds until so many jobs have left; 0 if unknown.

        A queue that has not moved for a while is assumed to stand still for as long again.
        """
        wait = number / self.per_second if self.per_second is not None else 0.0
        return max(wait, self.stuck_seconds)


class WaitEstimate:
    """How fast jobs leave the queue and how long an attempt runs, over the last minute.

    `starts`: of the jobs that no limit holds back. `run_seconds`: the mean duration of an attempt,
    0 if not measured.
    """

    def __init__(self) -> None:
        """Start without readings: every estimate is the minimum, or the pace of a limit."""
        self._readings: deque[Reading] = deque()
        self.starts = StartRate(lambda one: one.startable)
        self._any = StartRate(lambda one: one.queued)
        self.run_seconds = 0.0

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
                self.starts.clear()
                self._any.clear()
        readings.append(new)
        while readings[0].at_ms < new.at_ms - WINDOW_MS:
            readings.popleft()
        # Computed once a second here, rather than for each of thousands of responses.
        self.starts.update(readings)
        self._any.update(readings)
        self.run_seconds = self._mean_run()

    def _mean_run(self) -> float:
        first, last = self._readings[0], self._readings[-1]
        ended = last.ended - first.ended
        return (last.busy_ms - first.busy_ms) / ended / 1000 if ended > 0 else 0.0

    def until_done(self, job: Job, position: Position, limits: Limits) -> float:
        """Return the seconds until a waiting job is done, as far as measured."""
        pace = 0.0
        if limits:
            before = position.before
            pace = max(
                position.rate_ms / 1000,
                self._until_place(limits.get("t"), position.ahead),
                self._until_place(limits.get(f"j{job.name}"), before),
                self._until_place(_of_key(limits, job.attributes.key), before),
            )
        return max(self.starts.until(position.ahead + 1), pace) + self.run_seconds

    def until_next(self) -> float:
        """Return the seconds until any job leaves the queue."""
        return self._any.until(1)

    def until_next_of(self, key: str, position: Position, limits: Limits) -> float:
        """Return the seconds until the next job of a key, which has that position, starts."""
        place = self._until_place(_of_key(limits or {}, key), 1)
        return max(self.starts.until(position.ahead + 1), position.rate_ms / 1000, place)

    def _until_place(self, limit: Limit | None, number: int) -> float:
        """Return the seconds until so many of the jobs that take the limit's places have ended."""
        if limit is None or not limit.concurrency:
            return 0.0
        return number / limit.concurrency * self.run_seconds


def _of_key(limits: Mapping[str, Limit], key: str) -> Limit | None:
    return limits.get(f"k{key}", limits.get("k")) if key else None


_QUEUED: Final = State.QUEUED


def whole_seconds(seconds: float) -> int:
    """Return a Retry-After: whole seconds from 1 to 3600."""
    return min(MAX_SECONDS, max(MIN_SECONDS, ceil(seconds)))


def retry_after(
    estimate: WaitEstimate, job: Job, position: Position, limits: Limits, now_ms: int
) -> int:
    """Return the Retry-After of a job in whole seconds."""
    if job.state is _QUEUED:
        return whole_seconds(estimate.until_done(job, position, limits))
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

    def retry_after(
        self, job: Job, position: Position, limits: Limits, now_ms: int | None = None
    ) -> int:
        """Return the Retry-After of a job in whole seconds. `now_ms`: the store's time, if the
        caller knows it.
        """
        if now_ms is None:
            now_ms = self._time.now_ms() + self._offset_ms
        return retry_after(self.estimate, job, position, limits, now_ms)

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
