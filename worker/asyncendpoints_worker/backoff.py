"""Growing pauses with jitter, for what is tried again until it works."""

from __future__ import annotations

import random


class Backoff:
    """Seconds to wait before each next try: doubled from `first` up to `most`, half of it random.

    Without the random half, every worker would come back to a restarted Redis at once.
    """

    def __init__(self, first: float = 0.05, most: float = 2.0) -> None:
        """Start at `first` seconds."""
        self._first = first
        self._most = most
        self._next = first

    def next(self) -> float:
        """Return the next pause in seconds."""
        pause, self._next = self._next, min(self._most, self._next * 2)
        return pause * (0.5 + random.random() / 2)  # noqa: S311  # spreads load, guards nothing

    def reset(self) -> None:
        """Begin again: it worked."""
        self._next = self._first
