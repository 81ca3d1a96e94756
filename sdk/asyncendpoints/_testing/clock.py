"""A clock that a test moves: the time of stores, gateways and workers in its process."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from asyncendpoints_core.common.time_source import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from asyncendpoints_core.common.time_source import Timer

STEP_MS: Final = 1_000.0
"""The longest step: below every lease and below what a store takes for an outage."""
PASSES: Final = 12
"""Turns of the event loop in which what a timer woke does its next thing."""


class Worked(Protocol):
    """What lives by a clock and may still work on what fell due."""

    async def busy(self) -> bool:
        """Whether something that fell due has not ended, but for what was given up."""
        ...

    async def give_up(self) -> None:
        """Wait no more for what is not finished now."""
        ...


class Driver:
    """Moves a manual clock and waits for what lives by it.

    `advancing`: whether `advance` is at work.
    """

    def __init__(self, manual: ManualClock) -> None:
        self.advancing = False
        self._manual = manual
        self._workers: list[Worked] = []

    async def advance(self, seconds: float, patience: float) -> None:
        """Move forward by `seconds`; see Clock.advance."""
        if seconds < 0:
            raise ValueError(f"a clock moves forward only, not by {seconds}")
        end = self._manual.exact_ms + seconds * 1000
        self.advancing = True
        try:
            await self._settle(patience)
            while (now := self._manual.exact_ms) < end:
                due = self._manual.next_due_ms
                step = end if due is None else min(due, end)
                self._manual.advance_to(min(step, now + STEP_MS))
                await self._settle(patience)
        finally:
            self.advancing = False

    async def _settle(self, patience: float) -> None:
        """Return once what fell due has ended."""
        await _passes()
        began: float | None = None
        while [each for each in self._workers if await each.busy()]:
            now = time.monotonic()
            began = now if began is None else began
            if now - began > patience:
                for each in self._workers:
                    await each.give_up()
                break
            await asyncio.sleep(0 if now - began < 0.005 else 0.001)
        if began is not None:
            await _passes()

    async def drive(self, task: asyncio.Task[object]) -> None:
        """Move on until `task` has ended: the end of a test waits for nothing."""
        while not task.done():
            self._manual.advance(STEP_MS / 4)
            await _passes()
            await asyncio.sleep(0.001)

    def add(self, worker: Worked) -> None:
        """Let `advance` wait for `worker`."""
        self._workers.append(worker)

    def remove(self, worker: Worked) -> None:
        """Wait no more for `worker`."""
        self._workers.remove(worker)


class Clock:
    """Time for `running(ep, clock=Clock())`: it stands still until `advance` moves it.

    What handlers wait for themselves (`asyncio.sleep`, threads, other servers) is real time.
    """

    def __init__(self, start_ms: int = 1_700_000_000_000, *, seed: int = 0) -> None:
        """Start at `start_ms`, milliseconds since the epoch; `seed` is that of `random`."""
        self._manual = ManualClock(start_ms)
        self._random = Random(seed)  # noqa: S311 - jitter
        self._driver = Driver(self._manual)

    async def advance(self, seconds: float, *, patience: float = 1.0) -> None:
        """Move forward by `seconds`, from due time to due time, as if they had passed.

        At each it waits until what fell due has ended: the attempts that started, and what follows
        from their ends. An attempt that still runs after `patience` seconds of real time stays
        running, so that its timeout can be reached. ValueError for negative seconds.
        """
        await self._driver.advance(seconds, patience)

    def random(self) -> float:
        """Return the next of the numbers in [0, 1) that retries take their jitter from: with one
        seed the same in every run.
        """
        return self._random.random()

    # TimeSource

    def now_ms(self) -> int:
        """Return the time in milliseconds since the epoch."""
        return self._manual.now_ms()

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self._manual.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has moved on by `seconds`."""
        await self._manual.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Raise TimeoutError in the block once the clock has moved on by `seconds`."""
        return self._manual.timeout(seconds)

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Schedule `call()` for the `advance` that reaches `when`, in seconds of `monotonic`."""
        return self._manual.call_at(when, call)


def driver_of(clock: Clock) -> Driver:
    """Return what moves `clock`: not for users, whose interface is the clock itself."""
    return clock._driver


async def _passes() -> None:
    for _ in range(PASSES):
        await asyncio.sleep(0)
