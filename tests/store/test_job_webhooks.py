"""Receivers that clients name: which ends of jobs are written for them, and added receivers."""

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import CLIENT_RECEIVERS
from asyncendpoints_core.jobs.records import Attributes, Lock, NewJob, OnConflict, Priority
from asyncendpoints_core.store.deliveries import FanOut, NewDelivery
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import EnqueueStatus
from support.store.stores import DONE, Backend, hand, look, new, policy, put

CLIENTS = policy(webhooks=7, webhook_states=CLIENT_RECEIVERS)
LOCK = Lock(b"a lock's 16 byte", 3_600_000)
URLS = tuple(f"https://example.com/{number}" for number in range(9))


def named(url: str, *, key: str = "", lock: bool = True, body: bytes = b"{}") -> NewJob:
    attributes = Attributes(tags=("blue",), webhooks=(url,), lock=LOCK if lock else None)
    return new(attributes=attributes, key=key, body=body, on_conflict=OnConflict.RETURN)


async def complete_all(store: Store) -> None:
    worker = await hand(store, "ending")
    await store.settle([jobs.complete(job.claim, DONE) for job in await worker.take(500)])


async def test_only_ends_of_jobs_with_receivers_are_written(store: Store) -> None:
    await store.configure(CLIENTS)
    mine = named(URLS[0], lock=False)
    canceled = named(URLS[1], lock=False)
    await put(store, mine, canceled, new(), new(attributes=Attributes(tags=("red",))))
    await store.cancel([canceled.id])
    await complete_all(store)
    ends = {job.id: job for job in await store.webhook_events(10)}
    assert set(ends) == {mine.id, canceled.id}
    assert ends[mine.id].attributes.webhooks == (URLS[0],)


async def test_where_clients_name_none_any_more_nothing_is_written_for_theirs(store: Store) -> None:
    await store.configure(CLIENTS)
    await put(store, named(URLS[0], lock=False))
    only = policy(webhooks=8, webhook_states=7, webhook_jobs=("other",))
    await store.configure(only)
    await complete_all(store)
    assert await store.webhook_events(10) == []


@pytest.mark.parametrize("body", [b"{}", b"x" * 5_000])
async def test_a_receiver_is_added_to_the_job_that_answers(backend: Backend, body: bytes) -> None:
    store = backend.store
    await store.configure(CLIENTS)
    first = named(URLS[0], key="k", body=body)
    await put(store, first)
    before = await look(store, first.id)
    for again, status in (
        (named(URLS[1], body=body), EnqueueStatus.EXISTING),
        (named(URLS[2], key="k", lock=False, body=body), EnqueueStatus.REPLAYED),
        (named(URLS[1], body=body), EnqueueStatus.EXISTING),  # once is enough
    ):
        [answer] = await store.enqueue([again])
        assert (answer.status, answer.job and answer.job.id) == (status, first.id)
        assert answer.job
        assert answer.job.attributes.webhooks[: len(URLS[:2])] == URLS[:2]
    job = await look(store, first.id)
    assert job.attributes == Attributes(tags=("blue",), webhooks=URLS[:3], lock=LOCK)
    assert (job.revision, job.updated_ms) == (before.revision, before.updated_ms)
    worker = await hand(store)
    claimed = await worker.one()
    assert claimed.request.body == body
    [running] = await store.enqueue([named(URLS[3], body=body)])
    assert running.job
    assert running.job.attributes.webhooks == URLS[:4]
    await store.settle([jobs.complete(claimed.claim, DONE)])
    [end] = await store.webhook_events(10)
    assert end.attributes.webhooks == URLS[:4]


async def test_a_job_that_carried_nothing_gets_a_receiver(store: Store) -> None:
    await store.configure(CLIENTS)
    plain = new(key="k", body=b"y" * 100)
    await put(store, plain)
    [answer] = await store.enqueue([named(URLS[0], key="k", lock=False, body=b"y" * 100)])
    assert answer.status is EnqueueStatus.REPLAYED
    assert (await look(store, plain.id)).attributes == Attributes(webhooks=(URLS[0],))
    claimed = await (await hand(store)).one()
    assert claimed.request == plain.request


async def test_a_replacement_brings_its_own_key_and_receivers(backend: Backend) -> None:
    store = backend.store
    await store.configure(CLIENTS)
    first = named(URLS[0])
    await put(store, first)
    for attributes in (
        Attributes(key="b", webhooks=(URLS[1],), lock=LOCK),
        Attributes(tags=("red",), lock=LOCK),
    ):
        [answer] = await store.enqueue(
            [new(attributes=attributes, on_conflict=OnConflict.REPLACE, priority=Priority.HIGH)]
        )
        assert (answer.status, answer.job and answer.job.id) == (EnqueueStatus.REPLACED, first.id)
        assert (await look(store, first.id)).attributes == attributes
    await complete_all(store)
    assert await store.webhook_events(10) == []


async def test_a_final_job_gets_no_receiver(store: Store) -> None:
    await store.configure(CLIENTS)
    first = named(URLS[0], key="k")
    await put(store, first)
    await complete_all(store)
    [answer] = await store.enqueue([named(URLS[1], key="k", lock=False)])
    assert answer.job
    assert (answer.status, answer.job.attributes.webhooks) == (EnqueueStatus.REPLAYED, URLS[:1])
    assert len(await store.webhook_events(10)) == 1


async def test_a_job_has_eight_receivers_at_most(store: Store) -> None:
    await store.configure(CLIENTS)
    first = named(URLS[0], key="k")
    await put(store, first)
    await store.enqueue([named(url) for url in URLS[1:8]])
    for refused in (named(URLS[8]), named(URLS[8], key="k", lock=False)):
        [answer] = await store.enqueue([refused])
        assert answer.status is EnqueueStatus.RECEIVERS_FULL
        assert answer.job
        assert (answer.job.id, answer.job.attributes.webhooks) == (first.id, URLS[:8])
    [known] = await store.enqueue([named(URLS[7])])
    assert known.status is EnqueueStatus.EXISTING


async def test_a_delivery_carries_its_own_receiver_alone(store: Store) -> None:
    await store.configure(CLIENTS)
    await put(store, named(URLS[0], key="k"))
    await store.enqueue([named(URLS[1])])
    await complete_all(store)
    [end] = await store.webhook_events(10)
    deliveries = tuple(
        NewDelivery(bytes([number]) * 16, bytes([number]) * 8, "Job-Webhook", url)
        for number, url in enumerate(end.attributes.webhooks)
    )
    assert await store.fan_out(7, [FanOut(end, deliveries)]) == 1
    leased = await store.lease_deliveries(
        10, 1_000, probes=4, per_host=4, busy=[], expiry_ms=1_000_000
    )
    assert {each.url for each in leased.deliveries} == set(URLS[:2])
    for each in leased.deliveries:
        assert (each.webhook, each.job.id, each.job.state) == ("Job-Webhook", end.id, end.state)
        assert each.job.attributes.tags == ("blue",)
