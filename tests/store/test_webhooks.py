"""Ends of jobs and their deliveries, on both stores."""

import itertools
from collections.abc import Sequence

import pytest

from asyncendpoints_core.errors import InvalidCursor
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.jobs.records import Attributes, Job, JobError
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.deliveries import (
    MAX_DEAD,
    MAX_DELIVERIES_EXAMINED,
    MAX_DROPPED,
    MAX_RECEIVERS,
    SECRET_INVALID,
    Delivery,
    DeliveryEnd,
    DeliveryOutcome,
    DeliveryState,
    FanOut,
    Leased,
    ListedDelivery,
    NewDelivery,
)
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause
from support.redis.backend import RedisBackend
from support.store.stores import DONE, ERROR, Backend, hand, new, policy, put, state_of

WEBHOOKS = 77
ALL = policy(webhooks=WEBHOOKS, webhook_states=7)
LEASE_MS = 25_000
PROBE_MS = 1_800_000
EXPIRY_MS = 280_000_000
END = DeliveryEnd


def receiver(name: str, host: str = "") -> bytes:
    """Return the id of a receiver: of its host and its webhook."""
    return (host or name)[:4].ljust(4).encode() + name[:4].ljust(4).encode()


async def fan_out(store: Store, *receivers: bytes, webhook: str = "") -> list[Job]:
    """Make a delivery of each end for each receiver, of the webhook of its name by default."""
    ends = await store.webhook_events(500)
    made = [
        FanOut(
            job,
            tuple(
                NewDelivery(
                    job.id[8:] + one[4:] + job.revision.to_bytes(4), one, webhook or one.decode()
                )
                for one in receivers
            ),
        )
        for job in ends
    ]
    assert await store.fan_out(WEBHOOKS, made) == len(ends)
    return ends


async def lease(
    store: Store,
    limit: int = 16,
    *,
    probes: int = 4,
    busy: Sequence[bytes] = (),
    per_host: int = 4,
) -> Leased:
    return await store.lease_deliveries(
        limit, LEASE_MS, probes=probes, per_host=per_host, busy=busy, expiry_ms=EXPIRY_MS
    )


async def settle(
    store: Store, delivery: Delivery, end: DeliveryEnd, delay_ms: int = 0, status: int = 500
) -> bool:
    outcome = DeliveryOutcome(delivery.id, delivery.token, end, delay_ms, status)
    [applied] = await store.settle_deliveries([outcome], PROBE_MS)
    return applied


async def finish(store: Store, count: int = 1, worker: str = "w1") -> None:
    """Complete some new jobs."""
    own = await hand(store, worker)
    await put(store, *[new() for _ in range(count)])
    while taken := await own.take(500):
        await store.settle([jobs.complete(job.claim, DONE) for job in taken])
    await store.release_worker(worker, Cause.DRAINED)


async def fail_in_a_row(store: Store, backend: Backend, one: bytes, count: int) -> None:
    """Have a receiver fail so often, each time for another event."""
    for number in range(count):
        await finish(store, worker=f"f{number}{one.hex()}")
        await fan_out(store, one)
        [delivery] = (await lease(store)).deliveries
        assert await settle(store, delivery, END.FAILED, 3_600_000)


async def test_without_webhooks_nothing_is_written(store: Store) -> None:
    await finish(store)
    assert await store.webhook_events(10) == []
    status = await store.webhook_status()
    assert (status.pending, status.dead, status.oldest_ms, status.receivers) == (0, 0, 0, ())


