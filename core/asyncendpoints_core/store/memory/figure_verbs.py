"""The verbs of MemoryStore for the figures over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_core.store import figures
from asyncendpoints_core.store.figures import Figures, FiguresWrite, ScalingStep

if TYPE_CHECKING:
    from asyncendpoints_core.store.memory.data import Data


class FigureVerbs:
    """Part of MemoryStore."""

    _data: Data

    if TYPE_CHECKING:

        def _now(self) -> int: ...

    async def record_figures(self, write: FiguresWrite) -> None:
        """See Store.record_figures."""
        self._now()
        self._data.figures.add(write)

    async def read_figures(self, step_s: int, since_ms: int = 0) -> Figures:
        """See Store.read_figures."""
        now, found = self._now(), self._data.figures
        ring = b"".join(packed for _, packed in found.rings[step_s].values())
        return Figures(
            now,
            figures.unpack(ring, step_s, since_ms, now),
            tuple(msgspec.msgpack.decode(step, type=ScalingStep) for _, step in found.steps),
            found.scaling,
        )
