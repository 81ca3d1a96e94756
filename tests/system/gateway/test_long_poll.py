"""Long polls, event streams and Prefer: wait, on both stores."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Progress
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_gateway.intake.long_poll import Watch
from support.http.fixtures import http_mode, site, store
from support.http.gateway import Answer, Site, endpoint, parse_events, serving

__all__ = ["http_mode", "site", "store"]

EVENTS = {"Accept": "text/event-stream"}
SOON = 10
"""Seconds within which pushed changes must arrive; polling would take longer."""


def _poll(
    site: Site, job_id: JobId, wait: object, tag: str | None = None
) -> "asyncio.Task[Answer]":
    headers = {} if tag is None else {"If-None-Match": tag}
    path = f"/jobs/{ids.text(job_id)}?wait={wait}"
    return asyncio.create_task(site.ask("GET", path, headers=headers))


async def test_a_long_poll_answers_at_any_change(site: Site) -> None:
    job_id = await site.accepted()
    poll = _poll(site, job_id, 60)
    await site.until_waiting()
    claimed = await site.claim()
    answer = await asyncio.wait_for(poll, SOON)
    assert (answer.status, answer.json["state"]) == (200, "InProgress")
    poll = _poll(site, job_id, 60, answer.headers["ETag"])
    await site.until_waiting()
    await site.store.progress([(claimed.claim, Progress(0.5, "half"))])
    answer = await asyncio.wait_for(poll, SOON)
    assert answer.json["progress"] == {"fraction": 0.5, "message": "half"}
    poll = _poll(site, job_id, 60, answer.headers["ETag"])
    await site.until_waiting()
    await site.complete(claimed)
    assert (await asyncio.wait_for(poll, SOON)).json["state"] == "Completed"


async def test_a_long_poll_without_a_change_is_200_or_304(site: Site) -> None:
    job_id = await site.accepted()
    answer = await _poll(site, job_id, "0.05")
    assert (answer.status, answer.json["state"]) == (200, "Queued")
    unchanged = await _poll(site, job_id, "0.05", answer.headers["ETag"])
    assert (unchanged.status, unchanged.body) == (304, b"")


async def test_a_long_poll_answers_at_once_when_the_job_has_changed(site: Site) -> None:
    job_id = await site.accepted()
    answer = await asyncio.wait_for(_poll(site, job_id, 60, '"other"'), SOON)
    assert answer.status == 200
    await site.complete(await site.claim())
    answer = await asyncio.wait_for(_poll(site, job_id, 60), SOON)
    assert answer.json["state"] == "Completed"
    same = await asyncio.wait_for(_poll(site, job_id, 60, answer.headers["ETag"]), SOON)
    assert same.status == 304


@pytest.mark.parametrize("wait", ["", "x", "-1", "-1e3", "%2B1", "5&wait=6", "%D9%A1", "nan"])
async def test_an_invalid_wait_is_400(site: Site, wait: str) -> None:
    job_id = await site.accepted()
    (await _poll(site, job_id, wait)).problem("invalid-query", 400)


async def test_a_job_that_is_purged_ends_the_poll(site: Site) -> None:
    job_id = await site.accepted()
    poll = _poll(site, job_id, 60)
    await site.until_waiting()
    await site.store.cancel([job_id])
    assert (await asyncio.wait_for(poll, SOON)).json["state"] == "Canceled"


async def test_waiters_beyond_the_limit_are_answered_at_once(store: Store) -> None:
    async with serving(store, endpoint(gateway={"maxWaiters": 1})) as site:
        job_id = await site.accepted()
        first = _poll(site, job_id, 60)
        await site.until_waiting()
        second = await asyncio.wait_for(_poll(site, job_id, 60), SOON)
        assert (second.status, second.json["state"]) == (200, "Queued")
        waited = await asyncio.wait_for(site.submit(Prefer="wait=60"), SOON)
        assert waited.status == 202
        assert "Preference-Applied" not in waited.headers
        stream = await asyncio.wait_for(
            site.ask("GET", f"/jobs/{ids.text(job_id)}", headers=EVENTS), SOON
        )
        events = parse_events(stream.body)
        assert [event.get("event") for event in events] == ["job", None]
        assert events[1] == {"retry": "5000"}
        await site.store.cancel([job_id])
        await asyncio.wait_for(first, SOON)


async def test_a_disconnected_client_frees_its_slot(store: Store) -> None:
    async with serving(store, endpoint(gateway={"maxWaiters": 1})) as site:
        job_id = await site.accepted()
        poll = _poll(site, job_id, 60)
        await site.until_waiting()
        hub = site.server.gateway.hub
        left = asyncio.Event()
        remove = hub._remove

        def removed(job_id: JobId, watch: Watch) -> None:
            remove(job_id, watch)
            left.set()

        hub._remove = removed  # type: ignore[method-assign]
        poll.cancel()
        await asyncio.wait_for(left.wait(), SOON)
        assert hub.waiters == 0


# Event streams


@asynccontextmanager
async def _stream(
    site: Site, job_id: JobId, **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    url = f"http://127.0.0.1:{site.port}/jobs/{ids.text(job_id)}"
    async with site.session.get(url, headers={**EVENTS, **headers}) as response:
        yield response


async def _next(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return the next event of a stream, its data decoded; comments are skipped."""
    while True:
        async with asyncio.timeout(SOON):
            block = await response.content.readuntil(b"\n\n")
        for event in parse_events(block):
            assert event["event"] == "job"
            return {"id": event["id"], "job": json.loads(event["data"])}


