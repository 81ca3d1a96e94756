"""An honest Retry-After: how long until a job is done, from its place and the measured drain rate.

`Drain` is pure: it takes readings of the store's totals and gives seconds. `Sampler` is the loop
that reads them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Stats

log = logging.getLogger("asyncendpoints.gateway")

MIN_SECONDS: Final = 1
MAX_SECONDS: Final = 3_600
WINDOW_MS: Final = 60_000
"""What is measured is the last minute."""
SAMPLE_SECONDS: Final = 1.0


class Reading(NamedTuple):
    """Figures of one moment: jobs waiting, and counters that only grow."""

    at_ms: int
    ready: int
    claimed: int
    returned: int
    ended: int
    busy_ms: int


def reading(stats: Stats) -> Reading:
    """Return what an estimate needs of the store's figures."""
    totals = stats.totals
    return Reading(
        stats.now_ms,
        stats.counts.get(State.QUEUED, 0),
        totals.get("claimed", 0),
        totals.get("released", 0) + totals.get("recovered", 0),
        sum(totals.get(name, 0) for name in ("completed", "failed", "retried", "timed_out")),
        totals.get("busy_ms", 0),
    )


class Drain:
    """How fast jobs leave the queue and how long one runs, over the last minute of readings.

    `per_second`: jobs that leave the line a second, None when nothing was measured. `run_seconds`:
    the mean time of one run, 0 when none was measured. `blank`: nothing at all is known.
    """

    def __init__(self) -> None:
        """Begin without readings: every estimate is the least one."""
        self._readings: deque[Reading] = deque()
        self._stuck_since: int | None = None
        self._stuck_seconds = 0.0
        self.per_second: float | None = None
        self.run_seconds = 0.0
        self.blank = True

    def add(self, new: Reading) -> None:
        """Take in a reading; those out of order or of a store that began anew restart it."""
        readings = self._readings
        if readings:
            last = readings[-1]
            if new.at_ms <= last.at_ms:
                return
            if new.claimed < last.claimed or new.ended < last.ended:
                readings.clear()
                self._stuck_since = None
            elif new.claimed != last.claimed or not new.ready:
                self._stuck_since = None
            elif self._stuck_since is None:
                self._stuck_since = last.at_ms
        readings.append(new)
        while readings[0].at_ms < new.at_ms - WINDOW_MS:
            readings.popleft()
        # Worked out here, once a second, and not for each of the thousands that ask in it.
        self.per_second, self.run_seconds = self._rate(), self._run()
        stuck = self._stuck_since
        self._stuck_seconds = 0.0 if stuck is None else (new.at_ms - stuck) / 1000
        self.blank = self.per_second is None and not self._stuck_seconds and not self.run_seconds

    def _rate(self) -> float | None:
        """Return the jobs that leave the line a second, or None when nothing was measured.

        Only the time in which something waited counts: an empty queue says nothing of the workers.
        """
        drained = elapsed = 0
        previous: Reading | None = None
        for now in self._readings:
            if previous is not None and (previous.ready or now.ready):
                drained += (now.claimed - previous.claimed) - (now.returned - previous.returned)
                elapsed += now.at_ms - previous.at_ms
            previous = now
        return drained * 1000 / elapsed if drained > 0 and elapsed > 0 else None

    def _run(self) -> float:
        first, last = self._readings[0], self._readings[-1]
        ended = last.ended - first.ended
        return (last.busy_ms - first.busy_ms) / ended / 1000 if ended > 0 else 0.0

    def until_done(self, ahead: int) -> float:
        """Return the seconds until a job with `ahead` others before it is done; 0 if unknown.

        When jobs wait and none was taken for a while, it is taken to last as long again.
        """
        wait = (ahead + 1) / self.per_second if self.per_second is not None else 0.0
        return max(wait, self._stuck_seconds) + self.run_seconds


_QUEUED: Final = State.QUEUED


def whole_seconds(seconds: float) -> int:
    """Return a Retry-After: whole seconds from 1 to 3600."""
    return min(MAX_SECONDS, max(MIN_SECONDS, ceil(seconds)))


def retry_after(drain: Drain, job: Job, ahead: int, now_ms: int) -> int:
    """Return the Retry-After for a job: when to look again, in whole seconds."""
    if job.state is _QUEUED:
        if drain.blank:
            return MIN_SECONDS
        return whole_seconds(drain.until_done(ahead))
    if job.state is State.SCHEDULED:
        return whole_seconds((job.not_before_ms - now_ms) / 1000)
    if job.state is State.IN_PROGRESS:
        return whole_seconds(drain.run_seconds - (now_ms - job.started_ms) / 1000)
    return MIN_SECONDS


class Sampler:
    """Reads the store's figures once a second, for the estimate and for the metrics."""

    def __init__(self, store: Store, publish: Callable[[Stats | None], None]) -> None:
        """Prepare; `publish` receives each reading, None when the store did not answer."""
        self._store = store
        self._publish = publish
        self._offset_ms = 0
        self.drain = Drain()

    def retry_after(self, job: Job, ahead: int, now_ms: int | None = None) -> str:
        """Return the Retry-After of a job with `ahead` others before it. `now_ms`: the store's
        time, if the caller knows it.
        """
        if now_ms is None:
            now_ms = time.time_ns() // 1_000_000 + self._offset_ms
        return str(retry_after(self.drain, job, ahead, now_ms))

    async def run(self) -> None:
        """Read until cancelled. An outage leaves the last estimate in force."""
        while True:
            try:
                stats = await self._store.stats()
            except StoreError as error:
                log.debug("no figures: %s", error)
                self._publish(None)
            except Exception:
                log.exception("reading the figures failed")
                self._publish(None)
            else:
                self._offset_ms = stats.now_ms - time.time_ns() // 1_000_000
                self.drain.add(reading(stats))
                self._publish(stats)
            await asyncio.sleep(SAMPLE_SECONDS)
