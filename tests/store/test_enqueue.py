"""Submission: what is created, what is refused, and that each is decided atomically."""

import asyncio
from collections import Counter

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import EnqueueStatus
from support.store.stores import DONE, START_MS, Backend, hand, look, new, policy, put


async def test_a_new_job_is_as_the_contract_says(backend: Backend, store: Store) -> None:
    one = new(priority=Priority.LOW, max_attempts=7)
    [answer] = await store.enqueue([one])
    job = answer.job
    now = await backend.now()
    assert answer.status is EnqueueStatus.CREATED
    assert job is not None
    assert job == await look(store, one.id)
    assert (job.id, job.name, job.state, job.priority) == (
        one.id,
        "report",
        State.QUEUED,
        Priority.LOW,
    )
    assert (job.attempt, job.max_attempts, job.crashes, job.releases) == (0, 7, 0, 0)
    assert (job.created_ms, job.updated_ms, job.started_ms, job.completed_ms) == (now, now, 0, 0)
    assert job.expires_at_ms == now + policy().ttl_ms
    assert (job.error, job.progress, job.attempts, job.suspect) == (None, None, (), False)


async def test_the_request_comes_back_byte_for_byte(store: Store) -> None:
    bodies = [b"", b"\x00\xff\r\n", "snow ☃ 語".encode(), b"x" * 1023, b"y" * 1024, b"z" * 300_000]
    news = [new(body=body) for body in bodies]
    strange = jobs.Request(
        "DELETE",
        "/a/%20b",
        "q=1&q=é&empty=",
        {"id": "ß", "other": ""},
        {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x-utf": "日本", "x-e": ""},
        "text/x-unheard-of; charset=koi8-r",
        b"body",
    )
    news.append(jobs.NewJob(ids.new(START_MS), "näme", strange, 1))
    await put(store, *news)
    worker = await hand(store)
    taken = {job.job.id: job for job in await worker.take(100)}
    assert {job_id: job.request for job_id, job in taken.items()} == {
        one.id: one.request for one in news
    }
    assert taken[news[-1].id].job.traceparent == strange.headers["traceparent"]
    assert taken[news[-1].id].job.name == "näme"


async def test_nothing_the_caller_changes_afterwards_reaches_the_store(store: Store) -> None:
    headers = {"x-tenant": "blue"}
    request = jobs.Request("POST", "/a", headers=headers)
    await put(store, jobs.NewJob(ids.new(START_MS), "report", request, 1))
    headers["x-tenant"] = "red"
    worker = await hand(store)
    taken = await worker.one()
    assert taken.request.headers == {"x-tenant": "blue"}
    assert isinstance(taken.request.headers, dict)
    taken.request.headers["x-tenant"] = "green"
    assert (await worker.store.claim("w1", 1, 1)).jobs[0].request.headers == {"x-tenant": "blue"}


async def test_jobs_with_equal_requests_share_nothing_that_handlers_change(store: Store) -> None:
    for _ in range(2):
        request = jobs.Request("POST", "/a", route_params={"id": "1"}, headers={"x-tenant": "blue"})
        await put(store, jobs.NewJob(ids.new(START_MS), "report", request, 1))
    worker = await hand(store)
    first, second = await worker.take()
    for mapping in (first.request.headers, first.request.route_params):
        assert isinstance(mapping, dict)
        mapping["added"] = "x"
    assert second.request.headers == {"x-tenant": "blue"}
    assert second.request.route_params == {"id": "1"}


async def test_a_delayed_job_waits_and_then_stands_at_the_tail(
    backend: Backend, store: Store
) -> None:
    [late] = await put(store, new(delay_ms=5_000))
    job = await look(store, late)
    now = await backend.now()
    assert (job.state, job.not_before_ms) == (State.SCHEDULED, now + 5_000)
    assert job.expires_at_ms == now + 5_000 + policy().ttl_ms
    [early] = await put(store, new())
    worker = await hand(store)
    first = await worker.claim()
    assert [taken.job.id for taken in first.jobs] == [early]
    assert first.next_due_ms == 5_000
    await backend.advance(4_999)
    assert await worker.take() == []
    await backend.advance(1)
    assert [taken.job.id for taken in await worker.take()] == [late]


async def test_ahead_counts_the_jobs_before_it_in_its_own_line(store: Store) -> None:
    answers = await store.enqueue(
        [
            new(),
            new(),
            new(priority=Priority.HIGH),
            new(priority=Priority.HIGH),
            new(),
            new(delay_ms=9),
        ]
    )
    assert [answer.position.ahead for answer in answers] == [0, 1, 0, 1, 2, 0]
    found = await store.get([answer.job.id for answer in answers if answer.job])
    assert [one.position.ahead for one in found] == [0, 1, 0, 1, 2, 0]


async def test_the_same_id_sent_again_is_the_same_job(store: Store) -> None:
    one = new()
    [first] = await store.enqueue([one])
    worker = await hand(store)
    await worker.take()
    [again] = await store.enqueue([one])
    assert again.status is EnqueueStatus.CREATED
    assert again.job == await look(store, one.id)
    assert again.job != first.job
    twice = new()
    assert [a.status for a in await store.enqueue([twice, twice])] == [EnqueueStatus.CREATED] * 2
    assert (await store.stats()).totals["created"] == 2


async def test_a_key_belongs_to_its_first_request(store: Store) -> None:
    one = new(key="k", fingerprint=b"one")
    await put(store, one)
    other, same = new(key="k", fingerprint=b"two"), new(key="k", fingerprint=b"one")
    mismatch, replay, fresh = await store.enqueue([other, same, new(key="l", fingerprint=b"one")])
    assert (mismatch.status, mismatch.job) == (EnqueueStatus.MISMATCH, None)
    assert replay.status is EnqueueStatus.REPLAYED
    assert replay.job == await look(store, one.id)
    assert fresh.status is EnqueueStatus.CREATED
    missing = await store.get([other.id, same.id])
    assert [found.job for found in missing] == [None, None]


async def test_a_key_twice_in_one_batch_makes_one_job(store: Store) -> None:
    answers = await store.enqueue([new(key="k"), new(key="k"), new(key="k", fingerprint=b"x")])
    assert [answer.status for answer in answers] == [
        EnqueueStatus.CREATED,
        EnqueueStatus.REPLAYED,
        EnqueueStatus.MISMATCH,
    ]


async def test_of_many_at_once_with_one_key_one_is_created(store: Store) -> None:
    answers = await asyncio.gather(*(store.enqueue([new(key="k")]) for _ in range(50)))
    statuses = Counter(answer.status for [answer] in answers)
    assert statuses == {EnqueueStatus.CREATED: 1, EnqueueStatus.REPLAYED: 49}
    assert len({answer.job.id for [answer] in answers if answer.job}) == 1


async def test_a_key_lives_its_time_and_as_long_as_its_job(backend: Backend, store: Store) -> None:
    await store.configure(policy(idempotency_ms=10_000, completed_ms=30_000))
    [first] = await put(store, new(key="k"))
    worker = await hand(store)
    await backend.advance(1_000)
    await worker.settle(jobs.complete((await worker.one()).claim, DONE))
    await backend.advance(20_000)  # past the key's time, not past the job's
    await store.sweep()
    [replay] = await store.enqueue([new(key="k")])
    assert replay.status is EnqueueStatus.REPLAYED
    assert replay.job is not None
    assert (replay.job.id, replay.job.state) == (first, State.COMPLETED)
    await backend.advance(10_000)
    assert (await store.sweep()).removed == 1
    [fresh] = await store.enqueue([new(key="k")])
    assert fresh.status is EnqueueStatus.CREATED


async def test_a_key_outlives_a_job_that_was_deleted_early(backend: Backend, store: Store) -> None:
    await store.configure(policy(idempotency_ms=10_000))
    [first] = await put(store, new(key="k"))
    await store.cancel([first])
    await store.delete([first])
    [replay] = await store.enqueue([new(key="k")])
    assert (replay.status, replay.job) == (EnqueueStatus.REPLAYED, None)
    [mismatch] = await store.enqueue([new(key="k", fingerprint=b"x")])
    assert mismatch.status is EnqueueStatus.MISMATCH
    await backend.advance(10_000)
    [fresh] = await store.enqueue([new(key="k", fingerprint=b"x")])
    assert fresh.status is EnqueueStatus.CREATED
    await store.sweep()
    [again] = await store.enqueue([new(key="k", fingerprint=b"x")])
    assert again.status is EnqueueStatus.REPLAYED


async def test_depth_counts_queued_and_scheduled_only(store: Store) -> None:
    await store.configure(policy(max_depth=3))
    await put(store, new(), new(), new(delay_ms=1_000))
    refused = new(key="k")
    [full] = await store.enqueue([refused])
    assert (full.status, full.job) == (EnqueueStatus.FULL, None)
    assert (await store.get([refused.id]))[0].job is None
    worker = await hand(store)
    await worker.one()
    # The refusal bound no key: the same one is new now.
    [created] = await store.enqueue([new(key="k", fingerprint=b"other")])
    assert created.status is EnqueueStatus.CREATED


async def test_a_replay_is_answered_when_full(store: Store) -> None:
    await store.configure(policy(max_depth=1))
    one = new(key="k")
    await put(store, one)
    answers = await store.enqueue([new(key="k"), one, new(key="k", fingerprint=b"x"), new()])
    assert [answer.status for answer in answers] == [
        EnqueueStatus.REPLAYED,
        EnqueueStatus.CREATED,
        EnqueueStatus.MISMATCH,
        EnqueueStatus.FULL,
    ]


@pytest.mark.parametrize("batch", [1, 7])
async def test_of_many_at_once_exactly_max_depth_are_accepted(store: Store, batch: int) -> None:
    await store.configure(policy(max_depth=23))
    calls = [store.enqueue([new() for _ in range(batch)]) for _ in range(60 // batch)]
    answers = [answer for answers in await asyncio.gather(*calls) for answer in answers]
    statuses = Counter(answer.status for answer in answers)
    assert statuses[EnqueueStatus.CREATED] == 23
    assert statuses[EnqueueStatus.FULL] == len(answers) - 23
    assert (await store.stats()).counts[State.QUEUED] == 23


async def test_bytes_bound_the_bodies_of_unfinished_jobs(store: Store) -> None:
    await store.configure(policy(max_bytes=10_000))
    big, more = new(body=b"x" * 6_000), new(body=b"x" * 6_000)
    await put(store, big)
    [full, small] = await store.enqueue([more, new(body=b"x" * 4_000)])
    assert (full.status, small.status) == (EnqueueStatus.FULL, EnqueueStatus.CREATED)
    assert (await store.stats()).bytes == 10_000
    await store.cancel([big.id])
    assert (await store.stats()).bytes == 4_000
    await put(store, more)
    [redriven] = await store.redrive([big.id])
    assert redriven.status == "full"


async def test_a_closed_endpoint_accepts_nothing_but_answers_repeats(store: Store) -> None:
    one = new(key="k")
    await put(store, one)
    await store.close_queue()
    answers = await store.enqueue([new(), one, new(key="k")])
    assert [answer.status for answer in answers] == [
        EnqueueStatus.CLOSED,
        EnqueueStatus.CREATED,
        EnqueueStatus.REPLAYED,
    ]
    await store.reopen_queue()
    await put(store, new())
