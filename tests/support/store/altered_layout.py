"""Runs the store on other layouts than today's: `python altered_layout.py REDIS_URL`.

Every field and part that may move has moved. A process of its own, because the readers are made
when their modules are imported.
"""

import asyncio
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.record_layout import Layout

# What must begin with these: a record with its format and flags, which say how to read it; a
# member of `held` with the number by which it is ordered; a long request with its mark.
FIRST = {"JOB": 2, "RUN": 2, "ATTEMPT": 1, "HELD": 1, "LONG_REQUEST": 1, "RESULT": 1}


def moved(layout: Layout, first: int) -> Layout:
    """Return a layout with its fields after the first, and its parts, the other way round."""
    fields = (*layout.fields[:first], *reversed(layout.fields[first:]))
    return dataclasses.replace(layout, fields=fields, parts=layout.parts[::-1])


LAYOUTS = {name: value for name, value in vars(tables).items() if isinstance(value, Layout)}
for _name, _layout in LAYOUTS.items():
    setattr(tables, _name, moved(_layout, FIRST.get(_name, 0)))


async def main(url: str) -> None:
    """Write every kind of record, and read each of them again."""
    from asyncendpoints_core.jobs import records as jobs
    from asyncendpoints_core.jobs.states import State
    from asyncendpoints_core.store.replies import Cause, LeaseRenewal
    from support.redis.backend import RedisBackend
    from support.store.stores import DONE, check, hand, look
    from support.store.written import TRACE, job_id, stored, write_records

    backend = RedisBackend(url)
    store = backend.store
    await backend.open()
    await write_records(backend)
    found = await stored(backend)
    record = bytes.fromhex(found["jobs"][job_id(2).hex()])
    assert record.index(TRACE.encode()) < record.index(b"traced"), "the parts have not moved"
    assert (await look(store, job_id(2))).state is State.COMPLETED
    _, result = await store.result(job_id(4))
    assert result == jobs.Result("image/png", b"png", "chart.png")
    failed = await look(store, job_id(12))
    assert failed.error is not None
    assert failed.error.code == "corrupt"
    running = await look(store, job_id(1))
    assert running.progress == jobs.Progress(0.25, "a quarter")
    assert (running.state, running.attempt) == (State.IN_PROGRESS, 1)
    [beat] = await store.heartbeat([LeaseRenewal("w1")])
    assert job_id(11) in [claim.job_id for claim in beat.cancels]
    assert beat.held == len(found["held"]) - 1
    page = await store.list(None, 100, None)
    assert len(page.jobs) == len(found["jobs"])
    retried = await look(store, job_id(6))
    assert retried.attempts[0].outcome == "retry"
    await store.release_worker("w1", Cause.LOST)
    worker = await hand(store, "w9")
    while taken := await worker.take(5):
        assert {job.request.path for job in taken} <= {"/reports/7", "/traced"}
        await worker.settle(*(jobs.complete(job.claim, DONE) for job in taken))
    assert (await look(store, job_id(1))).state is State.COMPLETED
    await check(backend)
    await backend.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
