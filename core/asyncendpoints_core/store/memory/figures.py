"""The figures over time in MemoryStore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_core.store import figures

if TYPE_CHECKING:
    from asyncendpoints_core.store.figures import FiguresWrite


class FigureRings:
    """The figures of one endpoint: of each step a ring of numbered, packed points."""

    def __init__(self) -> None:
        """Start empty."""
        self.rings: dict[int, dict[int, tuple[int, bytes]]] = {
            step_s: {} for step_s in figures.RINGS
        }
        self.steps: list[tuple[int, bytes]] = []
        self.scaling: figures.ScalingState | None = None

    def add(self, write: FiguresWrite) -> None:
        """Add points, unless their entry has them already, and steps."""
        for step_s, ring in self.rings.items():
            for point in write.points.get(step_s, ()):
                slot = point.at_ms // (1_000 * step_s)
                stored = ring.get(slot % figures.RINGS[step_s], (0, b""))
                if slot > stored[0]:
                    ring[slot % figures.RINGS[step_s]] = slot, figures.pack(point, step_s)
        new = {(step.at_ms, figures.encode_step(step)) for step in write.steps}
        self.steps = sorted({*self.steps, *new})[-figures.KEPT_STEPS :]
        self.scaling = write.scaling or self.scaling

    def read(self, step_s: int, since_ms: int, now: int) -> figures.Figures:
        """Return the points of a step, and the scaling steps."""
        ring = b"".join(packed for _, packed in self.rings[step_s].values())
        return figures.Figures(
            now,
            figures.unpack(ring, step_s, since_ms, now),
            tuple(msgspec.msgpack.decode(step, type=figures.ScalingStep) for _, step in self.steps),
            self.scaling,
        )
