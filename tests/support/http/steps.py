"""How long one step of the event loop takes, in processor time: whatever else runs."""

import asyncio
import time
from collections.abc import Callable

import pytest


def longest_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Measure the steps of asyncio's event loop from now on; returns the longest in seconds."""
    run = asyncio.Handle._run
    longest = 0.0

    def measured(self: asyncio.Handle) -> None:
        nonlocal longest
        begun = time.thread_time()
        run(self)
        longest = max(longest, time.thread_time() - begun)

    monkeypatch.setattr(asyncio.Handle, "_run", measured)
    return lambda: longest