async def test_every_verb_that_ends_a_job_writes_its_end(backend: Backend) -> None:
    store = backend.store
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, ttl_ms=60_000))
    worker = await hand(store)
    names = ("completed", "large", "failed", "timed-out", "canceled")
    ids = dict(zip(names, await put(store, *[new() for _ in names]), strict=True))
    taken = {job.job.id: job.claim for job in await worker.take()}
    claim = {name: taken[job_id] for name, job_id in ids.items()}
    await store.cancel([ids["canceled"]])  # requested: the worker ends it
    assert await store.webhook_events(10) == []
    await store.settle(
        [
            jobs.complete(claim["completed"], DONE),
            jobs.complete(claim["large"], jobs.Result("text/plain", b"x" * 5_000)),
            jobs.fail(claim["failed"], ERROR),
            jobs.timed_out(claim["timed-out"], ERROR, None),
            jobs.canceled(claim["canceled"]),
        ]
    )
    [ids["waiting"]] = await put(store, new())
    await store.cancel([ids["waiting"]])
    crashing = await hand(store, "crashing")
    await store.configure(
        policy(
            webhooks=WEBHOOKS,
            webhook_states=7,
            ttl_ms=60_000,
            retry=jobs_retry(max_crashes=0),
        )
    )
    [ids["crashed"]] = await put(store, new())
    await crashing.one()
    await store.release_worker("crashing", Cause.CRASH, how="signal 11")
    ids["expired"], ids["promoted"], ids["reconciled"] = await put(
        store, new(), new(ttl_ms=10, delay_ms=20), new(ttl_ms=3_600_000)
    )
    await backend.advance(60_001)
    await store.sweep()
    second = await hand(store, "w2")
    [job] = await second.take(5)
    assert job.job.id == ids["reconciled"]
    await store.cancel([job.job.id])
    assert await store.reconcile("w2", []) == 1
    ends = await store.webhook_events(50)
    assert {job.id: (job.state, job.revision) for job in ends} == {
        job_id: (found.job.state, found.job.revision)
        for job_id, found in zip(ids.values(), await store.get(list(ids.values())), strict=True)
        if found.job
    }
    assert len(ends) == len(ids)
    by_id = {job.id: job for job in ends}
    assert (error := by_id[ids["crashed"]].error) is not None
    assert "signal 11" in error.message
    assert by_id[ids["completed"]].completed_ms > 0


def jobs_retry(**changes: int) -> object:
    from asyncendpoints_core.jobs.retry import RetryPolicy

    return RetryPolicy(jitter="none", **changes)


async def test_a_job_that_expires_in_a_claim_writes_its_end(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    [job_id] = await put(store, new(delay_ms=10, ttl_ms=5))
    worker = await hand(store)
    await backend.advance(11)
    assert await worker.take() == []
    assert [job.id for job in await store.webhook_events(10)] == [job_id]


async def test_an_unreadable_record_writes_its_end(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    [job_id] = await put(store, new())
    await backend.spoil(job_id, b"no record")
    await store.cancel([job_id])
    assert await state_of(store, job_id) is State.FAILED
    [job] = await store.webhook_events(10)
    assert (job.id, job.error and job.error.code) == (job_id, "corrupt")


@pytest.mark.parametrize(("bits", "state"), [(1, "completed"), (2, "failed"), (4, "canceled")])
async def test_only_the_states_that_are_sent_are_written(
    store: Store, bits: int, state: str
) -> None:
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=bits))
    worker = await hand(store)
    await put(store, new(), new())
    first, second = await worker.take()
    await store.settle([jobs.complete(first.claim, DONE), jobs.fail(second.claim, ERROR)])
    [job_id] = await put(store, new())
    await store.cancel([job_id])
    [job] = await store.webhook_events(10)
    assert job.state.lower() == state


