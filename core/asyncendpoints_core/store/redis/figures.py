"""The verbs for the figures over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_core.store import figures
from asyncendpoints_core.store.figures import Figures, FiguresWrite, ScalingState, ScalingStep

if TYPE_CHECKING:
    from asyncendpoints_core.store.redis.caller import Caller


class FigureVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def record_figures(self, write: FiguresWrite) -> None:
        points = [figures.pack_all(write, step_s) for step_s in figures.RINGS]
        sizes = (b"%d" % size for size in figures.RINGS.values())
        scaling = b"" if write.scaling is None else msgspec.msgpack.encode(write.scaling)
        steps: list[bytes] = []
        for step in write.steps:
            steps += (b"%d" % step.at_ms, figures.encode_step(step))
        kept = b"%d" % figures.KEPT_STEPS
        await self._caller.run("record_figures", *points, *sizes, scaling, kept, *steps)

    async def read_figures(self, step_s: int, since_ms: int = 0) -> Figures:
        now, ring, scaling, steps = await self._caller.run("read_figures", b"%d" % step_s)
        return Figures(
            now,
            figures.unpack(ring, step_s, since_ms, now),
            tuple(msgspec.msgpack.decode(step, type=ScalingStep) for step in steps),
            msgspec.msgpack.decode(scaling, type=ScalingState) if scaling else None,
        )
