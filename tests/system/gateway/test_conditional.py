"""Conditional and range requests for a job and its result (RFC 9110 §13, §14)."""

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.store.memory import MemoryStore
from support.http.gateway import serving

SAME = ('"{}"', 'W/"{}"', '"other", W/"{}"', "*")
OTHER = ('"other"', 'W/"x"', "{}", '"{}x"', "")


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs/{}/result"])
async def test_only_if_none_match_is_a_condition(path: str) -> None:
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