async def test_an_end_is_short_whatever_the_job_has(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    worker = await hand(store)
    await put(store, new())
    job = await worker.one()
    await store.progress([(job.claim, jobs.Progress(0.5, "p" * 400))])
    await store.settle([jobs.fail(job.claim, JobError("x" * 30, "é" * 1_000))])
    [end] = await store.webhook_events(10)
    assert end.error is not None
    assert end.error.code == "x" * 30
    assert 250 < len(end.error.message.encode()) <= 300
    assert (end.progress, end.attempts) == (None, ())


async def test_a_redrive_and_a_second_end_are_another_event(store: Store) -> None:
    await store.configure(ALL)
    [job_id] = await put(store, new())
    await store.cancel([job_id])
    await store.redrive([job_id])
    await store.cancel([job_id])
    first, second = await store.webhook_events(10)
    assert first.id == second.id == job_id
    assert first.revision < second.revision


async def test_an_end_is_fanned_out_once(store: Store) -> None:
    await store.configure(ALL)
    await finish(store, 3)
    [first, *_] = await store.webhook_events(1)
    ends = await store.webhook_events(10)
    assert (len(ends), ends[0]) == (3, first)
    made = [FanOut(job, (NewDelivery(job.id, receiver("a"), "a"),)) for job in ends]
    assert await store.fan_out(WEBHOOKS + 1, made) is None
    assert await store.fan_out(WEBHOOKS, made) == 3
    assert await store.fan_out(WEBHOOKS, made) == 0
    assert await store.webhook_events(10) == []
    leased = (await lease(store, per_host=9)).deliveries
    assert sorted(each.id for each in leased) == sorted(job.id for job in ends)
    assert {each.job for each in leased} == set(ends)
    assert {(each.webhook, each.url, each.tries) for each in leased} == {("a", "", 0)}


async def test_an_end_for_nobody_is_gone(store: Store) -> None:
    await store.configure(ALL)
    await finish(store)
    await fan_out(store)
    assert (await store.webhook_status()).pending == 0
    assert (await lease(store)).next_due_ms is None


async def test_a_lease_that_ends_is_due_again_under_the_same_id(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store)
    await fan_out(store, receiver("a"))
    [first] = (await lease(store)).deliveries
    waiting = await lease(store)
    assert (waiting.deliveries, waiting.next_due_ms) == ((), LEASE_MS)
    await backend.advance(LEASE_MS)
    [second] = (await lease(store)).deliveries
    assert (second.id, second.tries, second.token) == (first.id, 0, first.token + 1)
    assert not await settle(store, first, END.DELIVERED)
    assert (await store.webhook_status()).pending == 1
    assert await settle(store, second, END.DELIVERED)
    assert not await settle(store, second, END.DELIVERED)
    assert (await store.webhook_status()).pending == 0
    assert (await store.stats()).totals["webhooks_delivered"] == 1


async def test_a_failed_try_waits_for_its_delay(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store)
    await fan_out(store, receiver("a"))
    [first] = (await lease(store)).deliveries
    assert await settle(store, first, END.FAILED, 5_000)
    assert (await lease(store)).next_due_ms == 5_000
    [state] = (await store.webhook_status()).receivers
    assert (state.webhook, state.failures, state.status, state.pending) == ("a   a   ", 1, 500, 1)
    await backend.advance(5_000)
    [second] = (await lease(store)).deliveries
    assert (second.id, second.tries, second.probe) == (first.id, 1, False)
    assert await settle(store, second, END.DELIVERED, status=204)
    assert (await store.webhook_status()).receivers == ()


async def test_returned_deliveries_are_not_charged(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store)
    await fan_out(store, receiver("a"))
    [first] = (await lease(store)).deliveries
    assert await settle(store, first, END.RETURNED, 60_000, 0)
    [state] = (await store.webhook_status()).receivers
    assert (state.failures, state.pending) == (0, 1)
    await backend.advance(60_000)
    [second] = (await lease(store)).deliveries
    assert second.tries == 0


async def test_a_dead_delivery_is_kept_replayed_and_forgotten(backend: Backend) -> None:
    store = backend.store
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, failed_ms=1_000_000))
    await finish(store)
    await fan_out(store, receiver("a"))
    [first] = (await lease(store)).deliveries
    assert await settle(store, first, END.DEAD)
    status = await store.webhook_status()
    assert (status.pending, status.dead) == (0, 1)
    assert not await settle(store, first, END.DELIVERED)
    to_b = {first.webhook: receiver("b")}
    assert await store.replay_deliveries([first.id, b"?" * 16], to_b) == ["replayed", "missing"]
    assert await store.replay_deliveries([first.id], to_b) == ["pending"]
    [again] = (await lease(store)).deliveries
    assert (again.id, again.receiver, again.tries) == (first.id, receiver("b"), 0)
    assert await settle(store, again, END.DEAD)
    await backend.advance(1_000_001)
    await store.sweep()
    assert (await store.webhook_status()).dead == 0
    assert await store.replay_deliveries([first.id], to_b) == ["missing"]


