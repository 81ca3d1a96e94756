"""The logs of jobs in MemoryStore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.store.job_logs import MAX_ATTEMPTS, AttemptLog
from asyncendpoints_core.store.memory.ordered import Ordered
from asyncendpoints_core.store.record_layout import LOG

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.store.job_logs import LogWrite

ENTRY_BYTES: Final = LOG.size
"""What the log of a claim takes beside its text, as in Redis."""


class _Log:
    """The log of one claim; see AttemptLog."""

    def __init__(self, attempt: int, claim: int) -> None:
        self.attempt = attempt
        self.claim = claim
        self.text = b""
        self.written = 0
        self.cut = False


class Logs:
    """The logs of one endpoint's jobs, `bytes` in all; those written to least recently first."""

    def __init__(self) -> None:
        """Start empty."""
        self.bytes = 0
        self._of: dict[JobId, tuple[int, list[_Log]]] = {}
        self._times = Ordered()

    def read(self, job_id: JobId) -> tuple[AttemptLog, ...]:
        """Return those of a job, the oldest first."""
        return tuple(
            AttemptLog(log.attempt, log.claim, log.text.decode(), log.written, log.cut)
            for log in self._of.get(job_id, (0, ()))[1]
        )

    def add(self, write: LogWrite, limit: int, now: int) -> None:
        """Add lines to the log of a claim, which keeps the last `limit` bytes."""
        if not write.text:
            return
        logs = self._take(write.claim.job_id)
        number = write.claim.number
        log = next((each for each in logs if each.claim == number), None)
        if log is None:
            log = _Log(write.attempt, number)
            logs[:] = [*logs, log][-MAX_ATTEMPTS:]
        there = log.written - write.position
        log.cut = log.cut or there < 0  # dropped since for lack of room
        log.text += write.text[max(there, 0) :]
        log.written = max(log.written, write.position + len(write.text))
        if len(log.text) > limit:
            ends = log.text.find(b"\n", len(log.text) - limit - 1)
            log.text, log.cut = log.text[ends + 1 :] if ends >= 0 else b"", True
        self._put(write.claim.job_id, logs, now)

    def drop(self, claim: Claim, now: int) -> None:
        """Remove the log of a claim."""
        logs = self._take(claim.job_id)
        self._put(claim.job_id, [log for log in logs if log.claim != claim.number], now)

    def forget(self, job_id: JobId) -> None:
        """Remove those of a job."""
        self._take(job_id)

    def drop_surplus(self, budget: int) -> None:
        """Remove what was written to least recently, beyond `budget` bytes."""
        while self.bytes > budget and (oldest := self._times.peek()):
            self.forget(oldest[1])

    def jobs(self) -> set[JobId]:
        """Return the jobs that have any."""
        return set(self._of)

    def _take(self, job_id: JobId) -> list[_Log]:
        if job_id not in self._of:
            return []
        at, logs = self._of.pop(job_id)
        self._times.remove((at, job_id))
        self.bytes -= _size(logs)
        return logs

    def _put(self, job_id: JobId, logs: list[_Log], now: int) -> None:
        if logs:
            self._of[job_id] = now, logs
            self._times.add((now, job_id))
            self.bytes += _size(logs)


def _size(logs: list[_Log]) -> int:
    return sum(ENTRY_BYTES + len(log.text) for log in logs)
