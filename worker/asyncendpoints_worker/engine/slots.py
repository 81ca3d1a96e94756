"""One claimed job in the process that runs it, from its claim until its outcome is delivered."""

from __future__ import annotations

import threading
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim, ClaimedJob, Outcome, Progress


class Stop(Enum):
    """Why a running attempt is asked to end."""

    CANCEL = "a client canceled the job"
    TIMEOUT = "its execution timeout passed"
    RELEASE = "the worker is closing"
    ABANDON = "the worker lost its lease, so the job belongs to another"


class Host(Protocol):
    """What a running attempt needs of the engine that started it."""

    loop: asyncio.AbstractEventLoop
    loop_thread: int
    draining: bool
    policy: Policy

    def finish(self, slot: Slot, outcome: Outcome) -> None:
        """Take the outcome of an attempt whose code has ended; on the loop's thread."""
        ...

    def report(self, slot: Slot) -> None:
        """Send `slot.progress` soon; on the loop's thread."""
        ...


class Slot:
    """A place for one running job. `deadline` and `began` are the loop's time in seconds."""

    __slots__ = (
        "announced",
        "began",
        "claim",
        "claimed",
        "deadline",
        "entered",
        "generation",
        "host",
        "index",
        "progress",
        "settled",
        "stop",
        "task",
    )

    def __init__(
        self, host: Host, claimed: ClaimedJob, generation: int, began: float, deadline: float
    ) -> None:
        """Hold `claimed` for the engine `host`, in the engine's incarnation `generation`."""
        self.host = host
        self.claimed = claimed
        self.claim: Claim = claimed.claim
        self.generation = generation
        self.began = began
        self.deadline = deadline
        self.index = -1
        self.announced = False
        self.entered = False
        self.settled = False
        self.progress: Progress | None = None
        self.stop: Stop | None = None
        self.task: asyncio.Task[None] | None = None

    def end(self, why: Stop) -> None:
        """Ask the attempt to end: by CancelledError in a task, by the flag in a thread."""
        if self.stop is not None and why is not Stop.ABANDON:
            return
        first, self.stop = self.stop is None, why
        # A task canceled before its first step would never run the line that ends its slot.
        if first and self.entered and self.task is not None:
            self.task.cancel()

    def report(self, progress: Progress) -> None:
        """Show progress; from any thread."""
        self.progress = progress
        if self.announced:
            return  # the report under way will carry it
        self.announced = True
        if threading.get_ident() == self.host.loop_thread:
            self.host.report(self)
        else:
            self.host.loop.call_soon_threadsafe(self.host.report, self)

    def take_progress(self) -> Progress | None:
        """Return the latest progress; what is reported from now on is announced anew."""
        self.announced = False
        progress, self.progress = self.progress, None
        return progress
