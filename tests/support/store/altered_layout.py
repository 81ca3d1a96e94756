"""Runs the store on other layouts than today's: `python altered_layout.py REDIS_URL`.

Every field and part that may move has moved. A process of its own, because the readers are made
when their modules are imported.
"""

import asyncio
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from asyncendpoints_core.store import message_layout, record_layout
from asyncendpoints_core.store.layout_fields import Layout

# What must begin with these: a record with its format and flags, which say how to read it; a
# member of `held` with the number by which it is ordered; a long request with its mark.
FIRST = {"JOB": 2, "RUN": 2, "ATTEMPT": 1, "HELD": 1, "LONG_REQUEST": 1, "RESULT": 1}


def moved(layout: Layout, first: int) -> Layout:
    """Return a layout with its fields after the first, and its parts, the other way round."""
    fields = (*layout.fields[:first], *reversed(layout.fields[first:]))
    return dataclasses.replace(layout, fields=fields, parts=layout.parts[::-1])


for _module in (record_layout, message_layout):
    for _name, _layout in list(vars(_module).items()):
        if isinstance(_layout, Layout):
            setattr(_module, _name, moved(_layout, FIRST.get(_name, 0)))


async def main(url: str) -> None:
    """Write every kind of record, and read each of them again."""
    from support.redis.backend import RedisBackend
    from support.store.stores import check
    from support.store.written import TRACE, job_id, read_records, stored, write_records

    backend = RedisBackend(url)
    await backend.open()
    await write_records(backend)
    found = await stored(backend)
    record = bytes.fromhex(found["jobs"][job_id(2).hex()])
    assert record.index(TRACE.encode()) < record.index(b"traced"), "the parts have not moved"
    await read_records(backend)
    await check(backend)
    await backend.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
