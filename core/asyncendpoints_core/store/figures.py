"""The figures of an endpoint over time: points of two steps, and the steps of its scaling.

The store keeps the points of each step in a ring, one entry for each step of time. An entry holds
the number of its step and fourteen numbers of two bytes: exact below 4,096, at most 0.05 % too low
above. docs/redis.md has the keys.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from asyncendpoints_core.jobs.states import State

RINGS: Final = {10: 360, 600: 1_008}
"""How many points are kept, by their step in seconds: an hour, and seven days."""
KEPT_STEPS: Final = 50
"""Scaling steps that are kept."""
MAX_TEXT: Final = 160
"""Characters that are kept of the explanation of a scaling step."""

_POINT: Final = Struct(">I14H")
_UNKNOWN: Final = 0xFFFF
_MOST: Final = 0xFFFE


class Point(msgspec.Struct, frozen=True):
    """The figures of one step, which began at `at_ms`.

    `jobs`: retained jobs at its end, by state. Within it: jobs that were `starts`, attempts
    included; that became final (`finishes`), and `failures` of these; how long the started ones had
    waited, None if there was none. `demand`, `wanted` (workers) and `workers`, those that were
    ready: at its end.
    """

    at_ms: int
    jobs: tuple[int, ...]
    starts: int = 0
    finishes: int = 0
    failures: int = 0
    wait_p50_ms: int | None = None
    wait_p95_ms: int | None = None
    demand: int = 0
    wanted: int = 0
    workers: int = 0


class ScalingStep(msgspec.Struct, frozen=True, array_like=True):
    """The number of workers was changed. `text` explains it in one line."""

    at_ms: int
    before: int
    after: int
    target: int
    reason: str
    text: str


class ScalingState(msgspec.Struct, frozen=True, array_like=True):
    """The last scaling decision that was recorded."""

    at_ms: int
    target: int
    reason: str
    text: str


class FiguresWrite(msgspec.Struct, frozen=True):
    """What to add to the figures: new points by their step in seconds, and scaling steps."""

    points: dict[int, tuple[Point, ...]]
    steps: tuple[ScalingStep, ...] = ()
    scaling: ScalingState | None = None


class Figures(msgspec.Struct, frozen=True):
    """What was read: the points of one step, the oldest first; there may be gaps between them."""

    now_ms: int
    points: tuple[Point, ...] = ()
    steps: tuple[ScalingStep, ...] = ()
    scaling: ScalingState | None = None


def pack(point: Point, step_s: int) -> bytes:
    """Return a point as it is stored."""
    numbers = (
        *point.jobs,
        *(point.starts, point.finishes, point.failures),
        *(point.wait_p50_ms, point.wait_p95_ms),
        *(point.demand, point.wanted, point.workers),
    )
    return _POINT.pack(point.at_ms // (1_000 * step_s), *map(_shortened, numbers))


def pack_all(write: FiguresWrite, step_s: int) -> bytes:
    """Return the points of one step as they are stored."""
    return b"".join(pack(point, step_s) for point in write.points.get(step_s, ()))


def unpack(ring: bytes, step_s: int, since_ms: int, now_ms: int) -> tuple[Point, ...]:
    """Return the points of a ring that are not older than `since_ms` and than its length."""
    step_ms = 1_000 * step_s
    oldest = max(-(-since_ms // step_ms), now_ms // step_ms - RINGS[step_s] + 1)
    found = [entry for entry in _POINT.iter_unpack(ring) if entry[0] >= max(1, oldest)]
    return tuple(_point(entry, step_ms) for entry in sorted(found))


def _point(entry: tuple[int, ...], step_ms: int) -> Point:
    slot, *codes = entry
    numbers = [None if code == _UNKNOWN else (code & 0xFFF) << (code >> 12) for code in codes]
    jobs, others = numbers[: len(State)], numbers[len(State) :]
    names = Point.__struct_fields__[2:]
    return msgspec.convert(
        {"at_ms": slot * step_ms, "jobs": jobs, **dict(zip(names, others, strict=True))}, Point
    )


def _shortened(number: int | None) -> int:
    """Return a number as 12 bits and the exponent of two by which they are shifted."""
    if number is None:
        return _UNKNOWN
    shift = max(0, number.bit_length() - 12)
    return min(shift << 12 | number >> shift, _MOST)


def encode_step(step: ScalingStep) -> bytes:
    """Return a scaling step as it is stored."""
    return msgspec.msgpack.encode(msgspec.structs.replace(step, text=step.text[:MAX_TEXT]))