async def test_a_stream_shows_every_state_and_ends(site: Site) -> None:
    job_id = await site.accepted()
    async with _stream(site, job_id) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Vary"] == "Accept"
        snapshot = await _next(response)
        assert snapshot["job"]["state"] == "Queued"
        assert snapshot["job"]["id"] == ids.text(job_id)
        assert snapshot["id"] == str((await site.record(job_id)).revision)
        claimed = await site.claim()
        assert (await _next(response))["job"]["state"] == "InProgress"
        await site.store.progress([(claimed.claim, Progress(0.5, "half"))])
        assert (await _next(response))["job"]["progress"]["fraction"] == 0.5
        await site.complete(claimed)
        final = await _next(response)
        assert final["job"]["state"] == "Completed"
        assert await asyncio.wait_for(response.content.read(), SOON) == b""
    again = await site.ask(
        "GET",
        f"/jobs/{ids.text(job_id)}",
        headers={**EVENTS, "Last-Event-ID": final["id"]},
    )
    assert (again.status, again.body) == (204, b"")
    earlier = await site.ask(
        "GET",
        f"/jobs/{ids.text(job_id)}",
        headers={**EVENTS, "Last-Event-ID": snapshot["id"]},
    )
    [only] = parse_events(earlier.body)
    assert only["id"] == final["id"]


async def test_missed_progress_is_not_replayed(site: Site) -> None:
    job_id = await site.accepted()
    claimed = await site.claim()
    for tenth in range(1, 10):
        await site.store.progress([(claimed.claim, Progress(tenth / 10))])
    async with _stream(site, job_id, **{"Last-Event-ID": "1"}) as response:
        assert (await _next(response))["job"]["progress"]["fraction"] == 0.9
        await site.complete(claimed)
        assert (await _next(response))["job"]["state"] == "Completed"


async def test_ids_of_events_only_grow_under_a_storm_of_progress(site: Site) -> None:
    job_id = await site.accepted()
    claimed = await site.claim()
    async with _stream(site, job_id) as response:
        seen = [await _next(response)]
        for n in range(100):
            await site.store.progress([(claimed.claim, Progress(n / 100))])
        await site.complete(claimed)
        while seen[-1]["job"]["state"] != "Completed":
            seen.append(await _next(response))
    revisions = [int(event["id"]) for event in seen]
    assert revisions == sorted(set(revisions))


async def test_a_stream_of_a_purged_job_ends(site: Site) -> None:
    job_id = await site.accepted()
    async with _stream(site, job_id) as response:
        await _next(response)
        await site.store.cancel([job_id])
        assert (await _next(response))["job"]["state"] == "Canceled"
        assert await asyncio.wait_for(response.content.read(), SOON) == b""


