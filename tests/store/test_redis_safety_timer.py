"""Keys of an endpoint that nobody uses leave Redis by themselves; nothing unfinished ever does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Progress
from asyncendpoints_core.jobs.schedules import Firing
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.deliveries import DeliveryEnd, DeliveryOutcome, FanOut, NewDelivery
from asyncendpoints_core.store.job_logs import LogWrite
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Cause, EnqueueStatus, Identity, LeaseRenewal
from support.redis.backend import ENDPOINT, QUIET_MS, RedisBackend
from support.store.stores import (
    DONE,
    ERROR,
    POLICY,
    check,
    drain,
    hand,
    look,
    new,
    policy,
    put,
    state_of,
)
from support.store.verbs import ACTION

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


@pytest.fixture
async def backend(redis_url: str) -> AsyncIterator[RedisBackend]:
    """An empty store; its figures must equal a full scan afterwards."""
    made = RedisBackend(redis_url)
    await made.open()
    await made.store.configure(POLICY)
    try:
        yield made
        await check(made)
        await made.check_timers()
    finally:
        await made.close()


async def miss(store: Store) -> None:
    """Have a time of a schedule missed, which needs no job."""
    [schedule] = (await store.stats()).schedules
    seen = schedule.last_ms
    due = Firing("nightly", schedule.hash, seen + 1, 0, seen, new(), deadline_ms=seen + 2)
    assert (await store.fire(due)).status == "outdated"


async def run_out(backend: RedisBackend) -> None:
    """Let the timer end: nobody came for a month."""
    assert await backend.check_timers()
    for name in await backend.timers():
        await backend.redis.pexpireat(backend.key(name), 1)
    assert not await backend.redis.keys(backend.prefix + "*")


async def ends(backend: RedisBackend) -> int:
    """Return when the keys end, in days from now."""
    safety = int(await backend.redis.hget(backend.key("meta"), "safety"))
    return round((safety - await backend.now()) / DAY)


async def test_an_endpoint_that_was_only_opened_leaves_by_itself(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.redis_store.open()  # by the server's own clock
    timers = await backend.timers()
    assert set(timers) == {"meta", "held"}
    assert all(29 * DAY < ms <= 30 * DAY for ms in timers.values())
    await backend.close()


async def test_every_key_is_on_it_after_any_verb_at_rest(backend: RedisBackend) -> None:
    store = backend.store
    worker = await hand(store)
    await put(store, new(key="k"), new(body=b"x" * 2_000), new())
    big, *others = await worker.take()
    await store.settle([jobs.complete(big.claim, jobs.Result("text/plain", b"y" * 2_000))])
    await store.settle([jobs.fail(job.claim, ERROR) for job in others])
    await backend.come_to_rest()
    assert {"blobs", "results", "idem", "idemexp", "lastclaim", "winfo"} <= set(
        await backend.timers()
    )
    first, second, third = big.job.id, others[0].job.id, others[1].job.id
    done: list[Callable[[], Awaitable[Any]]] = [
        lambda: hand(store, "w2"),
        lambda: store.heartbeat([LeaseRenewal("w1", draining=True), LeaseRenewal("w2")]),
        lambda: store.cordon(["w2"], 10, "me"),
        lambda: store.uncordon(["w2"], "me"),
        lambda: store.claim("w1", 9, 5),
        lambda: hand(store, "w3"),
        lambda: store.wait_for_work("w3", 5),
        lambda: store.claim("w3", 1, 5),
        lambda: store.settle([jobs.complete(others[0].claim, DONE)]),
        lambda: store.settle([jobs.complete(jobs.Claim(first, 1, "nobody"), DONE)]),
        lambda: store.progress([(big.claim, Progress(0.5))]),
        lambda: store.write_logs([LogWrite(big.claim, 1, 0, b"done\n")], limit=100, budget=1_000),
        lambda: store.reconcile("w1", []),
        lambda: store.cancel([first]),
        lambda: store.enqueue([new(key="k", fingerprint=b"another")]),
        lambda: store.get([first, second]),
        lambda: store.result(first),
        lambda: store.recover(),
        lambda: store.delete([first]),
        lambda: backend.spoil(second, b"no record"),
        lambda: store.cancel([second]),  # finds it, and sets it aside
        lambda: store.suspend(True),
        lambda: store.suspend(False),
        lambda: store.begin_action(ACTION),
        lambda: store.step_action(ACTION.id),
        lambda: store.abort_action(ACTION.id),
        lambda: store.pause(),
        lambda: store.pause("report"),
        lambda: store.resume("report"),
        lambda: store.resume(),
        lambda: store.close_queue(),
        lambda: store.reopen_queue(),
        lambda: store.configure(policy(schedules={"nightly": "a1" * 8})),
        lambda: miss(store),
        lambda: store.configure(POLICY),
        lambda: backend.redis_store.note(seen="x"),
        lambda: store.release_worker("w1", Cause.LOST),
        lambda: store.release_worker("w3", Cause.CRASH),
        lambda: backend.advance(8 * DAY),
        lambda: store.sweep(),
    ]
    seen: set[str] = set()
    for step, act in enumerate(done):
        await act()
        assert await backend.check_timers(), f"step {step}"
        seen |= set(await backend.timers())
    assert {"gone", "left", "corrupt", "marks", "idle"} <= seen
    assert await state_of(store, third) is None  # removed by the sweep


async def test_a_sweep_that_removes_puts_what_it_makes_on_it(backend: RedisBackend) -> None:
    store = backend.store
    await put(store, new())
    await drain(store, await hand(store))
    await backend.come_to_rest()
    await backend.advance(2 * 60 * MINUTE)
    assert (await store.sweep()).removed == 1
    assert "gone" in await backend.timers()
    assert await backend.check_timers()


@pytest.mark.parametrize("paused", [False, True])
async def test_nothing_unfinished_is_on_it_at_any_stage(
    backend: RedisBackend, paused: bool
) -> None:
    store = backend.store
    await backend.come_to_rest()
    await hand(store)
    [delayed] = await put(store, new(delay_ms=60 * MINUTE))

    async def stays() -> None:
        await backend.advance(10 * MINUTE)
        await store.heartbeat([LeaseRenewal("w1")])
        await store.recover()
        await store.sweep()
        assert not await backend.check_timers()

    await stays()
    await backend.advance(60 * MINUTE)
    await store.sweep()
    assert await state_of(store, delayed) is State.QUEUED
    if paused:
        await store.pause()
    await stays()
    await store.resume()
    worker = await hand(store, "w2")
    await worker.one()
    await backend.advance(1_000)
    await store.heartbeat([LeaseRenewal("w2")])
    assert not await backend.check_timers()
    await store.release_worker("w1", Cause.LOST)
    await store.release_worker("w2", Cause.CRASH)  # the last worker goes; a suspect is left
    assert not await backend.check_timers()
    worker = await hand(store, "w3")
    claim = (await worker.one()).claim
    await store.settle([jobs.retry_later(claim, ERROR, 1_000)])
    await stays()
    worker = await hand(store, "w4")
    claim = (await worker.one()).claim
    await store.settle([jobs.complete(claim, DONE)])
    await store.sweep()
    assert await backend.check_timers()


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_redriven_job_takes_it_off(backend: RedisBackend, end: str) -> None:
    store = backend.store
    [job_id] = await put(store, new(body=b"x" * 2_000))
    worker = await hand(store)
    if end == "fail":
        await store.settle([jobs.fail((await worker.one()).claim, ERROR)])
    else:
        await store.cancel([job_id])
    await backend.come_to_rest()
    [answer] = await store.redrive([job_id])
    assert answer.status == "requeued"
    assert not await backend.check_timers()
    worker = await hand(store, "w2")
    assert (await worker.one()).request.body == b"x" * 2_000


async def test_what_is_refused_leaves_it_on(backend: RedisBackend) -> None:
    store = backend.store
    [done] = await put(store, new(key="k"))
    await drain(store, await hand(store))
    await store.configure(policy(max_depth=0))
    await backend.come_to_rest()

    async def status_of(**how: Any) -> EnqueueStatus:
        [answer] = await store.enqueue([new(**how)])
        assert await backend.check_timers()
        return answer.status

    assert await status_of() == "full"
    assert await status_of(key="k") == "replayed"
    assert await status_of(key="k", fingerprint=b"g") == "mismatch"
    assert (await store.redrive([done]))[0].status == "not-retryable"
    await store.close_queue()
    assert await status_of() == "closed"
    assert await backend.check_timers()
    await store.reopen_queue()


@pytest.mark.parametrize(("kept", "days"), [
    ({}, 30),
    ({"completed_ms": DAY}, 30),
    ({"failed_ms": 60 * DAY}, 67),
    ({"completed_ms": 90 * DAY}, 97),
    ({"idempotency_ms": 40 * DAY}, 47),
])  # fmt: skip
async def test_it_is_longer_than_anything_is_kept(
    backend: RedisBackend, kept: dict[str, int], days: int
) -> None:
    assert await ends(backend) == 30
    await backend.store.configure(policy(**kept))  # no sweep is needed for it
    assert await ends(backend) == days
    assert await backend.check_timers()


async def test_any_running_process_renews_it_once_a_day(backend: RedisBackend) -> None:
    store = backend.store
    before = await backend.redis.hget(backend.key("meta"), "safety")
    await backend.advance(23 * 60 * MINUTE)
    await store.sweep()
    assert await backend.redis.hget(backend.key("meta"), "safety") == before
    await backend.advance(60 * MINUTE)
    assert await ends(backend) == 29
    await store.sweep()
    assert await ends(backend) == 30
    for _ in range(40):
        await backend.advance(DAY)
        await store.sweep()
    assert await ends(backend) == 30
    assert await backend.check_timers()


async def test_a_busy_queue_that_is_empty_for_a_moment_is_not_put_on_it(
    backend: RedisBackend,
) -> None:
    store = backend.store
    worker, other = await hand(store), await hand(store, "w2")
    for _ in range(3):
        await put(store, new())
        await drain(store, worker)
        await store.sweep()
        assert not await backend.check_timers()
        await backend.advance(1_000)
    await store.release_worker(other.id, Cause.DRAINED)
    assert not await backend.check_timers()
    # The last one may leave nobody behind who would look later.
    await store.release_worker(worker.id, Cause.DRAINED)
    assert await backend.check_timers()


@pytest.mark.parametrize("overwrite", [False, True])
async def test_a_gateway_that_was_idle_for_so_long_accepts(
    backend: RedisBackend, redis_url: str, overwrite: bool
) -> None:
    gateway = RedisStore(redis_url, ENDPOINT)
    await gateway.open()
    await gateway.configure(policy(max_depth=2, ttl_ms=DAY // 2), overwrite=overwrite)
    [old] = await put(gateway, new())
    worker = await hand(backend.store)
    await drain(backend.store, worker)
    await backend.come_to_rest()
    await run_out(backend)

    [found] = await gateway.get([old])
    assert (found.job, found.gone) == (None, False)
    answers = await gateway.enqueue([new(), new(), new()])
    full = 2 if overwrite else 3  # the policy last seen in force
    assert [one.status for one in answers] == ["created"] * full + ["full"] * (3 - full)
    assert not await backend.check_timers()
    with pytest.raises(WorkerGone):  # its lease ended a month ago
        await worker.claim()
    again = await hand(backend.store, "w2")
    assert len(await drain(backend.store, again)) == full
    await gateway.close()


async def test_numbers_of_claims_grow_on_after_it_ended(backend: RedisBackend) -> None:
    store = backend.store
    [job_id] = await put(store, new())
    worker = await hand(store)
    stale = (await worker.one()).claim
    await store.settle([jobs.complete(stale, DONE)])
    await backend.come_to_rest()
    now = await backend.now()
    await run_out(backend)
    await store.sweep()
    await backend.redis.hset(backend.key("meta"), "tick", str(now))
    await put(store, new(job_id=job_id))
    claim = (await (await hand(store, "w2")).one()).claim
    assert claim.number > stale.number
    [late] = await store.settle([jobs.complete(stale, DONE)])
    assert late.status == "stale"


async def test_ownership_is_recorded_anew_after_it_ended(backend: RedisBackend) -> None:
    store = backend.redis_store
    mine, other = Identity("cluster-1", "uid-1"), Identity("cluster-1", "uid-2")
    await store.configure(POLICY, mine)
    await run_out(backend)
    assert (await store.ownership()).owner is None
    await store.configure(POLICY, other)
    assert (await store.ownership()).owner == other
    assert await backend.check_timers()


async def test_keys_made_after_a_purge_end_with_its_tombstone(backend: RedisBackend) -> None:
    store = backend.store
    await put(store, new())
    await drain(store, await hand(store))
    await store.close_queue()
    assert await store.purge()
    await hand(store, "late")
    await store.recover()
    await store.sweep()
    await store.configure(POLICY, overwrite=False)
    assert (await store.enqueue([new()]))[0].status == "closed"
    await backend.redis_store._caller.run("cancel_timer")  # one that was on its way
    timers = await backend.timers()
    assert {"meta", "workers"} <= set(timers)
    assert 0 < timers["meta"] <= DAY
    assert await backend.check_timers()
    await store.reopen_queue()
    assert await ends(backend) == 30
    await put(store, new())
    assert not await backend.check_timers()


async def test_an_event_that_waits_for_its_receiver_keeps_it_off(backend: RedisBackend) -> None:
    store = backend.store
    await store.configure(policy(webhooks=77, webhook_states=7))

    async def on_timer() -> bool:
        await backend.advance(QUIET_MS)
        await store.sweep()
        return await backend.check_timers()

    await put(store, new())
    await drain(store, await hand(store))
    assert not await on_timer()  # the event waits for a gateway
    [event] = await store.webhook_events(10)
    one = NewDelivery(b"12345678" * 2, b"hosthook", "hook")
    assert await store.fan_out(77, [FanOut(event, (one,))]) == 1
    assert not await on_timer()
    [leased] = (
        await store.lease_deliveries(1, 25_000, probes=1, per_host=1, busy=(), expiry_ms=10**9)
    ).deliveries
    assert not await on_timer()
    [leased] = (
        await store.lease_deliveries(1, 25_000, probes=1, per_host=1, busy=(), expiry_ms=10**9)
    ).deliveries
    done = DeliveryOutcome(leased.id, leased.token, DeliveryEnd.DELIVERED, 0, 200)
    assert await store.settle_deliveries([done], 1_000) == [True]
    assert await on_timer()


async def test_an_adopted_queue_with_jobs_is_on_no_timer(backend: RedisBackend) -> None:
    store = backend.redis_store
    before = Identity("cluster-1", "uid-1")
    await store.configure(POLICY, before)
    await put(store, new())
    await store.close_queue()
    assert await store.adopt(before, "uid-2")
    assert not await backend.check_timers()
    await drain(store, await hand(store))
    await backend.come_to_rest()
    assert await store.adopt(Identity("cluster-1", "uid-2"), "uid-3")
    assert await backend.check_timers()
    await store.close_queue()
    assert await store.purge()
    assert await store.adopt(Identity("cluster-1", "uid-3"), "uid-4")
    assert await ends(backend) == 30


async def test_jobs_of_a_program_that_knows_no_timer_take_it_off(backend: RedisBackend) -> None:
    store = backend.store
    await put(store, new())
    await backend.redis.hset(backend.key("meta"), "safety", await backend.now() + 30 * DAY)
    for name in await backend.timers():
        await backend.redis.pexpire(backend.key(name), 30 * DAY)
    await store.sweep()
    assert not await backend.check_timers()


async def test_a_job_that_lost_its_place_keeps_it_off(backend: RedisBackend) -> None:
    store = backend.store
    [job_id] = await put(store, new())
    line = backend.key("ready:normal")
    place = await backend.redis.zscore(line, job_id)
    await backend.redis.zrem(line, job_id)
    await backend.advance(QUIET_MS)
    await store.sweep()
    assert set((await backend.timers()).values()) == {-1}
    await backend.redis.zadd(line, {job_id: place})
    assert (await look(store, job_id)).state is State.QUEUED
