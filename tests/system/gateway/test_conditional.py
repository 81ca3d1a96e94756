"""Conditional and range requests for a job and its result (RFC 9110 §13, §14)."""

from typing import Any

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Progress
from asyncendpoints_core.store.memory import MemoryStore
from support.http.gateway import Answer, Site, serving

SAME = ('"{}"', 'W/"{}"', '"other", W/"{}"', "*")
OTHER = ('"other"', 'W/"x"', "{}", '"{}x"', "")


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs/{}/result"])
async def test_only_if_none_match_is_a_condition_of_a_look_up(path: str) -> None:
    async with serving(MemoryStore()) as site:
        where = path.format(ids.text(await site.finished()))
        whole = await site.ask("GET", where)
        tag = whole.headers["ETag"].strip('"')
        for method in ("GET", "HEAD"):
            for value in SAME:
                answer = await site.ask(method, where, headers={"If-None-Match": value.format(tag)})
                assert (answer.status, answer.body) == (304, b"")
                assert answer.headers["ETag"] == whole.headers["ETag"]
                assert "Content-Type" not in answer.headers
            others = (
                *({"If-None-Match": value.format(tag)} for value in OTHER),
                {"If-Match": '"other"'},
                {"If-Modified-Since": whole.headers["Date"]},
                {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
                {"Range": "bytes=0-0"},
                {"Range": "bytes=0-0", "If-Range": f'"{tag}"'},
                # It precedes If-Modified-Since.
                {"If-None-Match": '"other"', "If-Modified-Since": whole.headers["Date"]},
            )
            for headers in others:
                answer = await site.ask(method, where, headers=headers)
                assert answer.status == 200, headers
                assert answer.body == (b"" if method == "HEAD" else whole.body)
                for name in ("ETag", "Content-Length", "Content-Type", "Cache-Control"):
                    assert answer.headers[name] == whole.headers[name], name
                assert not {"Accept-Ranges", "Content-Range"} & set(answer.headers)


async def test_a_result_that_is_not_there_yet_has_no_version() -> None:
    async with serving(MemoryStore()) as site:
        where = f"/jobs/{ids.text(await site.accepted())}/result"
        answer = await site.ask("GET", where, headers={"If-None-Match": "*"})
        assert (answer.status, "ETag" in answer.headers) == (202, False)


# If-Match: a cancel, a purge and a retry of a job that is as the client saw it


def refused(answer: Answer) -> Any:
    assert answer.status == 412
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = answer.json
    assert (found["type"], found["title"]) == ("about:blank", "Precondition Failed")
    assert "If-Match" in found["detail"]
    return found


async def tag_of(site: Site, path: str) -> str:
    return str((await site.ask("GET", path)).headers["ETag"])


async def test_nothing_is_done_to_a_job_of_another_version() -> None:
    async with serving(MemoryStore()) as site:
        path = f"/jobs/{ids.text(await site.accepted())}"
        other = {"If-Match": '"99"'}
        for method, where in (
            ("DELETE", path),
            ("POST", f"{path}/retry"),
            ("DELETE", f"{path}?purge=true"),
        ):
            before = await site.ask("GET", path)
            weak = {"If-Match": f"W/{before.headers['ETag']}"}
            for headers in (other, weak, {"If-Match": "x"}):
                refused(await site.ask(method, where, headers=headers))
                assert (await site.ask("GET", path)).body == before.body
            answer = await site.ask(method, where, headers={"If-Match": before.headers["ETag"]})
            assert answer.status in (200, 202, 204)
            if method == "POST":
                await site.complete(await site.claim())
        assert (await site.ask("DELETE", path, headers=other)).status == 410


async def test_progress_makes_a_new_version() -> None:
    async with serving(MemoryStore()) as site:
        path = f"/jobs/{ids.text(await site.accepted())}"
        seen = await tag_of(site, path)
        claim = (await site.claim()).claim
        await site.store.progress([(claim, Progress(0.5))])
        refused(await site.ask("DELETE", path, headers={"If-Match": seen}))
        for value in ("*", f'"x", {await tag_of(site, path)}'):
            answer = await site.ask("DELETE", path, headers={"If-Match": value})
            assert (answer.status, answer.json["state"]) == (202, "InProgress")
        # It was requested already, so nothing is done to the job.
        assert (await site.ask("DELETE", path, headers={"If-Match": seen})).status == 202


async def test_a_request_that_is_refused_anyway_is_answered_as_without_if_match() -> None:
    async with serving(MemoryStore()) as site:
        path = f"/jobs/{ids.text(await site.finished())}"
        other = {"If-Match": '"99"'}
        (await site.ask("DELETE", path, headers=other)).problem("job-final", 409)
        (await site.ask("POST", f"{path}/retry", headers=other)).problem("not-retryable", 409)
        absent = await site.ask("DELETE", f"/jobs/{ids.text(ids.new(0))}", headers=other)
        absent.problem("job-not-found", 404)
        assert (await site.submit(**{"If_Match": '"99"'})).status == 202