async def test_of_too_many_dead_deliveries_the_oldest_are_forgotten(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = backend.store
    await store.configure(ALL)
    others = {b"dead%012d" % number: number for number in range(MAX_DEAD - 2)}
    if isinstance(backend, RedisBackend):
        await backend.redis.zadd(backend.key("deliveries:dead"), others)
    else:
        monkeypatch.setattr("asyncendpoints_core.store.memory.webhooks.MAX_DEAD", 2)
    made: list[Delivery] = []
    for name in ("a", "b", "c"):
        await finish(store, worker=name)
        await fan_out(store, receiver(name))
        made += (await lease(store)).deliveries
        assert await settle(store, made[-1], END.DEAD)
        await backend.advance(1)
        if isinstance(backend, RedisBackend):
            assert (await store.webhook_status()).dead <= MAX_DEAD
            if name == "b":  # its own ones are the oldest now
                await backend.redis.zadd(
                    backend.key("deliveries:dead"), dict.fromkeys(others, await backend.now())
                )
    if isinstance(backend, RedisBackend):
        assert (await store.webhook_status()).dead == MAX_DEAD
        await backend.redis.zrem(backend.key("deliveries:dead"), *others)
    to = {each.webhook: each.receiver for each in made}
    answers = await store.replay_deliveries([each.id for each in made], to)
    assert answers == ["missing", "replayed", "replayed"]


async def test_only_dead_deliveries_of_receivers_that_want_more_are_replayed(
    backend: Backend,
) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store)
    ends = {"dead": END.DEAD, "gone": END.GONE, "away": END.DEAD, "busy": END.FAILED}
    by_name = {name: receiver(name) for name in ends}
    await fan_out(store, *by_name.values())
    made = {each.webhook[:4]: each for each in (await lease(store)).deliveries}
    for name, end in ends.items():
        assert await settle(store, made[name], end, 60_000)
    receivers = {made[name].webhook: by_name[name] for name in ("dead", "gone", "busy")}
    ids = [made[name].id for name in ends]
    answers = await store.replay_deliveries(ids, receivers)
    assert answers == ["replayed", "gone", "unknown", "pending"]
    # Of a webhook that was changed since: another receiver, at the same host.
    changed = {made["gone"].webhook: b"gon2"}
    assert await store.replay_deliveries([made["gone"].id], changed) == ["replayed"]
    replayed = {each.receiver: each.id for each in (await lease(store)).deliveries}
    assert replayed == {
        by_name["dead"]: made["dead"].id,
        by_name["gone"][:4] + b"gon2": made["gone"].id,
    }
    assert (await store.webhook_status()).dead == 1
    assert await store.replay_deliveries([], receivers) == []


async def listed(
    store: Store, state: DeliveryState, limit: int = 500, webhook: str = ""
) -> list[ListedDelivery]:
    """Return all deliveries of a listing, page by page."""
    found: list[ListedDelivery] = []
    cursor = None
    while True:
        page = await store.list_deliveries(state, limit, cursor, webhook)
        assert len(page.deliveries) <= limit
        found += page.deliveries
        cursor = page.cursor
        if cursor is None:
            return found


