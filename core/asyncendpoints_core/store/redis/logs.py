"""The verbs for the logs of jobs."""

from __future__ import annotations

from struct import error as StructError
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.job_logs import AttemptLog
from asyncendpoints_core.store.redis.python_layout import CorruptRecord, packer, reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.job_logs import LogWrite
    from asyncendpoints_core.store.redis.caller import Caller

_pack_write = packer(
    messages.LOG_WRITE, "id claim worker_index attempt position unless_completed text_size"
)
_read_log = reader(tables.LOG, "claim attempt cut written text end")
_APPLIED: Final = ord("a")


class LogVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def write_logs(
        self, writes: Sequence[LogWrite], *, limit: int, budget: int
    ) -> list[bool]:
        if not writes:
            return []
        workers: dict[str, int] = {}
        items = b"".join(
            _pack_write(
                write.claim.job_id,
                write.claim.number,
                workers.setdefault(write.claim.worker, len(workers)),
                write.attempt,
                write.position,
                write.unless_completed,
                len(write.text),
            )
            for write in writes
        )
        letters, _ = await self._caller.execute(
            "write_logs",
            items,
            b"".join(write.text for write in writes),
            b"%d" % limit,
            b"%d" % budget,
            *(worker.encode() for worker in workers),
            featured=True,
        )
        return [letter == _APPLIED for letter in letters]

    async def read_logs(self, job_id: JobId) -> tuple[AttemptLog, ...]:
        value, at, found = await self._caller.run("read_logs", job_id), 0, []
        while at < len(value):
            try:
                claim, attempt, cut, written, text, at = _read_log(value, at)
            except (CorruptRecord, StructError):
                break  # the next line that is written drops it too
            found.append(
                AttemptLog(attempt, claim, text.decode(errors="replace"), written, cut > 0)
            )
        return tuple(found)
