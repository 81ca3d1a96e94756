"""The run status page: memory that a child process and its supervisor have both mapped, in which
the child shows what it runs.

A message could be lost in a crash or wait behind a full socket buffer. What is written here before
a handler starts stays, even after a segmentation fault or while the GIL is held, and costs a
fraction of a microsecond. Times are of the monotonic clock, which all processes share.
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
    from asyncendpoints_worker.handlers.attempt import RunningAttempt

# Last tick of the event loop (seconds), jobs held (running, or outcome not delivered).
_HEADER = struct.Struct("<dI4x")
# Used, generation, attempt, max attempts, claim number, deadline (seconds), job id.
_ENTRY = struct.Struct("<B3xIIIQd16s")
_USED: Final = 1


class Running(NamedTuple):
    """An attempt whose code has started and not ended."""

    claim: Claim
    generation: int
    attempt: int
    max_attempts: int
    deadline: float


def create(slots: int) -> int:
    """Create an unnamed file for `slots` attempts and return its descriptor."""
    if hasattr(os, "memfd_create"):
        descriptor: int = os.memfd_create("asyncendpoints-run-status")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _HEADER.size + slots * _ENTRY.size)
    return descriptor


def slots_in(descriptor: int) -> int:
    """Return how many attempts fit."""
    return (os.fstat(descriptor).st_size - _HEADER.size) // _ENTRY.size


class RunStatusPage:
    """The child's side: writes."""

    def __init__(self, descriptor: int) -> None:
        """Map the file that `create` has created."""
        self._page = mmap.mmap(descriptor, 0)
        self._free = [
            _HEADER.size + index * _ENTRY.size for index in reversed(range(slots_in(descriptor)))
        ]

    def tick(self, now: float, held: int) -> None:
        """Show that the event loop runs, at monotonic time `now`, and how many jobs are held."""
        _HEADER.pack_into(self._page, 0, now, held)

    def enter(self, attempt: RunningAttempt) -> None:
        """Show an attempt, before user code sees it."""
        offset = attempt.status_entry = self._free.pop()
        job = attempt.claimed.job
        _ENTRY.pack_into(
            self._page,
            offset,
            0,
            attempt.generation,
            job.attempt,
            job.max_attempts,
            job.claim,
            attempt.deadline,
            job.id,
        )
        self._page[offset] = _USED  # last, so that a half-written entry does not count

    def leave(self, attempt: RunningAttempt) -> None:
        """Remove an attempt whose code has ended."""
        self._page[attempt.status_entry] = 0
        self._free.append(attempt.status_entry)


class RunStatusView:
    """The supervisor's side: reads. `close` closes its descriptor too."""

    def __init__(self, descriptor: int) -> None:
        """Map the file that `create` has created."""
        self._descriptor = descriptor
        self._page = mmap.mmap(descriptor, 0)

    @property
    def tick(self) -> float:
        """When the child's event loop ran last; 0 before its first tick."""
        return float(_HEADER.unpack_from(self._page)[0])

    @property
    def held(self) -> int:
        """How many jobs the child knows it holds."""
        return int(_HEADER.unpack_from(self._page)[1])

    def running(self, worker: str) -> list[Running]:
        """Return the attempts that run, as claims of `worker`."""
        found = []
        for offset in range(_HEADER.size, len(self._page), _ENTRY.size):
            if self._page[offset] != _USED:
                continue
            entry = self._page[offset : offset + _ENTRY.size]
            if entry != self._page[offset : offset + _ENTRY.size]:
                continue  # it changed while being read: just ended or just started
            _, generation, attempt, most, number, deadline, job_id = _ENTRY.unpack(entry)
            claim = Claim(JobId(job_id), number, worker)
            found.append(Running(claim, generation, attempt, most, deadline))
        return found

    def close(self) -> None:
        """Unmap and close."""
        self._page.close()
        os.close(self._descriptor)