async def test_deliveries_are_listed_by_state(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    assert await listed(store, DeliveryState.PENDING) == []
    assert await listed(store, DeliveryState.DEAD) == []
    await finish(store, 3)
    jobs_ = await fan_out(store, receiver("b"), receiver("a"))
    begun = await backend.now()
    pending = await listed(store, DeliveryState.PENDING)
    assert [each.webhook for each in pending] == ["a   a   "] * 3 + ["b   b   "] * 3
    assert {each.job for each in pending} == set(jobs_)
    assert {(each.created_ms, each.due_ms, each.dead_ms, each.tries) for each in pending} == {
        (begun, begun, 0, 0)
    }
    given_up = []
    for each in (await lease(store)).deliveries:
        await backend.advance(1_000)
        if each.webhook.startswith("a"):
            given_up.append(each.id)
            await settle(store, each, END.DEAD, status=503)
        else:
            await settle(store, each, END.FAILED, 60_000, 500)
    pending = await listed(store, DeliveryState.PENDING)
    assert [(each.tries, each.status) for each in pending] == [(1, 500)] * 3
    assert [each.due_ms for each in pending] == sorted(each.due_ms for each in pending)
    dead = await listed(store, DeliveryState.DEAD)
    assert [each.id for each in dead] == given_up[::-1]
    assert all(each.dead_ms > begun and each.status == 503 for each in dead)


@pytest.mark.parametrize("state", list(DeliveryState))
async def test_pages_of_deliveries(backend: Backend, state: DeliveryState) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store, 7)
    await fan_out(store, receiver("a"), receiver("b"))
    if state is DeliveryState.DEAD:
        while leased := (await lease(store)).deliveries:
            for each in leased:
                await settle(store, each, END.DEAD)
    whole = await listed(store, state)
    assert len({each.id for each in whole}) == 14
    for limit in (1, 3, 14):
        assert await listed(store, state, limit) == whole
    of_b = [each for each in whole if each.webhook.startswith("b")]
    assert await listed(store, state, 3, "b   b   ") == of_b
    assert await listed(store, state, 3, "c") == []
    cursor = (await store.list_deliveries(state, 3, None)).cursor
    other = next(each for each in DeliveryState if each is not state)
    for wrong in ((other, cursor, ""), (state, cursor, "b"), (state, "AAAA", ""), (state, "é", "")):
        with pytest.raises(InvalidCursor):
            await store.list_deliveries(wrong[0], 3, wrong[1], wrong[2])


async def test_a_page_of_deliveries_examines_a_bounded_number(backend: Backend) -> None:
    store = backend.store
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, max_depth=2_000))
    await finish(store, 300)
    await fan_out(store, receiver("a"), receiver("b"), receiver("c"))
    page = await store.list_deliveries(DeliveryState.PENDING, 500, None)
    assert (len(page.deliveries), page.cursor is None) == (MAX_DELIVERIES_EXAMINED, False)
    # What waits for receivers of other webhooks is not examined one by one.
    pending = await store.list_deliveries(DeliveryState.PENDING, 10, None, "c   c   ")
    assert len(pending.deliveries) == 10
    assert len(await listed(store, DeliveryState.PENDING, 500, "c   c   ")) == 300
    leased = [one for _ in range(3) for one in (await lease(store, 300, per_host=300)).deliveries]
    for name in ("c", "b", "a"):
        await backend.advance(1)
        ends = [
            DeliveryOutcome(one.id, one.token, END.DEAD)
            for one in leased
            if one.receiver == receiver(name)
        ]
        assert all(await store.settle_deliveries(ends, PROBE_MS))
    dead = await store.list_deliveries(DeliveryState.DEAD, 10, None, "c   c   ")
    assert (dead.deliveries, dead.cursor is None) == ((), False)
    assert len(await listed(store, DeliveryState.DEAD, 500, "c   c   ")) == 300


async def test_the_status_names_the_webhooks_that_wait(store: Store) -> None:
    await store.configure(ALL)
    await finish(store, 2)
    await fan_out(store, receiver("a"))
    [state] = (await store.webhook_status()).receivers
    assert (state.webhook, state.pending, state.health) == ("a   a   ", 2, "Delivering")


async def test_the_oldest_is_found_behind_newer_deliveries(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store)
    made = await backend.now()
    one = receiver("a")
    await fan_out(store, one)
    [oldest] = (await lease(store)).deliveries
    assert await settle(store, oldest, END.FAILED, 3_600_000)
    await backend.advance(60_000)
    await finish(store, worker="w2")
    await fan_out(store, one)
    assert (await store.webhook_status()).oldest_ms == made


