"""Jobs over HTTP: state, result, cancel, purge, retry, list."""

import asyncio
from typing import Any

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import JobError, Progress, Result, retry_later
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from support.http.fixtures import http_mode, site, store
from support.http.gateway import Site, endpoint, serving

__all__ = ["http_mode", "site", "store"]

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


async def test_a_job_with_its_etag(site: Site) -> None:
    job_id = await site.accepted()
    path = f"/jobs/{ids.text(job_id)}"
    answer = await site.ask("GET", path)
    assert answer.status == 200
    tag = answer.headers["ETag"]
    assert tag.startswith('"')
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Retry-After"] == "1"
    for value in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        same = await site.ask("GET", path, headers={"If-None-Match": value})
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    assert (await site.ask("GET", path, headers={"If-None-Match": '"x"'})).status == 200
    await site.claim()
    changed = await site.ask("GET", path, headers={"If-None-Match": tag})
    assert (changed.status, changed.json["state"]) == (200, "InProgress")
    assert changed.headers["ETag"] != tag


async def test_a_job_through_all_its_states(site: Site) -> None:
    job_id = await site.accepted()
    claimed = await site.claim()
    await site.store.progress([(claimed.claim, Progress(0.25, "a quarter"))])
    job = (await site.job(job_id)).json
    assert (job["state"], job["attempt"]) == ("InProgress", 1)
    assert job["progress"] == {"fraction": 0.25, "message": "a quarter"}
    assert job["startedAt"] is not None
    error = JobError("handler-error", "try again", retryable=True)
    await site.store.settle([retry_later(claimed.claim, error, 500_000)])
    answer = await site.job(job_id)
    job = answer.json
    assert job["state"] == "Scheduled"
    assert job["error"] == {"code": "handler-error", "message": "try again", "retryable": True}
    assert 498 <= int(answer.headers["Retry-After"]) <= 500
    [attempt] = job["attempts"]
    assert sorted(attempt) == ["endedAt", "error", "number", "outcome", "startedAt"]
    assert (attempt["number"], attempt["outcome"]) == (1, "retry")
    assert attempt["error"] == job["error"]


async def test_a_final_job_has_an_expiry(site: Site) -> None:
    job_id = await site.finished()
    answer = await site.job(job_id)
    assert answer.json["state"] == "Completed"
    assert "Retry-After" not in answer.headers
    record = await site.record(job_id)
    assert record.expires_at_ms == record.completed_ms + 3_600_000
    assert answer.json["expiresAt"] > answer.json["completedAt"]


@pytest.mark.parametrize("tail", ["", "/result"])
@pytest.mark.parametrize("which", [UNKNOWN, "x", UNKNOWN.upper(), "%00", UNKNOWN + "0"])
async def test_an_unknown_job_is_404(site: Site, which: str, tail: str) -> None:
    (await site.ask("GET", f"/jobs/{which}{tail}")).problem("job-not-found", 404)


async def test_every_operation_on_an_unknown_job_is_404(site: Site) -> None:
    for which in (UNKNOWN, "x"):
        (await site.ask("DELETE", f"/jobs/{which}")).problem("job-not-found", 404)
        (await site.ask("DELETE", f"/jobs/{which}?purge=true")).problem("job-not-found", 404)
        (await site.ask("POST", f"/jobs/{which}/retry")).problem("job-not-found", 404)
        events = await site.ask("GET", f"/jobs/{which}", headers={"Accept": "text/event-stream"})
        events.problem("job-not-found", 404)


async def test_an_id_may_be_percent_encoded(site: Site) -> None:
    text = ids.text(await site.accepted())
    assert (await site.ask("GET", f"/jobs/%{ord(text[0]):02x}{text[1:]}")).status == 200


# Results


