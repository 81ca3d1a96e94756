"""The figures of an endpoint over time, as the operations API shows them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncendpoints_core.store.figures import Figures, Point, ScalingState, ScalingStep

FRESH_MS: Final = 90_000
"""A point that began earlier says nothing of now: idle queues are written once a minute."""
STALE_MS: Final = 300_000
"""A scaling decision that is older is not the present one: nobody scales."""

_SERIES: Final[Mapping[str, Callable[[Point], Any]]] = {
    "starts": lambda point: point.starts,
    "finishes": lambda point: point.finishes,
    "failures": lambda point: point.failures,
    "waitP50Seconds": lambda point: seconds_of(point.wait_p50_ms),
    "waitP95Seconds": lambda point: seconds_of(point.wait_p95_ms),
    "demand": lambda point: point.demand,
    "wanted": lambda point: point.wanted,
    "workers": lambda point: point.workers,
}


def shown(found: Figures, step_s: int) -> dict[str, Any]:
    """Return points as series with one value for each step since the first, null in gaps."""
    points = filled(found.points, step_s)
    jobs = {
        state.value: [None if point is None else point.jobs[i] for point in points]
        for i, state in enumerate(State)
    }
    return {
        "step": step_s,
        "since": timestamp(found.points[0].at_ms) if found.points else None,
        "jobs": jobs,
        **{
            name: [None if point is None else value(point) for point in points]
            for name, value in _SERIES.items()
        },
        "scalingSteps": [step(each) for each in found.steps],
    }


def filled(points: Sequence[Point], step_s: int) -> list[Point | None]:
    """Return points with None for each that is missing between the first and the last."""
    with_gaps: list[Point | None] = list(points[:1])
    for before, point in pairwise(points):
        missing = (point.at_ms - before.at_ms) // (1_000 * step_s) - 1
        with_gaps += [*([None] * missing), point]
    return with_gaps


def step(each: ScalingStep) -> dict[str, Any]:
    """Return a scaling step."""
    return {
        "at": timestamp(each.at_ms),
        "from": each.before,
        "to": each.after,
        "target": each.target,
        "reason": each.reason,
        "message": each.text,
    }


def rates(found: Figures, step_s: int) -> dict[str, float | None]:
    """Return the present rates in jobs per second, None if there is no point that is new enough."""
    if not found.points or found.now_ms - found.points[-1].at_ms > FRESH_MS:
        return {"startsPerSecond": None, "finishesPerSecond": None}
    last = found.points[-1]
    return {
        "startsPerSecond": round(last.starts / step_s, 3),
        "finishesPerSecond": round(last.finishes / step_s, 3),
    }


def scaling(state: ScalingState | None, now_ms: int) -> dict[str, Any] | None:
    """Return the present scaling decision, None if there is none."""
    if state is None or now_ms - state.at_ms > STALE_MS:
        return None
    return {"target": state.target, "reason": state.reason, "message": state.text}


def seconds_of(ms: int | None) -> float | None:
    """Return milliseconds in seconds."""
    return None if ms is None else ms / 1_000
