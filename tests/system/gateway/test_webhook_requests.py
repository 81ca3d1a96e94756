"""Job-Webhook: clients that name a receiver for their job, over HTTP on both stores."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_gateway.webhooks.signing import parse_secrets, secret_for, show_secret
from support.http.fixtures import store
from support.http.gateway import Site, endpoint, serving
from support.http.receiver import SECRET, receiver
from support.store.stores import no_deliveries

__all__ = ["store"]

ROUTES = [
    {"path": "/reports/{customer}", "job": "build-report"},
    {"path": "/unique", "job": "build-report", "unique": {"of": ["path"]}},
]


@pytest.fixture(autouse=True)
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def allowing(secret: Path, *origins: str, **spec: Any) -> AsyncEndpoint:
    requests = {"allow": list(origins), "secrets": {"file": str(secret)}}
    return endpoint(routes=ROUTES, webhookRequests=requests, **spec)


def derived(origin: str) -> str:
    return show_secret(secret_for(parse_secrets(SECRET)[0], origin))


async def complete(site: Site) -> None:
    await site.complete(await site.claim())


async def test_a_job_notifies_the_receiver_that_its_client_named(
    store: Store, secret: Path
) -> None:
    async with receiver() as to:
        origin = f"http://localhost:{to.port}"
        to.secret = derived(origin)
        url = f"{origin}/hooks?token=secret"
        async with serving(
            store, allowing(secret, origin), webhook_allow=(f"localhost:{to.port}",)
        ) as site:
            answer = await site.submit(Job_Webhook=url)
            assert (answer.status, answer.headers["Job-Webhook"]) == (202, url)
            other = await site.submit()
            assert (other.status, "Job-Webhook" in other.headers) == (202, False)
            await complete(site)
            await complete(site)
            [got] = await to.wait(1)
            await no_deliveries(store)
    assert got.job["id"] == ids.text(answer.id)
    assert len(to.received) == 1


REFUSED = [
    ("", "must be a URL"),
    ("https://hooks.example.org/x", "does not allow this origin"),
    ("https://example.com/x", "does not allow this origin"),
    ("http://a.example.com/x", "does not allow this origin"),
    ("https://a.example.com:8443/x", "does not allow this origin"),
    ("https://203.0.113.7/x", "does not allow this origin"),
    ("https://me@a.example.com/x", "must not contain a user"),
    ("https://a.example.com/" + "x" * 2_000, "at most 2000 characters"),
    ("https://a.example.com?" + "x" * 1_978, "at most 2000 characters"),  # and a "/" before the ?
]


async def test_a_receiver_that_is_not_allowed_is_400(store: Store, secret: Path) -> None:
    async with serving(store, allowing(secret, "https://*.example.com")) as site:
        for value, reason in REFUSED:
            answer = await site.submit(Job_Webhook=value)
            assert reason in answer.problem("invalid-header", 400)["detail"]
            assert not value or value not in answer.body.decode()
        twice = [("Job-Webhook", "https://a.example.com/x")] * 2
        answer = await site.ask("POST", "/reports/7", headers=twice)
        answer.problem("invalid-header", 400)
        assert (await store.stats()).totals["created"] == 0


async def test_where_none_is_allowed_it_is_400(store: Store, secret: Path) -> None:
    async with serving(store, allowing(secret)) as site:
        answer = await site.submit(Job_Webhook="https://a.example.com/x")
        answer.problem("invalid-header", 400)


async def test_it_is_added_to_an_existing_job_and_repeated_only_then(
    store: Store, secret: Path
) -> None:
    urls = [f"https://a.example.com/{number}" for number in range(10)]
    async with serving(store, allowing(secret, "https://*.example.com")) as site:
        first = await site.submit("/unique", Job_Webhook=urls[0], Idempotency_Key="k")
        for url in urls[1:8]:
            again = await site.submit("/unique", Job_Webhook=url)
            assert (again.status, again.headers["Job-Existing"]) == (202, "true")
            assert (again.id, again.headers["Job-Webhook"]) == (first.id, url)
        refused = await site.submit("/unique", Job_Webhook=urls[8])
        assert "8 receivers" in refused.problem("duplicate-job", 409)["detail"]
        assert refused.headers["Location"] == first.headers["Location"]
        await complete(site)
        replayed = await site.submit("/unique", Job_Webhook=urls[9], Idempotency_Key="k")
        assert (replayed.status, replayed.id) == (202, first.id)
        assert "Job-Webhook" not in replayed.headers  # it has ended
        assert len((await site.record(first.id)).attributes.webhooks) == 8


async def test_the_page_describes_the_header_where_it_is_taken(store: Store, secret: Path) -> None:
    for described, there in (
        (allowing(secret, "https://*.example.com"), True),
        (endpoint(routes=ROUTES), False),
    ):
        async with serving(store, described) as site:
            page = (await site.ask("GET", "/openapi.json")).json
        operation = page["paths"]["/reports/{customer}"]["post"]
        names = {each["name"] for each in operation["parameters"]}
        assert ("Job-Webhook" in names) == there
        assert ("Job-Webhook" in operation["responses"]["202"]["headers"]) == there
        assert ("Job-Webhook" in page["components"]["headers"]) == there


async def test_410_ends_that_delivery_alone(store: Store, secret: Path) -> None:
    async with receiver(status=lambda _: 410) as to:
        origin = f"http://localhost:{to.port}"
        to.secret = derived(origin)
        async with serving(
            store, allowing(secret, origin), webhook_allow=(f"localhost:{to.port}",)
        ) as site:
            for count in (1, 2):
                await site.accepted(Job_Webhook=f"{origin}/same")
                await complete(site)
                await to.wait(count)
            await no_deliveries(store)
            assert (await store.webhook_status()).dead == 2


async def test_what_is_not_allowed_any_more_is_dead(store: Store, secret: Path) -> None:
    async with serving(store, allowing(secret, "https://a.example.com")) as site:
        await site.accepted(Job_Webhook="https://a.example.com/x")
    await store.open()
    async with serving(store, allowing(secret, "https://b.example.com")) as site:
        await complete(site)
        await no_deliveries(store, dead=1)


async def test_what_is_not_allowed_any_more_waits_for_no_probe(store: Store, secret: Path) -> None:
    """More than the five failures after which a receiver has one try in half an hour."""
    async with serving(store, allowing(secret, "https://a.example.com")) as site:
        for _ in range(12):
            await site.accepted(Job_Webhook="https://a.example.com/x")
    await store.open()
    async with serving(store, allowing(secret, "https://b.example.com")) as site:
        for _ in range(12):
            await complete(site)
        await no_deliveries(store, dead=12)


async def test_deliveries_are_dead_once_the_resource_has_no_receivers_that_clients_name(
    store: Store, secret: Path
) -> None:
    other = {"name": "billing", "url": "https://h.example/", "secrets": {"file": str(secret)}}
    both = allowing(secret, "https://a.example.com", webhooks=[{**other, "jobs": ["none"]}])
    async with serving(store, both) as site:
        for _ in range(12):
            await site.accepted(Job_Webhook="https://a.example.com/x")
            await complete(site)
        await fanned_out(store, 12)
    await store.open()
    async with serving(store, endpoint(routes=ROUTES, webhooks=[{**other, "jobs": ["none"]}])):
        await no_deliveries(store, dead=12)


async def fanned_out(store: Store, count: int) -> None:
    async with asyncio.timeout(30):
        while sum(each.pending for each in (await store.webhook_status()).receivers) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