@pytest.mark.parametrize(
    "result",
    [
        Result("application/json", b"null"),
        Result("application/json", b'{"a":1}'),
        Result("application/octet-stream", bytes(range(256))),
        Result("text/plain; charset=utf-8", "é".encode()),
        Result("text/html", b"<script>alert(1)</script>"),
        Result("text/plain", b""),
    ],
)
async def test_a_result_is_returned_unchanged(site: Site, result: Result) -> None:
    job_id = await site.accepted()
    await site.complete(await site.claim(), result)
    answer = await site.ask("GET", f"/jobs/{ids.text(job_id)}/result")
    assert (answer.status, answer.body) == (200, result.body)
    assert answer.headers["Content-Type"] == result.content_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    tag = answer.headers["ETag"]
    same = await site.ask("GET", f"/jobs/{ids.text(job_id)}/result", headers={"If-None-Match": tag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)


async def test_a_result_with_a_file_name(site: Site) -> None:
    job_id = await site.accepted()
    name = 'naïve "report"\r\nX: 1.pdf'
    await site.complete(await site.claim(), Result("application/pdf", b"%PDF", name))
    answer = await site.ask("GET", f"/jobs/{ids.text(job_id)}/result")
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="na_ve _report___X: 1.pdf"')
    assert "filename*=UTF-8''na%C3%AFve%20%22report%22%0D%0AX%3A%201.pdf" in disposition
    assert "X" not in answer.headers


async def test_no_result_yet_is_202(site: Site) -> None:
    answer = await site.submit()
    for _ in range(2):
        early = await site.ask("GET", answer.json["links"]["result"])
        assert early.status == 202
        assert early.json["id"] == answer.json["id"]
        assert int(early.headers["Retry-After"]) >= 1
        if early.json["state"] == "Queued":
            await site.claim()


async def test_a_failed_job_has_no_result_but_an_error(site: Site) -> None:
    job_id = await site.accepted()
    await site.fail(await site.claim(), "no such customer")
    answer = await site.ask("GET", f"/jobs/{ids.text(job_id)}/result")
    problem = answer.problem("job-failed", 409)
    assert problem["error"] == {
        "code": "handler-error",
        "message": "no such customer",
        "retryable": False,
    }


async def test_a_canceled_job_has_no_result(site: Site) -> None:
    job_id = await site.accepted()
    await site.ask("DELETE", f"/jobs/{ids.text(job_id)}")
    answer = await site.ask("GET", f"/jobs/{ids.text(job_id)}/result")
    assert answer.problem("job-canceled", 409)["error"] is None


# Cancel and purge


async def test_cancel_of_a_waiting_job_is_200(site: Site) -> None:
    for headers in ({}, {"Job_Delay": "100"}):
        path = f"/jobs/{ids.text(await site.accepted(**headers))}"
        answer = await site.ask("DELETE", path)
        assert (answer.status, answer.json["state"]) == (200, "Canceled")
        again = (await site.ask("DELETE", path)).problem("job-final", 409)
        assert again["state"] == "Canceled"


async def test_cancel_of_a_running_job_is_202_each_time(site: Site) -> None:
    path = f"/jobs/{ids.text(await site.accepted())}"
    claimed = await site.claim()
    for _ in range(2):
        answer = await site.ask("DELETE", path)
        assert (answer.status, answer.json["state"]) == (202, "InProgress")
        assert answer.json["cancelRequestedAt"] is not None
    await site.complete(claimed)  # an earlier completion wins
    (await site.ask("DELETE", path)).problem("job-final", 409)


async def test_purge(site: Site) -> None:
    path = f"/jobs/{ids.text(await site.accepted())}"
    (await site.ask("DELETE", f"{path}?purge=true")).problem("job-final", 409)
    claimed = await site.claim()
    (await site.ask("DELETE", f"{path}?purge=true")).problem("job-final", 409)
    await site.complete(claimed)
    answer = await site.ask("DELETE", f"{path}?purge=true")
    assert (answer.status, answer.body) == (204, b"")
    for method, where in (
        ("GET", path),
        ("GET", f"{path}/result"),
        ("GET", f"{path}?wait=5"),
        ("DELETE", path),
        ("DELETE", f"{path}?purge=true"),
        ("POST", f"{path}/retry"),
    ):
        (await site.ask(method, where)).problem("job-gone", 410)


@pytest.mark.parametrize("value", ["", "1", "TRUE", "yes", "true&purge=true"])
async def test_an_invalid_purge_is_400(site: Site, value: str) -> None:
    path = f"/jobs/{ids.text(await site.accepted())}"
    (await site.ask("DELETE", f"{path}?purge={value}")).problem("invalid-query", 400)
    assert (await site.ask("DELETE", f"{path}?purge=false&other=1")).status == 200


# Retry


async def test_retry_of_a_failed_and_a_canceled_job(site: Site) -> None:
    job_id = await site.accepted()
    path = f"/jobs/{ids.text(job_id)}"
    (await site.ask("POST", f"{path}/retry")).problem("not-retryable", 409)
    await site.fail(await site.claim())
    answer = await site.ask("POST", f"{path}/retry")
    assert (answer.status, answer.headers["Location"]) == (202, path)
    assert (answer.json["state"], answer.json["attempt"]) == ("Queued", 0)
    assert int(answer.headers["Retry-After"]) >= 1
    await site.ask("DELETE", path)
    assert (await site.ask("POST", f"{path}/retry")).status == 202
    claimed = await site.claim()
    (await site.ask("POST", f"{path}/retry")).problem("not-retryable", 409)
    await site.complete(claimed)
    (await site.ask("POST", f"{path}/retry")).problem("not-retryable", 409)


async def test_retry_obeys_the_depth(store: Store) -> None:
    async with serving(store, endpoint(queue={"maxDepth": 1})) as site:
        path = f"/jobs/{ids.text(await site.accepted())}"
        await site.ask("DELETE", path)
        await site.accepted()
        answer = await site.ask("POST", f"{path}/retry")
        answer.problem("queue-full", 429)
        assert int(answer.headers["Retry-After"]) >= 1


# List


async def _pages(site: Site, query: str, limit: int) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        answer = await site.ask("GET", f"/jobs?limit={limit}{query}{more}")
        assert answer.status == 200
        assert sorted(answer.json) == ["items", "nextCursor"]
        pages.append([job["id"] for job in answer.json["items"]])
        cursor = answer.json["nextCursor"]
        if cursor is None:
            return pages


async def test_the_list_is_paged_newest_first_and_has_each_job_once(site: Site) -> None:
    queued = [ids.text(await site.accepted()) for _ in range(5)]
    pages = await _pages(site, "&state=Queued", 2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job for page in pages for job in page] == queued[::-1]
    running = ids.text((await site.claim()).job.id)
    canceled = queued[1]
    await site.ask("DELETE", f"/jobs/{canceled}")
    everything = [job for page in await _pages(site, "", 1) for job in page]
    assert everything == [running, queued[4], queued[3], queued[2], canceled]
    assert (await site.ask("GET", "/jobs?state=Failed")).json == {"items": [], "nextCursor": None}


async def test_the_list_has_50_jobs_by_default(site: Site) -> None:
    await asyncio.gather(*(site.submit() for _ in range(60)))
    answer = await site.ask("GET", "/jobs")
    assert len(answer.json["items"]) == 50
    assert answer.json["nextCursor"] is not None
    answer = await site.ask("GET", "/jobs?limit=500")
    assert (len(answer.json["items"]), answer.json["nextCursor"]) == (60, None)


@pytest.mark.parametrize(
    "query",
    [
        "state=queued",
        "state=",
        "state=Queued&state=Failed",
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=1.0",
        "limit=%D9%A1",
        "limit=",
        "job=",
        "job=a&job=b",
        "tag=",
        "tag=a%20b",
        "tag=" + "x" * 65,
        "&".join(f"tag={number}" for number in range(11)),
        "cursor=",
        "cursor=*",
        "cursor=abc",
        "cursor=AAAA",
        "cursor=" + "A" * 2_000,
    ],
)
async def test_an_invalid_list_query_is_400(site: Site, query: str) -> None:
    (await site.ask("GET", f"/jobs?{query}")).problem("invalid-query", 400)


async def test_a_cursor_of_another_listing_is_400(site: Site) -> None:
    for _ in range(3):
        await site.accepted()
    cursor = (await site.ask("GET", "/jobs?state=Queued&limit=1")).json["nextCursor"]
    answer = await site.ask("GET", f"/jobs?state=Completed&cursor={cursor}")
    answer.problem("invalid-query", 400)


async def test_the_list_is_filtered_by_job_and_tags(site: Site) -> None:
    async def submit(path: str, tags: str) -> str:
        answer = await site.ask("POST", path, headers={"Job-Tags": tags})
        assert answer.status == 202
        return str(answer.json["id"])

    blue = await submit("/reports/1", "blue")
    both = await submit("/reports/2", "blue,team=green")
    other = await submit("/reports/latest", "blue,team=green")

    async def listed(query: str) -> list[str]:
        return [job_id for page in await _pages(site, query, 1) for job_id in page]

    assert await listed("&tag=blue") == [other, both, blue]
    assert await listed("&tag=blue&tag=team%3Dgreen") == [other, both]
    assert await listed("&tag=blue&state=Queued&job=build-report") == [both, blue]
    assert await listed("&job=none") == []
    assert await listed("&tag=blue&tag=red") == []


async def test_listing_can_be_forbidden(store: Store) -> None:
    async with serving(store, endpoint(gateway={"list": False})) as site:
        (await site.ask("GET", "/jobs")).problem("forbidden", 403)
        assert (await site.job(await site.accepted())).status == 200
        assert "/jobs" not in (await site.ask("GET", "/openapi.json")).json["paths"]


# HEAD


async def test_head_is_get_without_body_and_never_waits(site: Site) -> None:
    job_id = await site.accepted()
    path = f"/jobs/{ids.text(job_id)}"
    for where in (path, f"{path}?wait=60", f"{path}/result", "/jobs", "/docs", "/openapi.json"):
        head, get = await site.ask("HEAD", where), await site.ask("GET", where.partition("?")[0])
        assert (head.status, head.body) == (get.status, b"")
        assert head.headers["Content-Length"] == str(len(get.body))
        for name in ("ETag", "Content-Type", "Cache-Control", "Retry-After"):
            assert head.headers.get(name) == get.headers.get(name)
    events = await site.ask("HEAD", path, headers={"Accept": "text/event-stream"})
    assert (events.status, events.body) == (200, b"")
    assert events.headers["Content-Type"] == "text/event-stream"
    missing = await site.ask("HEAD", f"/jobs/{UNKNOWN}")
    assert (missing.status, missing.body) == (404, b"")


async def test_states_are_shown_by_their_names(site: Site) -> None:
    seen: set[Any] = set()
    await site.accepted(Job_Delay="100")
    await site.finished()
    await site.accepted()
    await site.fail(await site.claim())
    await site.ask("DELETE", f"/jobs/{ids.text(await site.accepted())}")
    await site.accepted()
    await site.claim()
    await site.accepted()
    for job in (await site.ask("GET", "/jobs")).json["items"]:
        seen.add(job["state"])
    assert seen == {state.value for state in State}
