"""Unique routes over HTTP: what makes two submissions equal, and what the second gets."""

from typing import Any

import pytest
import yaml

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import complete
from asyncendpoints_core.store.protocol import Store
from support.http.fixtures import http_mode, store
from support.http.gateway import JSON, Answer, Site, endpoint, serving
from support.pages import blocks
from support.paths import ROOT
from support.store.stores import DONE

__all__ = ["http_mode", "store"]


def routes(**unique: Any) -> dict[str, Any]:
    return {
        "routes": [
            {"path": "/docs-of/{id}", "job": "index", "headers": ["X-Kind"], "unique": unique},
            {"path": "/other/{id}", "job": "index", "headers": ["X-Kind"], "unique": unique},
        ]
    }


async def post(site: Site, path: str, body: bytes = b"{}", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.ask("POST", path, data=body, headers={**JSON, **sent})


async def test_an_equal_submission_returns_the_job(store: Store) -> None:
    async with serving(store, endpoint(**routes())) as site:
        first = await post(site, "/docs-of/7?a=1")
        assert (first.status, "Job-Existing" in first.headers) == (202, False)
        # The second time the key is bound to that job.
        for header in ("Job-Existing", "Idempotent-Replayed"):
            again = await post(site, "/docs-of/7?a=1", Idempotency_Key="k")
            assert (again.status, again.json["id"]) == (202, first.json["id"])
            assert again.headers["Location"] == first.headers["Location"]
            assert again.headers[header] == "true"
        for path, body in (
            ("/docs-of/8?a=1", b"{}"),
            ("/docs-of/7?a=2", b"{}"),
            ("/docs-of/7?a=1", b"{ }"),
            ("/other/7?a=1", b"{}"),
        ):
            other = await post(site, path, body)
            assert (other.status, "Job-Existing" in other.headers) == (202, False)


LARGE = b"x" * 20_000 + b'"}'


@pytest.mark.parametrize(
    ("of", "equal", "different"),
    [
        (["path"], ("/docs-of/7?x", b"1", "a"), ("/docs-of/8", b"{}", "a")),
        (["query"], ("/docs-of/8?q", b"1", "a"), ("/docs-of/7", b"{}", "a")),
        (["param:id", "header:X-Kind"], ("/docs-of/7", b"1", "a"), ("/docs-of/7?q", b"{}", "b")),
        (["header:x-kind"], ("/docs-of/9", b"1", "a"), ("/docs-of/7?q", b"{}", "b")),
        (
            ["pointer:/a/1"],
            ("/docs-of/9", b'{"a":[0, {"y":2,"x":1}]}', "b"),
            ("/docs-of/7?q", b'{"a":[0,{"x":1}]}', "a"),
        ),
        (["pointer:/a/1"], ("/docs-of/9", b'{"a":[0,{"y":2,"x":1}],"b":"' + LARGE, "b"), None),
        (["pointer:/a~1b/~0"], ("/docs-of/9", b'{"a/b":{"~":null}}', "b"), None),
    ],
)
async def test_what_is_compared(store: Store, of: list[str], equal: Any, different: Any) -> None:
    body = b'{"a":[9,{"x":1,"y":2}],"a/b":{"~":null}}'
    async with serving(store, endpoint(**routes(of=of))) as site:
        first = await post(site, "/docs-of/7?q", body, X_Kind="a")
        path, body, kind = equal
        again = await post(site, path, body, X_Kind=kind)
        assert (again.json["id"], again.headers.get("Job-Existing")) == (first.json["id"], "true")
        if different is not None:
            path, body, kind = different
            assert "Job-Existing" not in (await post(site, path, body, X_Kind=kind)).headers


@pytest.mark.parametrize("of", [["header:X-Kind"], ["path", "pointer:/a"], ["pointer:/-1"]])
@pytest.mark.parametrize("body", [b"{}", b"[1]", b"no JSON", b'{"a', b"", b'"a"', b"[" * 10_000])
async def test_a_request_without_a_value_is_not_unique(
    store: Store, of: list[str], body: bytes
) -> None:
    async with serving(store, endpoint(**routes(of=of))) as site:
        plain = {"Content-Type": "text/plain"}
        answers = [await site.ask("POST", "/docs-of/7", data=body, headers=plain) for _ in range(2)]
        assert [answer.status for answer in answers] == [202, 202]
        assert len({answer.json["id"] for answer in answers}) == 2


async def test_the_route_of_the_page(store: Store) -> None:
    [shown] = blocks(ROOT / "docs" / "uniqueness.md", "yaml")
    async with serving(store, endpoint(**yaml.safe_load(shown))) as site:
        first = await post(site, "/reports/acme", b'{"year": 2026, "by": "x"}')
        again = await post(site, "/reports/acme", b'{"by": "y", "year": 2026}')
        other = await post(site, "/reports/acme", b'{"year": 2027}')
        assert first.json["id"] == again.json["id"] != other.json["id"]


async def test_an_equal_submission_is_rejected(store: Store) -> None:
    async with serving(store, endpoint(**routes(onConflict="Reject"))) as site:
        first = await post(site, "/docs-of/7")
        refused = await post(site, "/docs-of/7", Prefer="wait=0")
        refused.problem("duplicate-job", 409)
        assert refused.headers["Location"] == first.headers["Location"]
        assert refused.json["job"] == first.json["id"]
        document = (await site.ask("GET", "/openapi.json")).json
        responses = document["paths"]["/docs-of/{id}"]["post"]["responses"]
        assert "Location names it" in responses["409"]["description"]
        assert "Job-Existing" in responses["202"]["headers"]
        worker = await site.hand()
        await worker.settle(complete((await worker.one()).claim, DONE))
        assert (await post(site, "/docs-of/7")).status == 202


async def test_a_waiting_job_is_replaced(store: Store) -> None:
    spec = routes(of=["param:id"], onConflict="Replace", until="Started")
    async with serving(store, endpoint(**spec)) as site:
        first = await post(site, "/docs-of/7", b'{"v":1}', Job_Delay="60", Job_Tags="a")
        again = await post(site, "/docs-of/7", b'{"v":2}', Job_Tags="b", Job_Priority="high")
        assert again.headers["Job-Existing"] == "true"
        assert again.json["id"] == first.json["id"]
        assert (again.json["state"], again.json["tags"]) == ("Queued", ["b"])
        assert again.json["createdAt"] == first.json["createdAt"]
        claimed = await site.claim()
        assert claimed.request.body == b'{"v":2}'
        later = await post(site, "/docs-of/7", b'{"v":3}')
        assert later.json["id"] != first.json["id"]


async def test_a_retry_beside_an_equal_job_is_refused(store: Store) -> None:
    async with serving(store, endpoint(**routes())) as site:
        first = await post(site, "/docs-of/7")
        await site.ask("DELETE", first.headers["Location"])
        second = await post(site, "/docs-of/7")
        path = f"{first.headers['Location']}/retry"
        (await site.ask("POST", path)).problem("duplicate-job", 409)
        await site.ask("DELETE", second.headers["Location"])
        retried = await site.ask("POST", path)
        assert (retried.status, ids.text(retried.id)) == (202, first.json["id"])
