"""Lost replies, cancelled tasks, servers that forget: nothing is stranded or done twice."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from asyncendpoints_core.errors import (
    RecordError,
    StoreError,
    StoreUnavailable,
    StoreUnsupported,
    StoreVersionError,
)
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes, Outcome, OutcomeKind, Result
from asyncendpoints_core.jobs.schedules import Firing
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore, scripts
from asyncendpoints_core.store.replies import ClaimBatch, Identity, SettleStatus
from support.redis.backend import ENDPOINT, RedisBackend
from support.redis.proxy import Command, ReplyDroppingProxy
from support.redis.server import RedisServer
from support.store.damage import damage_and_use
from support.store.stores import (
    DONE,
    ERROR,
    POLICY,
    START_MS,
    check,
    hand,
    look,
    new,
    policy,
    put,
    state_of,
)
from support.store.verbs import VERBS, Scene


@pytest.fixture
async def proxied(redis_proxy: ReplyDroppingProxy, redis_url: str) -> AsyncIterator[RedisBackend]:
    """A store behind the proxy; its figures must equal a full scan afterwards."""
    backend = RedisBackend(redis_url, redis_proxy.url)
    await backend.open()
    try:
        yield backend
        await check(backend)
    finally:
        await backend.close()


def runs(name: str) -> object:
    hashes = {scripts.load(name, full=full).sha.encode() for full in (False, True)}

    def matches(command: Command) -> bool:
        return command[0] == b"EVALSHA" and command[1] in hashes

    return matches


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "claim"])
async def test_a_verb_whose_reply_is_lost_is_sent_again(
    proxied: RedisBackend, redis_proxy: ReplyDroppingProxy, verb: str
) -> None:
    scene = Scene(proxied.store)
    await scene.build()
    fault = redis_proxy.drop_reply(runs(verb))  # type: ignore[arg-type]
    answer = await VERBS[verb](scene)
    assert fault.happened.is_set()
    if verb == "settle":
        assert [settled.status for settled in answer] == [SettleStatus.ALREADY] * 2
        assert [settled.state for settled in answer] == [State.COMPLETED, State.QUEUED]
    if verb in ("enqueue", "cancel", "redrive", "delete"):
        # Not what the second sending alone would have met: the first one did it.
        statuses = [str(getattr(one, "status", one)) for one in answer]
        first = {"enqueue": "created", "redrive": "requeued", "delete": "deleted"}
        assert statuses[0] == first.get(verb, "canceled")
    if verb == "release_worker":
        assert (await proxied.store.stats()).held == 1  # the suspect, held by another


@pytest.mark.parametrize("stall", [False, True])
async def test_a_claim_whose_reply_is_lost_strands_nothing(
    redis_proxy: ReplyDroppingProxy, proxied: RedisBackend, stall: bool
) -> None:
    store = proxied.store
    worker = await hand(store)
    ids = await put(store, *(new() for _ in range(4)))
    # Known to the server, so that the reply that is lost is the claim's.
    await proxied.redis.script_load(scripts.load("claim").source)
    fault = redis_proxy.drop_reply(runs("claim"), stall=stall)  # type: ignore[arg-type]
    task = asyncio.ensure_future(store.claim(worker.id, 1, 4))
    await fault.happened.wait()
    if stall:
        redis_proxy.cut()
    with pytest.raises(StoreUnavailable):
        await task
    assert (await store.stats()).held == 4
    again = await store.claim(worker.id, 1, 4)
    assert [job.job.id for job in again.jobs] == ids
    settled = await store.settle([jobs.complete(job.claim, DONE) for job in again.jobs])
    assert {one.status for one in settled} == {SettleStatus.APPLIED}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_cancelled_in_the_middle_can_be_repeated(
    proxied: RedisBackend, redis_proxy: ReplyDroppingProxy, verb: str
) -> None:
    scene = Scene(proxied.store)
    await scene.build()
    fault = redis_proxy.drop_reply(runs(verb), stall=True)  # type: ignore[arg-type]
    task = asyncio.ensure_future(VERBS[verb](scene))
    await fault.happened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    redis_proxy.cut()
    await scene.store.stats()  # sent again by itself, on a new connection; a claim would not be
    await VERBS[verb](scene)
    if verb == "claim":
        held = {claim.job_id for claim in scene.claims}
        batch = await scene.store.claim("w1", 50, 2)
        assert (await scene.store.stats()).held == 2 + len(batch.jobs) + 1  # and the suspect
        assert not held & {job.job.id for job in batch.jobs}


async def test_calls_beside_a_cancelled_one_are_answered(redis_url: str) -> None:
    store = RedisStore(redis_url, ENDPOINT)
    await store.open()
    tasks = [asyncio.ensure_future(store.enqueue([new()])) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, list) for answer in answers[1::2])
    assert (await store.stats()).counts[State.QUEUED] >= 10
    await store.close()


async def test_a_forgotten_script_is_sent_whole(redis_url: str) -> None:
    store = RedisStore(redis_url, ENDPOINT)
    await store.open()
    scene = Scene(store)
    with Redis.from_url(redis_url) as client:
        await scene.build()
        for verb in VERBS.values():
            client.script_flush()
            await verb(scene)
    await store.close()


async def test_a_server_that_lost_everything_is_used_again(redis_url: str) -> None:
    store = RedisStore(redis_url, ENDPOINT)
    await store.open()
    await store.configure(policy(max_depth=7))
    with Redis.from_url(redis_url) as client:
        client.flushall()
    await put(store, new())
    worker = await hand(store)
    assert len(await worker.take()) == 1
    assert (await store.configure(POLICY, overwrite=False)).max_depth in (7, POLICY.max_depth)
    await store.close()


async def test_a_restart_with_aof_loses_nothing() -> None:
    with RedisServer(appendonly=True, appendfsync="always") as server:
        store = RedisStore(server.url, ENDPOINT)
        health = await store.open()
        assert health.durable is True
        assert health.warnings == ()
        await store.configure(policy(max_depth=77))
        ids = await put(store, *(new() for _ in range(30)))
        worker = await hand(store)
        first, *rest = await worker.take()
        await store.settle([jobs.complete(first.claim, DONE)])
        before = await store.stats()
        await asyncio.to_thread(server.restart, kill=True)
        after = await store.stats()
        assert (after.counts, after.totals, after.held) == (
            before.counts,
            before.totals,
            before.held,
        )
        found, result = await store.result(first.job.id)
        assert found.job is not None
        assert result == DONE
        assert all(one.job for one in await store.get(ids))
        settled = await store.settle([jobs.complete(job.claim, DONE) for job in rest])
        assert {one.status for one in settled} == {SettleStatus.APPLIED}
        assert (await store.configure(POLICY, overwrite=False)).max_depth == 77
        await store.close()


async def test_while_the_server_is_down_calls_fail_soon_and_later_ones_work() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, ENDPOINT)
        await store.open()
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(store.stats(), 10)
        await asyncio.to_thread(server.start)
        assert (await store.stats()).counts[State.QUEUED] == 0
        await store.close()


async def test_a_newer_store_is_refused(redis_url: str) -> None:
    store = RedisStore(redis_url, ENDPOINT)
    await store.open()
    with Redis.from_url(redis_url) as client:
        client.hset(f"aep:{{{ENDPOINT}}}:meta", "schema", "3")
        for verb in ("stats", "pause", "recover"):
            with pytest.raises(
                StoreVersionError, match=r"is of format 3, .* reads formats up to 2"
            ):
                await VERBS[verb](Scene(store))
        other = RedisStore(redis_url, ENDPOINT)
        with pytest.raises(StoreVersionError, match=r"is of format 3, .* reads formats up to 2"):
            await other.open()
        await other.close()
    await store.close()


async def test_an_unreadable_request_is_quarantined_by_the_claim(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    [bad] = await put(store, new())
    good = await put(store, new(), new())
    record = await backend.record(bad)
    assert record is not None
    spoiled = record.replace(b"/reports", b"\xc1reports")  # sound to Lua, no MessagePack
    await backend.spoil(bad, spoiled)
    worker = await hand(store)
    assert [job.job.id for job in await worker.take()] == good
    job = await look(store, bad)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.code == "corrupt"
    restored = await backend.set_aside(bad)
    assert restored is not None
    assert b"\xc1reports" in restored
    await check(backend)
    await backend.close()


async def test_a_name_that_only_lua_can_read_affects_no_other_job_of_a_claim(
    redis_url: str,
) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    bodies = (b"a", b"b" * 2_000, b"c" * 2_000, b"d")
    bad, *good = await put(store, *(new("nightly", body=body) for body in bodies))
    worker = await hand(store)
    for claimed in await worker.take():
        await worker.settle(jobs.retry_later(claimed.claim, ERROR, 1_000))
    await backend.advance(60_000)
    worker = await hand(store, "w2")
    record = await backend.redis.hget(backend.key("jobs"), bad)
    await backend.redis.hset(backend.key("jobs"), bad, record.replace(b"nightly", b"n\xffghtly"))
    taken = {claimed.job.id: claimed.request.body for claimed in await worker.take()}
    assert taken == dict(zip(good, bodies[1:], strict=True))
    assert (await look(store, bad)).state is State.FAILED
    await backend.close()


@pytest.mark.parametrize(("claimed", "sound", "spoiled"), [
    (False, b"report", b"\xffeport"),  # its name
    (True, b"w1", b"\xff1"),  # its worker
])  # fmt: skip
async def test_what_only_lua_can_read_is_failed_by_a_look(
    redis_url: str, claimed: bool, sound: bytes, spoiled: bytes
) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    [bad] = await put(store, new())
    if claimed:
        worker = await hand(store)
        assert [job.job.id for job in await worker.take()] == [bad]
    record = await backend.record(bad)
    assert record is not None
    await backend.spoil(bad, record.replace(sound, spoiled, 1))
    job = await look(store, bad)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.code == "corrupt"
    assert await look(store, bad) == job
    await check(backend)
    await backend.close()


async def test_an_unreadable_result_leaves_its_job_completed(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    [bad] = await put(store, new())
    worker = await hand(store)
    [job] = await worker.take()
    await store.settle([Outcome(job.claim, OutcomeKind.COMPLETE, result=Result("text/x", b"body"))])
    await backend.damage(bad, b"text/x", b"text/\xff")
    with pytest.raises(RecordError, match=r"the result of job .* cannot be read"):
        await store.result(bad)
    assert (await look(store, bad)).state is State.COMPLETED
    await check(backend)
    await backend.close()


async def test_a_job_without_its_body_is_quarantined_by_the_claim(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    [big] = await put(backend.store, new(body=b"x" * 5_000))
    await backend.redis.hdel(backend.key("blobs"), big)
    worker = await hand(backend.store)
    assert await worker.take() == []
    assert (await look(backend.store, big)).state is State.FAILED
    await check(backend)
    await backend.close()


async def test_health_without_info_is_unknown_and_says_so() -> None:
    with RedisServer() as server:
        with Redis.from_url(server.url) as client:
            client.execute_command(
                *("ACL", "SETUSER", "endpoint", "on", ">s3cret/word", "resetkeys", "resetchannels"),
                *(f"~aep:{{{ENDPOINT}}}:*", f"&aep:{{{ENDPOINT}}}:*"),
                *("+@all", "-@admin", "-@dangerous"),  # INFO is in @dangerous
            )
        url = f"redis://endpoint:s3cret%2Fword@127.0.0.1:{server.port}/0"
        store = RedisStore(url, ENDPOINT)
        health = await store.open()
        assert (health.durable, health.eviction) == (None, None)
        assert health.warnings
        scene = Scene(store)
        await scene.build()
        for verb in VERBS.values():
            await verb(scene)
        async with store.events() as events:
            assert (await anext(events)).job_id is None
        await store.close()
        other = RedisStore(url, "tests/others")
        with pytest.raises(StoreUnavailable, match="does not permit") as refused:
            await other.open()
        assert "s3cret" not in str(refused.value)
        await other.close()
        strict = RedisStore(url, ENDPOINT, strict=True)
        with pytest.raises(StoreUnsupported, match="does not permit INFO"):
            await strict.open()
        await strict.close()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis://user:s3cret@127.0.0.1:1/0", StoreUnavailable),
        ("redis://:s3cret@nowhere.invalid:1/0", StoreUnavailable),
        ("redis+sentinel://:s3cret@127.0.0.1:1/main", StoreUnavailable),
        ("redis+cluster://:s3cret@127.0.0.1:1", StoreUnavailable),
        ("rediss://:s3cret@127.0.0.1:1/0?ssl_password=s3cret", StoreUnavailable),
    ],
)
async def test_credentials_are_in_no_message(url: str, error: type[Exception]) -> None:
    store = RedisStore(url, ENDPOINT)
    with pytest.raises(error) as caught:
        await store.open()
    assert "s3cret" not in str(caught.value)
    assert "***" in str(caught.value) or "@" not in str(caught.value)
    await store.close()


async def test_the_wrong_password_is_said_without_it() -> None:
    with RedisServer(requirepass="right") as server:
        url = server.url.replace("right", "wr0ng")
        store = RedisStore(url, ENDPOINT)
        with pytest.raises(StoreUnavailable, match="refused the credentials") as caught:
            await store.open()
        assert "wr0ng" not in str(caught.value)
        await store.close()


async def test_a_url_is_read_anew_for_each_connection() -> None:
    with RedisServer(requirepass="first") as server:
        urls = [server.url.replace("first", "stale"), server.url]
        store = RedisStore(lambda: urls[0], ENDPOINT)
        with pytest.raises(StoreUnavailable):
            await store.open()
        urls.pop(0)
        await store.open()
        await store.close()


async def test_full_memory_stops_new_jobs_only() -> None:
    with RedisServer(maxmemory="20mb", maxmemory_policy="noeviction") as server:
        backend = RedisBackend(server.url)
        await backend.open()
        store = backend.store
        await store.configure(policy(completed_ms=1_000, schedules={"nightly": "a1" * 8}))
        big = new(body=b"x" * 300_000)
        firing = Firing("nightly", "a1" * 8, START_MS + 1, 0, START_MS, big)
        await backend.advance(1)
        worker = await hand(store)
        running = await put(store, *(new(body=b"r" * 1_000) for _ in range(100)))
        claims = [job.claim for job in await worker.take(100)]
        assert [claim.job_id for claim in claims] == running
        waiting: list[JobId] = []

        async def fill() -> None:
            for _ in range(200):
                waiting.extend(await put(store, *(new(body=b"x" * 100_000) for _ in range(3))))

        with pytest.raises(StoreUnavailable, match="memory limit"):
            await fill()
        assert waiting
        with pytest.raises(StoreUnavailable, match="memory limit"):
            await store.fire(firing)
        scene = Scene(store)
        scene.claims = claims[:2]
        scene.ids = {"waiting": waiting[0], "failed": running[5], "completed": running[6]}
        for verb in VERBS:
            if verb not in (
                "enqueue",
                "fire",
                "redrive",
                "settle_with_children",
                "claim",
                "release_worker",
                "close_queue",
                "reconcile",
                "write_logs",
                "record_figures",
            ):
                await VERBS[verb](scene)
        for verb in ("write_logs", "record_figures"):
            with pytest.raises(StoreUnavailable, match="memory limit"):
                await VERBS[verb](scene)
        await store.configure(policy(completed_ms=1_000, schedules={"nightly": "a1" * 8}))
        # What would add jobs is refused; what is settled beside it is not.
        [parent, *others] = [claim for claim in claims if claim not in scene.claims]
        child = new(attributes=Attributes(parent=parent.job_id))
        enqueued = jobs.complete(parent, DONE, (child,))
        with pytest.raises(StoreUnavailable, match="memory limit"):
            await store.settle([enqueued, *(jobs.complete(claim, DONE) for claim in others)])
        assert await state_of(store, parent.job_id) is State.IN_PROGRESS
        assert [await state_of(store, claim.job_id) for claim in others] == [State.COMPLETED] * len(
            others
        )
        assert await state_of(store, child.id) is None
        await store.cancel(waiting)
        await store.delete(waiting)
        await backend.advance(2_000)
        assert (await store.sweep()).removed
        await put(store, new(body=b"x" * 100_000))
        await worker.settle(enqueued)
        assert await state_of(store, child.id) is State.QUEUED
        assert (await store.stats()).held == 0
        assert (await store.stats()).schedules[0].last_ms == START_MS
        assert (await store.fire(firing)).status == "created"
        await check(backend)
        await backend.close()


async def test_another_owner_is_refused_and_changes_nothing(redis_url: str) -> None:
    store = RedisStore(redis_url, ENDPOINT)
    await store.open()
    mine = Identity("cluster-1", "uid-1")
    await store.configure(POLICY, mine)
    with pytest.raises(StoreError, match="belongs to"):
        await store.configure(policy(max_depth=1), Identity("cluster-2", "uid-1"))
    assert await store.configure(policy(max_depth=2), mine, overwrite=False) == POLICY
    await store.close_queue()
    assert await store.purge()
    await store.open()  # a late client: it does not bring the endpoint back
    assert (await store.stats()).closed
    await store.configure(POLICY, Identity("cluster-1", "uid-2"))
    assert not (await store.stats()).closed
    await store.close()


async def test_an_interrupted_watch_requests_a_new_read_and_continues(
    redis_proxy: ReplyDroppingProxy, proxied: RedisBackend
) -> None:
    store = proxied.store
    async with store.events() as events:
        assert (await anext(events)).job_id is None
        redis_proxy.cut()
        assert (await asyncio.wait_for(anext(events), 20)).job_id is None
        [job_id] = await put(store, new())
        event = await asyncio.wait_for(anext(events), 20)
        assert (event.job_id, event.revision) == (job_id, 1)


async def test_a_wait_that_is_cut_is_unavailable_and_the_next_one_works(
    redis_proxy: ReplyDroppingProxy, proxied: RedisBackend
) -> None:
    store = proxied.store
    worker = await hand(store)
    waiting = asyncio.ensure_future(store.wait_for_work(worker.id, 20_000))
    await proxied.waiters(1)
    redis_proxy.cut()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(waiting, 20)
    again = asyncio.ensure_future(store.wait_for_work(worker.id, 20_000))
    await proxied.waiters(1)
    await put(store, new())
    assert await asyncio.wait_for(again, 20)


async def test_a_claim_behind_a_wait_survives_what_can_become_of_its_connection(
    redis_url: str, redis_proxy: ReplyDroppingProxy, proxied: RedisBackend
) -> None:
    store = proxied.store
    worker = await hand(store)

    async def wait(number: int) -> asyncio.Task[ClaimBatch]:
        task = asyncio.create_task(store.claim_next(worker.id, number, 4, 20_000))
        await proxied.waiters(1)
        return task

    waiting = await wait(1)
    with Redis.from_url(redis_url) as client:
        client.script_flush()
    [first] = await put(store, new())
    assert [job.job.id for job in (await asyncio.wait_for(waiting, 20)).jobs] == [first]
    fault = redis_proxy.drop_reply(runs("claim"))  # type: ignore[arg-type]
    waiting = await wait(2)
    [second] = await put(store, new())
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(waiting, 20)
    assert fault.happened.is_set()
    assert [job.job.id for job in (await store.claim(worker.id, 2, 4)).jobs] == [second]
    waiting = await wait(3)
    redis_proxy.cut()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(waiting, 20)
    assert (await store.claim(worker.id, 3, 4)).jobs == ()


async def test_damaged_records_affect_no_other_job(redis_server: RedisServer) -> None:
    for seed in range(4):
        with Redis.from_url(redis_server.url) as client:
            client.flushall()
        await damage_and_use(redis_server.url, random.Random(seed))
