"""What the overview, the API and `queue show` warn of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from asyncendpoints_cli.main import main
from asyncendpoints_console.access import Role
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.deliveries import DeliveryEnd
from asyncendpoints_core.store.memory import MemoryStore
from support.http.browser import chromium, opened
from support.http.console import TOKENS, Site, console, endpoint
from support.http.console_webhooks import WEBHOOKS, send
from support.store.stores import START_MS, SetTime, hand, new, put

E = "/endpoints/demo/reports"
PAGE = "/e/demo/reports"
SPEC: dict[str, Any] = {"queue": {"maxDepth": 3}, **WEBHOOKS}


@pytest.fixture
def time() -> SetTime:
    return SetTime(START_MS)


@pytest.fixture
async def site(time: SetTime) -> AsyncIterator[Site]:
    store = MemoryStore(time)
    await store.configure(endpoint("reports", **SPEC).spec.policy())
    async with console({"reports": store}, time=time, **SPEC) as running:
        yield running


@pytest.fixture
def store(site: Site) -> Any:
    return site.stores["reports"]


async def reasons(site: Site) -> list[str]:
    return [each["reason"] for each in (await site.read(E))["warnings"]]


async def test_nothing_is_warned_of_at_first(site: Site, store: Any) -> None:
    await put(store, new(), new())
    assert await reasons(site) == []


async def test_a_full_queue(site: Site, store: Any) -> None:
    await put(store, new(), new(delay_ms=60_000), new())
    assert (await site.read(E))["warnings"] == [
        {"reason": "QueueFull", "message": "the queue is full (3 jobs): new ones get a 429"}
    ]
    await (await hand(store)).one()  # what runs does not count
    assert await reasons(site) == []


async def test_jobs_without_a_worker(site: Site, store: Any, time: SetTime) -> None:
    await put(store, new())
    time.advance(31_000)
    assert await reasons(site) == ["NoWorkers"]
    await store.pause()
    assert await reasons(site) == []
    await store.resume()
    await hand(store)
    assert await reasons(site) == []
    time.advance(3_600_000)
    assert await reasons(site) == ["WorkersLost", "NoWorkers"]


async def test_what_is_held_back_needs_no_worker(site: Site, store: Any, time: SetTime) -> None:
    await store.pause("report")
    await put(store, new("report"))
    time.advance(31_000)
    assert await reasons(site) == []


async def test_webhooks_that_fail(site: Site, store: Any) -> None:
    await send(site, store, billing=DeliveryEnd.FAILED, crm=DeliveryEnd.DEAD)
    found = (await site.read(E))["warnings"]
    assert [each["message"] for each in found] == [
        "the webhook billing fails, 1 delivery waits",
        "the webhook crm fails",
        "gave up 1 delivery of webhooks",
    ]


async def test_warnings_lead_to_their_pages(site: Site, store: Any) -> None:
    await send(site, store, billing=DeliveryEnd.FAILED)
    await put(store, *(new() for _ in range(3)))
    async with chromium() as browser, opened(browser, site.server.login_url()) as page:
        warnings = page.get_by_role("list", name="Warnings of reports").get_by_role("link")
        await expect(warnings).to_have_count(2)
        await warnings.first.click()
        await page.wait_for_url("**/jobs?state=Queued")
        await expect(page.locator("#jobs tbody tr")).to_have_count(3)
        await page.go_back()
        await warnings.nth(1).click()
        await expect(page.locator("h1")).to_have_text("Webhooks")


async def test_the_command_shows_warnings(
    site: Site,
    store: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await put(store, *(new() for _ in range(3)))
    monkeypatch.setenv("ASYNCENDPOINTS_CONSOLE_TOKEN", TOKENS[Role.VIEW])
    await asyncio.to_thread(main, ["queue", "show", "--url", site.server.url])
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[-1] == "QueueFull"
    assert err == "demo/reports: the queue is full (3 jobs): new ones get a 429\n"


async def test_a_page_comes_back_with_the_queue(
    site: Site, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    async with chromium() as browser, opened(browser, site.server.login_url()) as page:
        with monkeypatch.context() as patched:
            patched.setattr(store, "list", away)
            await page.goto(f"{site.server.url}{PAGE}/jobs?state=Queued")
            await expect(page.locator("h1")).to_have_text("The queue is unavailable")
            await put(store, new())
        await expect(page.locator("#jobs tbody tr")).to_have_count(1, timeout=30_000)
        assert page.url.endswith("/jobs?state=Queued")
