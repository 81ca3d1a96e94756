"""Versions of the records in Redis: a store of the first version, and jobs of the second."""

from pathlib import Path

import msgspec
import pytest
import yaml
from redis.exceptions import ResponseError

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Attributes
from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.store.record_layout import FORMAT_KIND, FORMAT_VERSION, PLAIN_VERSION
from asyncendpoints_core.store.redis import scripts
from asyncendpoints_core.store.replies import Cause, EnqueueStatus
from support.redis.backend import RedisBackend
from support.store.dumped import dump, load
from support.store.stores import DONE, check, hand, new, policy, put
from support.store.verbs import VERBS
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
    assert set(written) - {"bell"} == set(before)  # a wake-up that its worker never received
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


# The schema: a feature that is used refuses older programs

TAGGED = Attributes(tags=("blue",))


async def schema(backend: RedisBackend) -> bytes:
    found: bytes = await backend.redis.hget(backend.key("meta"), "schema")
    return found


async def register_older(backend: RedisBackend, worker: str) -> None:
    """Register a worker as programs do that know the first schema alone."""
    await hand(backend.store, worker)
    info = msgspec.msgpack.decode(await backend.redis.hget(backend.key("winfo"), worker))
    assert info.pop("schema") == scripts.SCHEMA
    await backend.redis.hset(backend.key("winfo"), worker, msgspec.msgpack.encode(info))


async def test_the_first_feature_that_is_used_raises_the_schema(redis_url: str) -> None:
    backend, other = RedisBackend(redis_url), RedisBackend(redis_url)
    await backend.open()
    await other.open()
    await hand(backend.store)
    await put(backend.store, new())
    assert await schema(backend) == b"1"
    await put(backend.store, new(attributes=TAGGED))
    assert await schema(backend) == b"2"
    # What other processes send is answered AEPFEATURE once, and AEPVERSION to older programs.
    before = other.redis_store._caller.full
    await put(other.store, new())
    assert (before, other.redis_store._caller.full) == (False, True)
    assert (await other.store.stats()).counts[State.QUEUED] == 3
    await backend.close()
    await other.close()


async def test_features_wait_for_workers_that_do_not_know_them(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    await register_older(backend, "old")
    await hand(backend.store, "new")
    batch = [new(), new(attributes=TAGGED), new(key="k")]
    answers = await backend.store.enqueue(batch)
    assert [answer.status for answer in answers] == [
        EnqueueStatus.CREATED,
        EnqueueStatus.UNSUPPORTED,
        EnqueueStatus.CREATED,
    ]
    assert await schema(backend) == b"1"
    stats = await backend.store.stats()
    assert (stats.counts[State.QUEUED], stats.features_held_ms > 0) == (2, True)
    outdated = {one.info.id: one.outdated for one in await backend.store.workers()}
    assert outdated == {"new": False, "old": True}
    await backend.store.release_worker("old", Cause.DRAINED)
    [answer] = await backend.store.enqueue([batch[1]])
    assert answer.status is EnqueueStatus.CREATED
    assert await schema(backend) == b"2"
    assert (await backend.store.stats()).features_held_ms == 0
    await check(backend)
    await backend.close()


@pytest.mark.parametrize("attributes", [Attributes(), TAGGED])
async def test_a_store_that_lost_its_data_uses_no_feature_until_it_is_used_again(
    redis_url: str, attributes: Attributes
) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    await put(backend.store, new(attributes=TAGGED))
    await backend.redis.flushall()
    await put(backend.store, new(attributes=attributes))
    assert await schema(backend) == (b"2" if attributes.tags else b"1")
    assert (await backend.store.stats()).counts[State.QUEUED] == 1
    await backend.close()


async def test_each_script_refuses_the_store_of_the_other_before_it_writes(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    names = [name for name in VERBS if scripts.load(name).full is not None]
    assert sorted(names) == [
        *("cancel", "claim", "delete", "enqueue", "fire", "get", "inspect", "list", "pause_job"),
        "promote",
        *("reconcile", "redrive", "release_worker", "result", "settle", "settle_with_children"),
        *("step_action", "sweep", "write_logs"),
    ]
    for stored, full, word in (("1", True, "AEPPLAIN"), ("2", False, "AEPFEATURE")):
        await backend.redis.hset(backend.key("meta"), "schema", stored)
        for name in names:
            script = scripts.load(name, full=full)
            given = [backend.key(key) for key in script.keys]
            with pytest.raises(ResponseError, match=word):
                await backend.redis.eval(script.source, len(given), *given, b"", b"")
    assert not set(scripts.load("enqueue").keys) & {"locks"}
    await backend.close()


async def test_a_store_with_webhooks_that_lost_its_data_writes_events_again(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    await backend.store.configure(policy(webhooks=1, webhook_states=7))
    assert await schema(backend) == b"2"
    await backend.redis.flushall()
    [job_id] = await put(backend.store, new())
    await backend.store.cancel([job_id])
    assert [job.id for job in await backend.store.webhook_events(9)] == [job_id]
    await backend.close()


async def test_a_policy_waits_with_its_webhooks_for_older_workers(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    await register_older(backend, "old")
    wanted = policy(webhooks=1, webhook_states=7)
    assert (await backend.store.configure(wanted)).webhooks == 0
    await backend.store.release_worker("old", Cause.DRAINED)
    assert (await backend.store.configure(wanted)).webhooks == 1
    await backend.close()