async def test_a_failing_receiver_is_forgotten_once_it_gets_nothing(backend: Backend) -> None:
    store = backend.store
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, failed_ms=1_000_000))
    idle, gone, busy = receiver("idle"), receiver("gone"), receiver("busy")
    await finish(store)
    await fan_out(store, idle, gone, busy)
    ends = {idle: END.DEAD, gone: END.GONE, busy: END.FAILED}
    for each in (await lease(store)).deliveries:
        assert await settle(store, each, ends[each.receiver], 3_600_000)

    async def known() -> set[bytes]:
        return {state.receiver for state in (await store.webhook_status()).receivers}

    await backend.advance(999_999)
    await store.sweep()
    assert await known() == {idle, gone, busy}
    await backend.advance(1)
    await store.sweep()
    assert await known() == {gone, busy}


async def test_receivers_that_are_forgotten_make_room_for_others(backend: Backend) -> None:
    store = backend.store
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, failed_ms=10_000))

    async def fail_once(first: int, count: int) -> None:
        names = [b"%08d" % number for number in range(first, first + count)]
        for at in range(0, count, 200):
            await finish(store, worker=f"w{first + at}-{await backend.now()}")
            await fan_out(store, *names[at : at + 200], webhook=CLIENTS)
        while leased := (await lease(store, 500, per_host=500)).deliveries:
            for each in leased:
                assert await settle(store, each, END.DEAD)

    await fail_once(0, MAX_RECEIVERS)
    await fail_once(MAX_RECEIVERS, 1)
    late = b"%08d" % MAX_RECEIVERS
    states = (await store.webhook_status()).receivers
    assert len(states) == MAX_RECEIVERS
    assert late not in {state.receiver for state in states}
    await backend.advance(10_000)
    for _ in range(30):  # a bounded number each
        await store.sweep()
    assert (await store.webhook_status()).receivers == ()
    await fail_once(MAX_RECEIVERS, 1)
    [state] = (await store.webhook_status()).receivers
    assert (state.receiver, state.failures) == (late, 1)


async def test_receivers_of_clients_take_no_place_of_a_webhook(backend: Backend) -> None:
    """However many of clients' receivers fail: one that answers 410 gets nothing more."""
    store = backend.store
    await store.configure(ALL)
    for first in range(0, MAX_RECEIVERS, 200):
        await finish(store, worker=f"w{first}")
        names = [b"%08d" % number for number in range(first, first + 200)]
        await fan_out(store, *names, webhook=CLIENTS)
        while leased := (await lease(store, 500, per_host=500)).deliveries:
            for each in leased:
                assert await settle(store, each, END.DEAD)
    await finish(store, worker="last")
    await fan_out(store, receiver("a"))
    [delivery] = (await lease(store)).deliveries
    assert await settle(store, delivery, END.GONE, status=410)
    [state] = [one for one in (await store.webhook_status()).receivers if one.gone]
    assert state.receiver == receiver("a")


