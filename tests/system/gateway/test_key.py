"""The key of a job, which its route takes from the request."""

from typing import Any

import pytest

from asyncendpoints_core.store.protocol import Store
from support.http.fixtures import http_mode, store
from support.http.gateway import JSON, Answer, Site, endpoint, serving

__all__ = ["http_mode", "store"]

KEYS = {"/p/{customer}": "param:customer", "/h": "header:X-Tenant", "/b": "pointer:/order/who"}
ROUTES: list[dict[str, Any]] = [
    {"path": path, "job": "work", "headers": ["X-Tenant"], "key": key} for path, key in KEYS.items()
]


async def post(site: Site, path: str, body: str = "{}", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.ask("POST", path, data=body.encode(), headers={**JSON, **sent})


async def test_a_job_shows_its_key(store: Store) -> None:
    async with serving(store, endpoint(routes=ROUTES)) as site:
        for path, body, key in (
            ("/p/acme%20%E2%98%83", "{}", "acme ☃"),
            ("/p/" + "x" * 64, "{}", "x" * 64),
            ("/b", '{"order": {"who": "acme"}}', "acme"),
            ("/b", '{"order": {"who": 17}}', "17"),
            ("/b", '{"order": {"who": true}}', "true"),
            ("/b", '{"order": {"who": ""}}', None),
            ("/b", '{"order": {"who": null}}', None),
            ("/b", '{"order": {}}', None),
            ("/b", "[]", None),
            ("/h", "{}", None),
        ):
            answer = await post(site, path, body)
            assert (answer.status, answer.json["key"]) == (202, key)
            shown = await site.ask("GET", answer.headers["Location"])
            assert shown.json["key"] == key
        assert (await post(site, "/h", X_Tenant="blue")).json["key"] == "blue"
        keys = {claimed.job.attributes.key for claimed in await (await site.hand()).take(20)}
        assert keys == {"", "acme", "acme ☃", "x" * 64, "17", "true", "blue"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/p/" + "x" * 65, "{}"),
        ("/p/" + "%E2%98%83" * 22, "{}"),
        ("/p/a%00", "{}"),
        ("/p/a%C2%85", "{}"),
        ("/b", '{"order": {"who": "a\\u0007"}}'),
        ("/b", '{"order": {"who": ["acme"]}}'),
        ("/b", '{"order": {"who": {}}}'),
    ],
)
async def test_what_cannot_be_a_key_is_422(store: Store, path: str, body: str) -> None:
    async with serving(store, endpoint(routes=ROUTES)) as site:
        answer = await post(site, path, body)
        answer.problem("invalid-key", 422)
        named = KEYS["/p/{customer}" if path.startswith("/p") else "/b"]
        assert answer.json["detail"].startswith(f"{named} must be ")
        assert (await site.ask("GET", "/jobs")).json["items"] == []


LARGE = '"' + "x" * 20_000 + '"'


async def test_the_key_of_any_body(store: Store) -> None:
    async with serving(store, endpoint(routes=ROUTES)) as site:
        plain = {"Content-Type": "text/plain"}
        for body, key in (
            ("[" * 10_000, None),
            ("[" * 50_000, None),
            ('{"order": {"who": ' + "[" * 10_000, None),
            ('{"order": {"who": "acme"}, "more": ' + LARGE + "}", "acme"),
            ('{"order": {"who": 1.5}, "more": ' + LARGE + "}", "1.5"),
            ('{"order": {"who": null}, "more": ' + LARGE + "}", None),
            ('{"order": {}, "more": ' + LARGE + "}", None),
        ):
            answer = await site.ask("POST", "/b", data=body, headers=plain)
            assert (answer.status, answer.json["key"]) == (202, key), body[:30]
        answer = await post(site, "/b", '{"order": {"who": ' + LARGE + "}}")
        answer.problem("invalid-key", 422)


async def test_a_key_with_too_many_waiting_jobs_is_429(store: Store) -> None:
    served = endpoint(routes=ROUTES, limits={"perKey": {"maxDepth": 2}})
    await store.configure(served.spec.policy())
    async with serving(store, served) as site:
        for _ in range(2):
            assert (await post(site, "/p/acme")).status == 202
        answer = await post(site, "/p/acme")
        problem = answer.problem("key-queue-full", 429)
        assert "queue limit of this key" in problem["detail"]
        assert 1 <= int(answer.headers["Retry-After"]) <= 3_600
        assert (await post(site, "/p/other")).status == 202
        assert (await post(site, "/h")).status == 202


async def test_retry_after_is_the_pace_of_the_key_that_is_held_back(store: Store) -> None:
    served = endpoint(routes=ROUTES, limits={"perKey": {"ratePerSecond": 0.02, "maxDepth": 3}})
    await store.configure(served.spec.policy())
    async with serving(store, served) as site:
        accepted = [await post(site, "/p/flood") for _ in range(3)]
        paces = [int(answer.headers["Retry-After"]) for answer in accepted]
        assert paces[0] == 1
        assert 45 <= paces[1] <= 50 < 95 <= paces[2] <= 100
        shown = await site.ask("GET", accepted[2].headers["Location"])
        assert 90 <= int(shown.headers["Retry-After"]) <= 100
        result = await site.ask("GET", accepted[2].headers["Location"] + "/result")
        assert 90 <= int(result.headers["Retry-After"]) <= 100
        assert len(await (await site.hand()).take(3)) == 1
        assert (await post(site, "/p/flood")).status == 202
        refused = await post(site, "/p/flood")
        refused.problem("key-queue-full", 429)
        assert 40 <= int(refused.headers["Retry-After"]) <= 50
        small = await post(site, "/p/small")
        assert (small.status, small.headers["Retry-After"]) == (202, "1")
