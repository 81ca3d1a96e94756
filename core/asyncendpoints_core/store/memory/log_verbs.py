"""The verbs of MemoryStore for the logs of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory.record import Record, decode_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.job_logs import AttemptLog, LogWrite
    from asyncendpoints_core.store.memory.data import Data


class LogVerbs:
    """Part of MemoryStore."""

    _data: Data

    if TYPE_CHECKING:

        def _now(self) -> int: ...

    async def write_logs(
        self, writes: Sequence[LogWrite], *, limit: int, budget: int
    ) -> list[bool]:
        """See Store.write_logs."""
        now = self._now()
        applied = [_write(self._data, write, limit, now) for write in writes]
        self._data.logs.drop_surplus(budget)
        return applied

    async def read_logs(self, job_id: JobId) -> tuple[AttemptLog, ...]:
        """See Store.read_logs."""
        self._now()
        return self._data.logs.read(job_id)


def _write(data: Data, write: LogWrite, limit: int, now: int) -> bool:
    claim = write.claim
    record = decode_record(data.records.get(claim.job_id))
    if not isinstance(record, Record):
        return False
    if (record.claim, record.worker) != (claim.number, claim.worker):
        return False
    if write.unless_completed and record.state is State.COMPLETED:
        data.logs.drop(claim, now)
    else:
        data.logs.add(write, limit, now)
    return True