async def test_after_five_failures_there_is_one_probe_at_a_time(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    bad, good = receiver("bad"), receiver("good")
    await fail_in_a_row(store, backend, bad, 5)
    await finish(store, 8)
    await fan_out(store, bad, good)
    assert {each.receiver for each in (await lease(store)).deliveries} == {good}
    await backend.advance(PROBE_MS)  # the next probe is due
    none = await lease(store, probes=0)
    assert {each.receiver for each in none.deliveries} == {good}
    await backend.advance(1_000)
    leased = (await lease(store, busy=[good] * 4)).deliveries
    [probe] = [each for each in leased if each.receiver == bad]
    assert probe.probe
    assert [e for e in (await lease(store)).deliveries if e.receiver == bad] == []
    assert await settle(store, probe, END.DELIVERED)
    again = [each for each in (await lease(store)).deliveries if each.receiver == bad]
    assert len(again) == 4
    assert not any(each.probe for each in again)


async def test_what_waits_too_long_for_a_failing_receiver_is_dead(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    bad = receiver("bad")
    await fail_in_a_row(store, backend, bad, 5)
    await finish(store, 3)
    await fan_out(store, bad)
    await backend.advance(EXPIRY_MS + PROBE_MS)
    assert (await lease(store)).deliveries == ()
    status = await store.webhook_status()
    assert (status.pending, status.dead) == (0, 8)


async def test_a_webhook_that_is_gone_stops(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store, 2)
    await fan_out(store, receiver("a"))
    first, second = (await lease(store)).deliveries
    assert await settle(store, first, END.GONE, status=410)
    assert await settle(store, second, END.RETURNED, status=0)
    await lease(store)
    status = await store.webhook_status()
    assert (status.pending, status.dead) == (0, 2)
    [state] = status.receivers
    assert (state.gone, state.status) == (True, 410)


async def test_what_was_sent_before_a_410_does_not_bring_the_webhook_back(
    backend: Backend,
) -> None:
    store = backend.store
    await store.configure(ALL)
    await finish(store, 3)
    await fan_out(store, receiver("a"))
    first, second, _ = (await lease(store)).deliveries
    assert await settle(store, first, END.GONE, status=410)
    assert await settle(store, second, END.DELIVERED, status=200)
    [state] = (await store.webhook_status()).receivers
    assert (state.gone, state.status) == (True, 410)
    await finish(store, worker="w2")
    await fan_out(store, receiver("a"))
    await backend.advance(LEASE_MS)
    assert (await lease(store)).deliveries == ()


@pytest.mark.parametrize("status", [SECRET_INVALID, 0], ids=["no secret", "removed webhook"])
async def test_what_cannot_be_sent_is_looked_at_once_in_a_while(
    backend: Backend, status: int
) -> None:
    """Not each of a receiver's deliveries is looked at again and again."""
    store = backend.store
    await store.configure(ALL)
    await finish(store, 50)
    await fan_out(store, receiver("a"), receiver("b"))
    looked_at = 0
    for _ in range(10):
        for each in (await lease(store)).deliveries:
            looked_at += each.receiver == receiver("a")
            end = END.RETURNED if each.receiver == receiver("a") else END.DELIVERED
            assert await settle(store, each, end, 30_000, status)
        await backend.advance(2_000)
    assert looked_at == 4
    await backend.advance(30_000)
    assert len((await lease(store)).deliveries) == 8


async def test_a_host_and_a_call_have_their_bounds(store: Store) -> None:
    await store.configure(ALL)
    await finish(store, 10)
    first, second, other = receiver("a", "host"), receiver("b", "host"), receiver("c")
    await fan_out(store, first, second, other)
    busy = [first]
    leased = (await lease(store, busy=busy)).deliveries
    hosts = [each.receiver[:4] for each in leased]
    assert (hosts.count(b"host"), hosts.count(b"c   ")) == (3, 4)
    assert len((await lease(store, 2, per_host=9)).deliveries) == 2


async def test_receivers_take_turns(backend: Backend) -> None:
    store = backend.store
    await store.configure(ALL)
    large, small = receiver("a"), receiver("z")
    await finish(store, 50)
    await fan_out(store, large)
    await finish(store, worker="w2")
    await fan_out(store, small)
    order = []
    for _ in range(3):
        leased = (await lease(store, 4, per_host=4)).deliveries
        order += [each.receiver for each in leased]
        for each in leased:
            await settle(store, each, END.DELIVERED)
        await backend.advance(1)
    assert small in order


async def test_too_many_drop_the_oldest_of_the_receiver_with_most(store: Store) -> None:
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, webhook_pending=10))
    few, many = receiver("few"), receiver("many")
    await finish(store, 2)
    await fan_out(store, few)
    await finish(store, 6, worker="w2")
    await fan_out(store, many)
    await finish(store, 5, worker="w3")
    status = await store.webhook_status()
    assert status.pending == 10
    assert {each.receiver: each.pending for each in status.receivers} == {few: 2, many: 4}
    assert (await store.stats()).totals["webhooks_dropped"] == 3
    await finish(store, 20, worker="w4")
    assert (await store.webhook_status()).pending == 10


