"""Idempotency keys, the queue's limits, batching, and endpoints being deleted."""

import asyncio
from typing import Any

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from support.http.fixtures import http_mode, site, store
from support.http.gateway import JSON, Site, endpoint, serving

__all__ = ["http_mode", "site", "store"]


# Idempotency


async def test_the_same_key_returns_the_same_job_in_its_present_state(site: Site) -> None:
    first = await site.submit(body={"a": 1}, Idempotency_Key="K 1")
    assert "Idempotent-Replayed" not in first.headers
    for name, key in (
        ("Idempotency-Key", "K 1"),
        ("Idempotency-Key", '"K 1"'),
        ("X-Async-Request-Id", "K 1"),
    ):
        again = await site.submit(body={"a": 1}, **{name: key})
        assert (again.status, again.id) == (202, first.id)
        assert again.headers["Idempotent-Replayed"] == "true"
    await site.complete(await site.claim())
    again = await site.submit(body={"a": 1}, Idempotency_Key="K 1")
    assert (again.status, again.json["state"]) == (202, "Completed")
    assert again.headers["Location"] == first.headers["Location"]
    stats = await site.store.stats()
    assert stats.totals["created"] == 1


async def test_the_same_key_for_another_request_is_422(site: Site) -> None:
    sent: dict[str, Any] = {"data": b"{}", "headers": {**JSON, "Idempotency-Key": "K"}}
    assert (await site.ask("POST", "/reports/7?a=1", **sent)).status == 202
    others = [
        ("/reports/7?a=2", sent),
        ("/reports/8?a=1", sent),
        ("/reports/7", sent),
        ("/reports/7?a=1", {**sent, "data": b"[]"}),
        (
            "/reports/7?a=1",
            {**sent, "headers": {"Idempotency-Key": "K", "Content-Type": "application/x+json"}},
        ),
        ("/checked", {**sent, "data": b'{"a":1}'}),
    ]
    for path, changed in others:
        (await site.ask("POST", path, **changed)).problem("idempotency-mismatch", 422)
    answer = await site.ask("PUT", "/things/1/parts/2", **sent)
    answer.problem("idempotency-mismatch", 422)


async def test_many_at_once_with_one_key_make_one_job(site: Site) -> None:
    answers = await asyncio.gather(*(site.submit(Idempotency_Key="K") for _ in range(50)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.id for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 49


async def test_a_key_whose_job_was_removed_is_410(site: Site) -> None:
    sent: dict[str, Any] = {"body": {"a": 1}, "Idempotency_Key": "K"}
    job_id = (await site.submit(**sent)).id
    await site.complete(await site.claim())
    purged = await site.ask("DELETE", f"/jobs/{ids.text(job_id)}?purge=true")
    assert purged.status == 204
    for more in ({}, {"Prefer": "wait=1"}):
        answer = await site.submit(**sent, **more)
        answer.problem("job-gone", 410)
        assert answer.headers["Idempotent-Replayed"] == "true"
    answer = await site.submit(body={"a": 2}, Idempotency_Key="K")
    answer.problem("idempotency-mismatch", 422)
    assert (await site.store.stats()).totals["created"] == 1


async def test_a_refused_request_binds_no_key(store: Store) -> None:
    async with serving(store, endpoint(queue={"maxDepth": 1})) as site:
        first = await site.accepted()
        full = await site.submit(Idempotency_Key="K")
        full.problem("queue-full", 429)
        (await site.submit("/checked", {}, Idempotency_Key="K")).problem("invalid-body", 422)
        await site.complete(await site.claim())
        again = await site.submit(body="different", Idempotency_Key="K")
        assert again.status == 202
        assert again.id != first
        assert "Idempotent-Replayed" not in again.headers
        # Decided before the depth: a replay is answered although the queue is full.
        assert (await site.submit(body="different", Idempotency_Key="K")).status == 202


# Queue


async def test_a_full_queue_is_429_decided_atomically(store: Store) -> None:
    async with serving(store, endpoint(queue={"maxDepth": 10})) as site:
        answers = await asyncio.gather(*(site.submit() for _ in range(40)))
        assert sorted(answer.status for answer in answers) == [202] * 10 + [429] * 30
        for answer in answers:
            if answer.status == 429:
                problem = answer.problem("queue-full", 429)
                seconds = int(answer.headers["Retry-After"])
                assert 1 <= seconds <= 3_600
                assert problem["detail"] == (
                    f"queue limit reached (10 jobs or 1073741824 bytes); retry after {seconds} s"
                )


async def test_scheduled_jobs_count_and_running_ones_do_not(store: Store) -> None:
    async with serving(store, endpoint(queue={"maxDepth": 1})) as site:
        await site.accepted(Job_Delay="100")
        (await site.submit()).problem("queue-full", 429)
    await store.cancel([job.id for job in (await store.list(State.SCHEDULED, 1, None)).jobs])
    async with serving(store, endpoint(queue={"maxDepth": 1})) as site:
        await site.accepted()
        await site.claim()
        await site.accepted()


async def test_concurrent_submissions_share_calls_to_the_store(site: Site) -> None:
    calls = []
    enqueue = site.store.enqueue

    async def counted(jobs: Any) -> Any:
        calls.append(len(jobs))
        return await enqueue(jobs)

    site.server.gateway.enqueue._call = counted
    answers = await asyncio.gather(*(site.submit(body=n) for n in range(100)))
    assert len({answer.id for answer in answers}) == 100
    assert sum(calls) == 100
    assert len(calls) < 60


async def test_an_endpoint_being_deleted_is_503(site: Site) -> None:
    await site.store.close_queue()
    answer = await site.submit()
    answer.problem("store-unavailable", 503)
    assert int(answer.headers["Retry-After"]) >= 1


async def test_the_base_path_prefixes_every_link(store: Store) -> None:
    described = endpoint(gateway={"basePath": "/api/v1"})
    async with serving(store, described, allowed_hosts=("evil",)) as site:
        answer = await site.ask(
            "POST",
            "/reports/7",
            headers={"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil", "Host": "evil"},
        )
        assert answer.headers["Location"] == f"/api/v1/jobs/{answer.json['id']}"
        assert answer.json["links"]["self"] == answer.headers["Location"]
        assert (await site.ask("GET", "/openapi.json")).json["servers"] == [{"url": "/api/v1"}]
