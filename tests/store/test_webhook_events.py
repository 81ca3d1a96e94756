"""What an event has of its job, on both stores: all that receivers get, in at most 1 KiB."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import CLIENT_RECEIVERS
from asyncendpoints_core.jobs.records import Attributes, Job, JobError, Lock
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.actions import ActionKind, ActionState, NewAction
from asyncendpoints_core.store.deliveries import MAX_EVENT_BYTES, Delivery, FanOut, NewDelivery
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.record_layout import DELIVERY
from support.redis.backend import RedisBackend
from support.store.stores import Backend, hand, new, policy, put

WEBHOOKS = 77
NAMED = policy(webhooks=WEBHOOKS, webhook_states=7 | CLIENT_RECEIVERS)


async def fan_out(store: Store) -> Job:
    """Make one delivery of the only event."""
    [end] = await store.webhook_events(10)
    new_delivery = NewDelivery(b"d" * 16, b"receiver", "hook")
    assert await store.fan_out(WEBHOOKS, [FanOut(end, (new_delivery,))]) == 1
    return end


async def lease(store: Store) -> Delivery:
    leased = await store.lease_deliveries(
        1, 25_000, probes=4, per_host=4, busy=(), expiry_ms=280_000_000
    )
    [delivery] = leased.deliveries
    return delivery


async def act(store: Store, kind: ActionKind, job_id: JobId) -> None:
    begun = await store.begin_action(NewAction(ids.new(1), kind, ids=(job_id,)))
    while (action := await store.step_action(begun.action.id)) is not None:
        if action.state is not ActionState.RUNNING:
            assert action.done == 1
            return


LARGEST = Attributes(
    tags=tuple(f"{number:064}" for number in range(10)),
    key="k" * 64,
    lock=Lock(b"a lock's 16 byte", 3_600_000),
    subject="s" * 255,
    webhooks=tuple(f"https://example.com/{number:01980}" for number in range(8)),
)
ORIGINS = {
    "enqueued": Attributes(parent=JobId(b"p" * 16)),
    "scheduled": Attributes(schedule="s" * 63, scheduled_ms=1_700_000_000_000),
}


def largest(origin: str) -> jobs.NewJob:
    """Return a job with everything at its maximum; `origin`: what made it."""
    parent, schedule = ORIGINS[origin].parent, ORIGINS[origin].schedule
    trace = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "t" * 512,
    }
    plain = new("n" * 100, ttl_ms=60_000_000)
    return msgspec.structs.replace(
        plain,
        attributes=msgspec.structs.replace(
            LARGEST,
            parent=parent,
            schedule=schedule,
            scheduled_ms=ORIGINS[origin].scheduled_ms,
        ),
        request=msgspec.structs.replace(plain.request, headers=trace),
    )


async def fail_one(store: Store, made: jobs.NewJob, error: JobError, worker: str = "w1") -> None:
    await put(store, made)
    job = await (await hand(store, worker)).one()
    await store.settle([jobs.fail(job.claim, error)])


CODES = ["worker-crashed", "c" * 255, "é" * 127]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("code", CODES)
async def test_an_entry_of_the_outbox_is_small(redis_url: str, origin: str, code: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    store = backend.store
    await store.configure(NAMED)
    await fail_one(store, largest(origin), JobError(code, "é" * 1_000))
    [entry] = await backend.redis.hvals(backend.key("outbox:heads"))
    assert len(entry) <= MAX_EVENT_BYTES
    # All there is of the end.
    assert await backend.redis.exists(backend.key("outbox:receivers")) == 0
    await fan_out(store)
    [delivery] = await backend.redis.hvals(backend.key("deliveries"))
    assert len(delivery) <= MAX_EVENT_BYTES + DELIVERY.size + len("hook")
    await backend.close()


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("code", CODES)
async def test_an_end_shows_what_receivers_get_however_large_the_job(
    store: Store, origin: str, code: str
) -> None:
    await store.configure(NAMED)
    made = largest(origin)
    await fail_one(store, made, JobError(code, "é" * 1_000))
    end = await fan_out(store)
    [found] = await store.get([made.id])
    assert found.job
    shown = msgspec.structs.replace(made.attributes, lock=None, subject="")
    assert (end.name, end.attributes) == (made.name, shown)
    assert end.error
    assert end.error.code == (code if len(code) < 100 else code[: len(end.error.code)])
    assert end.error.code
    assert (end.priority, end.max_attempts) == (made.priority, made.max_attempts)
    for field in ("revision", "created_ms", "started_ms", "completed_ms", "expires_at_ms"):
        assert getattr(end, field) == getattr(found.job, field)
    delivery = await lease(store)
    kept = msgspec.structs.replace(shown, webhooks=())
    assert delivery.job == msgspec.structs.replace(end, attributes=kept)


async def removed(backend: Backend, made: jobs.NewJob) -> None:
    await backend.store.configure(msgspec.structs.replace(NAMED, max_finished=0))
    await backend.store.sweep()


async def deleted(backend: Backend, made: jobs.NewJob) -> None:
    await backend.store.delete([made.id])


async def purged(backend: Backend, made: jobs.NewJob) -> None:
    await act(backend.store, ActionKind.PURGE, made.id)


async def retried(backend: Backend, made: jobs.NewJob) -> None:
    await act(backend.store, ActionKind.RETRY, made.id)


async def redriven(backend: Backend, made: jobs.NewJob) -> None:
    await backend.store.redrive([made.id])


async def redriven_and_named_again(backend: Backend, made: jobs.NewJob) -> None:
    await backend.store.redrive([made.id])
    other = msgspec.structs.replace(
        made.attributes, webhooks=("https://example.com/later",), subject=""
    )
    again = msgspec.structs.replace(
        new("again", attributes=other), on_conflict=jobs.OnConflict.RETURN
    )
    [answer] = await backend.store.enqueue([again])
    assert answer.job
    assert answer.job.attributes.webhooks == (*made.attributes.webhooks, *other.webhooks)


async def redriven_and_replaced(backend: Backend, made: jobs.NewJob) -> None:
    await backend.store.redrive([made.id])
    other = msgspec.structs.replace(made.attributes, webhooks=("https://example.com/later",))
    again = msgspec.structs.replace(
        new("again", attributes=other), on_conflict=jobs.OnConflict.REPLACE
    )
    [answer] = await backend.store.enqueue([again])
    assert answer.job
    assert answer.job.id == made.id
    assert answer.job.attributes.webhooks == other.webhooks


@pytest.mark.parametrize(
    "change",
    [removed, deleted, purged, retried, redriven, redriven_and_named_again, redriven_and_replaced],
)
async def test_an_end_keeps_its_receivers_whatever_becomes_of_the_job(
    backend: Backend, change: Callable[[Backend, jobs.NewJob], Awaitable[None]]
) -> None:
    store = backend.store
    await store.configure(NAMED)
    urls = ("https://example.com/1", "https://example.com/2")
    made = new(attributes=Attributes(webhooks=urls, lock=Lock(b"a lock's 16 byte", 3_600_000)))
    await put(store, made)
    await store.cancel([made.id])
    await change(backend, made)
    [end] = await store.webhook_events(10)
    assert (end.id, end.state, end.attributes.webhooks) == (made.id, State.CANCELED, urls)
    await fan_out(store)
    assert await store.webhook_events(10) == []
    delivery = await lease(store)
    assert (delivery.job.id, delivery.job.attributes.webhooks) == (made.id, ())
