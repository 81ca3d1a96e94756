"""Makes an endpoint's figures over time of readings, in the operator's leader or in `run`.

What was not observed is not known: a step of time is left out if readings were missing in it, or
when it began. Between two equal readings nothing happened, so that an idle queue may be read less
often than there are points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.figures import (
    KEPT_STEPS,
    RINGS,
    FiguresWrite,
    Point,
    ScalingState,
    ScalingStep,
)
from asyncendpoints_core.store.waits import quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncendpoints_core.scaling.decide import Decision, Reason
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import Stats

MAX_GAP_MS: Final = 15_000
"""The longest time between two readings of which all is known."""
MAX_QUIET_MS: Final = 60_000
"""The same while nothing changes."""
QUIET_POINTS: Final = 6
"""Points in which nothing happened are written so many at a time."""
MAX_PENDING: Final = 60
"""Points that wait while the store cannot be written."""
_FIRST_S: Final = min(RINGS)


class Reading(NamedTuple):
    """What points are made of, at one moment; `ended` are the jobs that became final."""

    at_ms: int
    jobs: tuple[int, ...]
    started: int
    ended: int
    failed: int
    waits: Mapping[int, int]
    demand: int
    wanted: int
    workers: int

    @classmethod
    def of(cls, stats: Stats, decision: Decision) -> Reading:
        """Return what a reading of the store and the decision on it say."""
        totals = stats.totals
        return cls(
            at_ms=stats.now_ms,
            jobs=tuple(stats.counts[state] for state in State),
            started=totals["claimed"],
            ended=totals["completed"] + totals["failed"] + totals["canceled"],
            failed=totals["failed"],
            waits=stats.waits,
            demand=decision.demand,
            wanted=decision.target,
            workers=decision.workers,
        )

    @property
    def _counted(self) -> tuple[int, ...]:
        return (*self.jobs, self.started, self.ended, self.failed)

    @property
    def unused(self) -> bool:
        """Whether the queue never had a job, and no worker waits for one."""
        return not any((*self._counted, self.wanted, self.workers))

    def leads_to(self, later: Reading) -> bool:
        """Return whether it is known what happened between the two."""
        gap_ms, same = later.at_ms - self.at_ms, self._counted == later._counted
        forward = self.started <= later.started and self.ended <= later.ended
        return forward and 0 <= gap_ms <= (MAX_QUIET_MS if same else MAX_GAP_MS)

    def until(self, later: Reading) -> Iterator[Reading]:
        """Yield it for each step that ends before `later` if nothing changed, then `later`."""
        step_ms = 1_000 * _FIRST_S
        if self._counted == later._counted:
            for end_ms in range((self.at_ms // step_ms + 2) * step_ms, later.at_ms + 1, step_ms):
                yield self._replace(at_ms=end_ms - 1)
        yield later


class Series:
    """The points of one step."""

    def __init__(self, step_s: int) -> None:
        """Start without a reading."""
        self._step_ms = 1_000 * step_s
        self._base: Reading | None = None  # the last before the present step of time
        self._last: Reading | None = None

    def begin(self, reading: Reading) -> None:
        """Start again: what was before is not known, unless nothing was."""
        self._last = reading
        never = not (reading.started or reading.ended)
        self._base = reading if never else None

    def add(self, reading: Reading) -> Point | None:
        """Take in a reading that follows the last one; return the point of the step that ended."""
        last, self._last = self._last, reading
        if last is None or reading.at_ms // self._step_ms == last.at_ms // self._step_ms:
            return None
        base, self._base = self._base, last
        return None if base is None else self._point(base, last)

    def _point(self, base: Reading, last: Reading) -> Point:
        waits = {bucket: n - base.waits.get(bucket, 0) for bucket, n in last.waits.items()}
        return Point(
            at_ms=last.at_ms // self._step_ms * self._step_ms,
            jobs=last.jobs,
            starts=last.started - base.started,
            finishes=last.ended - base.ended,
            failures=last.failed - base.failed,
            wait_p50_ms=quantile(waits, 0.5),
            wait_p95_ms=quantile(waits, 0.95),
            demand=last.demand,
            wanted=last.wanted,
            workers=last.workers,
        )


class FigureWriter:
    """Writes the figures of one endpoint into its store."""

    def __init__(self, store: Store) -> None:
        """Write into `store`."""
        self._store = store
        self._series = {step_s: Series(step_s) for step_s in RINGS}
        self._last: Reading | None = None
        self._decision: Decision | None = None
        self._written: tuple[int, Reason] | None = None
        self._points: dict[int, list[Point]] = {step_s: [] for step_s in RINGS}
        self._steps: list[ScalingStep] = []

    async def observe(self, stats: Stats, decision: Decision) -> None:
        """Take in a reading and the decision on it, and write what has come together.

        Raises StoreError, after which the next call writes it.
        """
        reading = Reading.of(stats, decision)
        self._add_step(decision)
        last, self._last, self._decision = self._last, reading, decision
        if last is None or not last.leads_to(reading):
            for series in self._series.values():
                series.begin(reading)
        else:
            for each in last.until(reading):
                self._add(each)
        changed = self._written != (decision.target, decision.reason)
        if not reading.unused and (changed or self._is_due()):
            await self._write(reading.at_ms, decision)

    def _add_step(self, decision: Decision) -> None:
        """Note that the number of workers is another than at the last decision, which wanted so."""
        before, last = self._decision, self._last
        if before is None or last is None or decision.before == before.before:
            return
        if before.replicas != before.before:
            change = (before.before, decision.before, before.target)
            self._steps.append(ScalingStep(last.at_ms, *change, before.reason.value, before.text))
            del self._steps[:-KEPT_STEPS]

    def _add(self, reading: Reading) -> None:
        for step_s, series in self._series.items():
            if (point := series.add(reading)) is not None:
                kept = self._points[step_s]
                kept.append(point)
                del kept[:-MAX_PENDING]

    def _is_due(self) -> bool:
        points = self._points[_FIRST_S]
        busy = any(point.starts or point.finishes or point.demand for point in points)
        return bool(self._steps) or busy or len(points) >= QUIET_POINTS

    async def _write(self, at_ms: int, decision: Decision) -> None:
        state = ScalingState(at_ms, decision.target, decision.reason.value, decision.text)
        points = {step_s: tuple(found) for step_s, found in self._points.items() if found}
        steps = tuple(self._steps)
        await self._store.record_figures(FiguresWrite(points, steps, state))
        for step_s, written in points.items():
            del self._points[step_s][: len(written)]
        del self._steps[: len(steps)]
        self._written = decision.target, decision.reason
