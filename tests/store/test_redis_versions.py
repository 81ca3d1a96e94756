"""Versions of the records in Redis: a store of the first version, and jobs of the second."""

from pathlib import Path

import pytest
import yaml

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Attributes
from asyncendpoints_core.jobs.states import FINAL
from asyncendpoints_core.store.record_layout import FORMAT_KIND, FORMAT_VERSION, PLAIN_VERSION
from support.redis.backend import RedisBackend
from support.store.dumped import dump, load
from support.store.stores import DONE, check, hand, new, put
from support.store.written import read_records, write_records

# Written by `write_records` of the commit before the second version, and never again.
VERSION_1 = Path(__file__).parent / "golden" / "version-1.yaml"
PLAIN, SECOND = FORMAT_KIND + PLAIN_VERSION, FORMAT_KIND + FORMAT_VERSION


async def test_a_store_of_the_first_version_is_read_and_worked_off(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await load(backend, yaml.safe_load(VERSION_1.read_text("utf-8")))
    await backend.redis_store.open()
    await check(backend)
    await read_records(backend)
    [tagged] = await put(backend.store, new(attributes=Attributes(tags=("blue",))))
    worker = await hand(backend.store, "later")
    while not all(job.final for job in (await backend.store.list(None, 500, None)).jobs):
        await backend.advance(10_000)
        await backend.store.sweep()
        await hand(backend.store, worker.id)
        for job in await worker.take(20):
            await worker.settle(jobs.complete(job.claim, DONE))
    counts = (await backend.store.stats()).counts
    assert sum(counts[state] for state in FINAL) == sum(counts.values()) > 10
    assert (await backend.store.result(tagged))[1] == DONE
    await check(backend)
    await backend.close()


async def test_what_uses_nothing_new_is_written_as_the_first_version_was(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    await write_records(backend)
    written = await dump(backend)
    before = yaml.safe_load(VERSION_1.read_text("utf-8"))
    for name in ("jobs", "runs", "blobs", "results", "idem", "lastclaim", "held", "corrupt"):
        assert written[name] == before[name], name
    assert set(written) == set(before)
    await backend.close()


@pytest.mark.parametrize("body", [b"", b"x" * 2_000])
async def test_only_a_job_that_carries_something_has_the_second_version(
    redis_url: str, body: bytes
) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    plain, tagged = new(body=body), new(body=body, attributes=Attributes(tags=("blue",)))
    await put(backend.store, plain, tagged)
    records = {one.id: await backend.record(one.id) or b"" for one in (plain, tagged)}
    assert [record[0] for record in records.values()] == [PLAIN, SECOND]
    # The size, the flags and the size of the tags; the tags.
    assert len(records[tagged.id]) - len(records[plain.id]) == 2 + 2 + 2 + len("blue")
    worker = await hand(backend.store)
    await worker.take(2)
    assert {(await backend.record(job_id) or b"")[0] for job_id in records} == {PLAIN}
    await backend.close()
