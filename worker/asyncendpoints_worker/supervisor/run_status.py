"""What a child shows its supervisor without sending it: a page of memory that both have mapped.

A message could be lost in a crash or wait behind a full pipe; what is written here before a
handler starts is there whatever the handler does, a segmentation fault or a held GIL included, and
costs a fraction of a microsecond. Times are of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Claim

if TYPE_CHECKING:
    from asyncendpoints_worker.engine.slots import Slot

# tick (loop alive, seconds), jobs held (running, or outcome not delivered).
_HEADER = struct.Struct("<dI4x")
# used, generation, attempt, max attempts, claim number, deadline (seconds), job id.
_ENTRY = struct.Struct("<B3xIIIQd16s")
_USED: Final = 1


class Running(NamedTuple):
    """One attempt that has begun and not ended. `deadline` is monotonic time in seconds."""

    claim: Claim
    generation: int
    attempt: int
    max_attempts: int
    deadline: float


def create(slots: int) -> int:
    """Make an unnamed file for `slots` attempts and return its descriptor."""
    if hasattr(os, "memfd_create"):
        descriptor: int = os.memfd_create("asyncendpoints-board")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _HEADER.size + slots * _ENTRY.size)
    return descriptor


def slots_in(descriptor: int) -> int:
    """Return how many attempts fit."""
    return (os.fstat(descriptor).st_size - _HEADER.size) // _ENTRY.size


class Board:
    """The child's side: writes."""

    def __init__(self, descriptor: int) -> None:
        """Map the file that `create` made."""
        self._page = mmap.mmap(descriptor, 0)
        self._free = [
            _HEADER.size + index * _ENTRY.size for index in reversed(range(slots_in(descriptor)))
        ]

    def tick(self, now: float, held: int) -> None:
        """Say that the loop runs, at monotonic time `now`, and how many jobs are held."""
        _HEADER.pack_into(self._page, 0, now, held)

    def enter(self, slot: Slot) -> None:
        """Show an attempt, before any code of the user's sees it."""
        offset = slot.index = self._free.pop()
        job = slot.claimed.job
        _ENTRY.pack_into(
            self._page,
            offset,
            0,
            slot.generation,
            job.attempt,
            job.max_attempts,
            slot.claim.number,
            slot.deadline,
            job.id,
        )
        self._page[offset] = _USED  # last, so that a torn entry is no entry

    def leave(self, slot: Slot) -> None:
        """Take an attempt away: its code has ended."""
        self._page[slot.index] = 0
        self._free.append(slot.index)


class BoardView:
    """The supervisor's side: reads. It closes its descriptor with `close`."""

    def __init__(self, descriptor: int) -> None:
        """Map the file that `create` made."""
        self._descriptor = descriptor
        self._page = mmap.mmap(descriptor, 0)

    @property
    def tick(self) -> float:
        """When the child's loop ran last; 0 before its first time."""
        return float(_HEADER.unpack_from(self._page)[0])

    @property
    def held(self) -> int:
        """How many jobs the child knows it holds."""
        return int(_HEADER.unpack_from(self._page)[1])

    def running(self, worker: str) -> list[Running]:
        """Return the attempts that have begun and not ended, as claims of `worker`."""
        found = []
        for offset in range(_HEADER.size, len(self._page), _ENTRY.size):
            if self._page[offset] != _USED:
                continue
            entry = self._page[offset : offset + _ENTRY.size]
            if entry != self._page[offset : offset + _ENTRY.size]:
                continue  # it changed while being read: ended, or only just begun
            _, generation, attempt, most, number, deadline, job_id = _ENTRY.unpack(entry)
            claim = Claim(JobId(job_id), number, worker)
            found.append(Running(claim, generation, attempt, most, deadline))
        return found

    def close(self) -> None:
        """Unmap and close."""
        self._page.close()
        os.close(self._descriptor)