async def test_a_quiet_stream_is_kept_open_by_comments(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.views.sse.COMMENT_SECONDS", 0.05)
    job_id = await site.accepted()
    async with _stream(site, job_id) as response:
        await _next(response)
        async with asyncio.timeout(SOON):
            assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"


@pytest.mark.parametrize(
    ("accept", "stream"),
    [
        ("text/event-stream", True),
        ("TEXT/Event-Stream", True),
        ("text/event-stream, */*;q=0.1", True),
        ("application/json;q=0.5, text/event-stream", True),
        ("text/event-stream;q=0.5, application/json", False),
        ("text/event-stream, application/json", False),
        ("text/event-stream;q=0", False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
    ],
)
async def test_a_client_that_prefers_the_stream_gets_it(
    site: Site, accept: str, stream: bool
) -> None:
    job_id = await site.finished()
    answer = await site.ask("GET", f"/jobs/{ids.text(job_id)}", headers={"Accept": accept})
    assert (answer.headers["Content-Type"] == "text/event-stream") is stream


async def test_many_streams_share_one_watch_of_the_store(site: Site) -> None:
    job_id = await site.accepted()
    watches = []
    events = site.store.events
    hub = site.server.gateway.hub

    class Counted:
        def events(self) -> Any:
            watches.append(1)
            return events()

    hub._store = Counted()  # type: ignore[assignment]

    async def follow() -> list[dict[str, str]]:
        answer = await site.ask("GET", f"/jobs/{ids.text(job_id)}", headers=EVENTS)
        return parse_events(answer.body)

    following = [asyncio.create_task(follow()) for _ in range(20)]
    await site.until_waiting(20)
    await site.complete(await site.claim())
    for events_seen in await asyncio.wait_for(asyncio.gather(*following), SOON):
        assert '"Completed"' in events_seen[-1]["data"]
    assert watches == [1]


# Prefer: wait


async def _worked(site: Site, prefer: str, work: Any, **headers: str) -> Answer:
    """Submit with Prefer and run the job in the meantime."""
    answer = asyncio.create_task(site.submit(Prefer=prefer, **headers))
    await site.until_waiting()
    await work(await site.claim())
    return await asyncio.wait_for(answer, SOON)


async def test_prefer_wait_answers_with_the_result(site: Site) -> None:
    answer = await _worked(site, "respond-async, wait=20", site.complete)
    assert (answer.status, answer.body) == (200, b"done")
    assert answer.headers["Preference-Applied"] == "wait=20"
    direct = await site.ask("GET", f"{answer.headers['Location']}/result")
    assert direct.body == answer.body
    for name in ("Content-Type", "ETag", "X-Content-Type-Options", "Content-Security-Policy"):
        assert answer.headers[name] == direct.headers[name]


async def test_prefer_wait_answers_with_the_failure(site: Site) -> None:
    answer = await _worked(site, 'wait="20"', site.fail)
    assert answer.problem("job-failed", 409)["error"]["message"] == "it went wrong"
    assert answer.headers["Location"].startswith("/jobs/")
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_prefer_wait_is_capped(site: Site) -> None:
    answer = await _worked(site, "wait=999999", site.complete)
    assert answer.headers["Preference-Applied"] == "wait=60"


async def test_prefer_wait_that_is_not_final_in_time_is_the_202(site: Site) -> None:
    answer = await site.submit(Prefer="wait=0")
    assert answer.status == 202
    assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"
    assert int(answer.headers["Retry-After"]) >= 1


async def test_prefer_wait_on_a_replay_of_a_final_job(site: Site) -> None:
    await site.finished(Idempotency_Key="K")
    answer = await site.submit(Prefer="wait=0", Idempotency_Key="K")
    assert (answer.status, answer.body) == (200, b"done")
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert answer.headers["Preference-Applied"] == "wait=0"


async def test_a_job_survives_its_client_disconnecting(site: Site) -> None:
    waiting = asyncio.create_task(site.submit(Prefer="wait=60"))
    await site.until_waiting()
    waiting.cancel()
    await site.complete(await site.claim())
    [job] = (await site.ask("GET", "/jobs")).json["items"]
    assert job["state"] == "Completed"