async def test_jobs_of_no_webhook_displace_no_event(store: Store) -> None:
    wanted = policy(
        webhooks=WEBHOOKS, webhook_states=15, webhook_jobs=("report", "mail"), webhook_pending=10
    )
    assert await store.configure(wanted) == wanted
    await finish(store, 3)
    own = await hand(store, "w9")
    carrying = Attributes(webhooks=("https://example.com/",))  # named by a client
    await put(store, *[new("bulk") for _ in range(20)], new("bulk", attributes=carrying))
    taken = await own.take(500)
    await store.settle([jobs.complete(job.claim, DONE) for job in taken])
    ended = await store.webhook_events(100)
    assert sorted(job.name for job in ended) == ["bulk", "report", "report", "report"]
    assert (await store.stats()).totals["webhooks_dropped"] == 0


async def test_a_lower_limit_drops_in_steps(store: Store) -> None:
    await store.configure(ALL)
    for number in range(25):
        await finish(store, 100, worker=f"w{number}")
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, webhook_pending=10))
    pending = []
    for worker in ("x", "y"):
        await finish(store, worker=worker)
        pending.append((await store.webhook_status()).pending)
    assert pending == [2_501 - MAX_DROPPED, 10]


async def test_a_result_is_kept_for_its_first_try(backend: Backend) -> None:
    store = backend.store
    await store.configure(policy(webhooks=WEBHOOKS, webhook_states=7, completed_ms=1_000))
    await finish(store)
    [end] = await store.webhook_events(10)
    await backend.advance(1_001)
    await store.sweep()
    assert await state_of(store, end.id) is State.COMPLETED
    await fan_out(store, receiver("a"))
    await store.sweep()
    assert await state_of(store, end.id) is State.COMPLETED
    [delivery] = (await lease(store)).deliveries
    await settle(store, delivery, END.FAILED, 5_000)
    await store.sweep()
    assert await state_of(store, end.id) is None
    # Not for ever: an hour beyond its retention.
    await finish(store, worker="w2")
    [end] = await store.webhook_events(10)
    for ms, there in ((3_600_000, True), (1_002, False)):
        await backend.advance(ms)
        await store.sweep()
        assert (await state_of(store, end.id) is not None) == there
    assert len(await store.webhook_events(10)) == 1


async def test_no_more_finished_jobs_are_kept_for_a_first_try_than_any(backend: Backend) -> None:
    store = backend.store
    await store.configure(
        policy(webhooks=WEBHOOKS, webhook_states=7, completed_ms=1_000, max_finished=3)
    )
    await finish(store, 8)
    await backend.advance(1_001)
    await store.sweep()
    assert (await store.stats()).counts[State.COMPLETED] == 3
    assert len(await store.webhook_events(10)) == 8


async def test_without_webhooks_any_more_what_waits_is_dropped(store: Store) -> None:
    await store.configure(ALL)
    await finish(store, 2)
    await fan_out(store, receiver("a"))
    await finish(store, 2, worker="w2")
    assert (await store.webhook_status()).pending == 4
    await store.configure(policy())
    assert (await store.webhook_status()).pending == 0
    await finish(store, worker="w3")
    assert await store.webhook_events(10) == []
    await store.configure(ALL)
    await finish(store, worker="w4")
    assert len(await store.webhook_events(10)) == 1


async def test_a_batch_larger_than_a_call_is_fanned_out_in_order(store: Store) -> None:
    await store.configure(ALL)
    await finish(store, 12)
    found = []
    for _ in itertools.count():
        ends = await store.webhook_events(5)
        if not ends:
            break
        found += ends
        await store.fan_out(WEBHOOKS, [FanOut(job, ()) for job in ends])
    assert len(found) == 12
    assert len({job.id for job in found}) == 12
