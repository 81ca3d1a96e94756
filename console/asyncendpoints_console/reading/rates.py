"""How fast an endpoint's jobs start and finish, from samples of its counters."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.store.replies import Stats

log = logging.getLogger("asyncendpoints.console")

SAMPLE_SECONDS: Final = 5.0
WINDOW: Final = 4
"""A rate is over this many intervals."""
IDLE_SECONDS: Final = 900.0
"""How long a sampler that does not always sample goes on after the last look."""
KEPT: Final = 720
"""Samples kept for the charts: an hour."""


class Sample(NamedTuple):
    """The counters of one moment; `at` is the store's time in ms."""

    at: int
    started: int
    finished: int
    failed: int
    queued: int
    running: int


class Rates(NamedTuple):
    """Jobs per second; None until there are two samples."""

    started: float | None
    finished: float | None


class Sampler:
    """Samples the counters of every endpoint between `start` and `stop`."""

    def __init__(
        self, targets: Callable[[], Sequence[Target]], time: TimeSource, *, always: bool = True
    ) -> None:
        """Sample what `targets` returns at each moment; unless `always`, for 15 minutes after the
        last call of `wake`.
        """
        self._targets = targets
        self._time = time
        self._always = always
        self._looked_at = float("-inf")
        self._looked = asyncio.Event()
        self._samples: dict[str, deque[Sample]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sample in the background."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop sampling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Record that somebody looks at the figures."""
        self._looked_at = self._time.monotonic()
        self._looked.set()

    async def _run(self) -> None:
        while True:
            if not self._always and self._time.monotonic() - self._looked_at > IDLE_SECONDS:
                self._looked.clear()
                await self._looked.wait()
            await self.sample()
            await self._time.sleep(SAMPLE_SECONDS)

    async def sample(self) -> None:
        """Take one sample of each endpoint; one that cannot be reached has a gap."""
        targets = list(self._targets())
        for key in self._samples.keys() - {target.key for target in targets}:
            del self._samples[key]
        for target in targets:
            try:
                self._add(target.key, await target.store.stats())
            except StoreError as error:
                log.debug("%s: no sample: %s", target.key, error)

    def _add(self, key: str, stats: Stats) -> None:
        totals, counts = stats.totals, stats.counts
        ended = ("completed", "failed", "canceled", "retried", "timed_out")
        sample = Sample(
            stats.now_ms,
            totals["claimed"],
            sum(totals[name] for name in ended),
            totals["failed"],
            sum(count for state, count in counts.items() if state.value == "Queued"),
            stats.held,
        )
        kept = self._samples.setdefault(key, deque(maxlen=KEPT))
        if kept and sample.started < kept[-1].started:
            kept.clear()  # the store lost its data
        kept.append(sample)

    def rates(self, key: str) -> Rates:
        """Return the present rates of an endpoint."""
        kept = self._samples.get(key)
        if kept is None or len(kept) < 2:
            return Rates(None, None)
        first, last = kept[max(0, len(kept) - 1 - WINDOW)], kept[-1]
        seconds = (last.at - first.at) / 1_000
        if seconds <= 0:
            return Rates(None, None)
        return Rates(
            round((last.started - first.started) / seconds, 3),
            round((last.finished - first.finished) / seconds, 3),
        )

    def samples(self, key: str) -> Sequence[Sample]:
        """Return the samples of an endpoint, oldest first."""
        return tuple(self._samples.get(key, ()))
