"""The order of the rows of the console's pages, by the query, with links in the columns."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from asyncendpoints_cli.main import main
from asyncendpoints_console.access import Role
from asyncendpoints_core.jobs.records import JobError, fail
from asyncendpoints_core.store.memory import MemoryStore
from support.http.browser import chromium, opened
from support.http.console import TOKENS, Site, console
from support.http.console_webhooks import WEBHOOKS
from support.store.stores import START_MS, SetTime, hand, new, put, settle_one

expect.set_options(timeout=30_000)
pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = "/e/demo/reports"
SCHEDULES = [
    {"name": name, "cron": cron, "job": "build-report", "suspend": suspend}
    for name, cron, suspend in (
        ("monthly", "0 0 1 * *", False),
        ("hourly", "@hourly", False),
        ("never", "@hourly", True),
    )
]
HOSTILE = (
    "-",
    "--count",
    "__class__",
    "COUNT",
    "count%00",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
    "%ff%fe",
    "9" * 4_000,
    "count&sort=-count",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    stores: dict[str, Any] = {"reports": MemoryStore(TIME), "another": MemoryStore()}
    async with console(stores, schedules=SCHEDULES, **WEBHOOKS) as running:
        yield running


TIME = SetTime(START_MS)


async def some_failures(site: Site, by: str = "w1") -> None:
    """Let one job `a` fail, then three `b`, then two `c`, each name a second later."""
    store = site.stores["reports"]
    worker = await hand(store, by)
    for name, count in (("a", 1), ("b", 3), ("c", 2)):
        await put(store, *(new(name) for _ in range(count)))
        for job in await worker.take(count):
            await settle_one(store, fail(job.claim, JobError(f"code-{name}", "no")))
        TIME.advance(1_000)


async def rows(page: Page, table: str) -> list[str]:
    """Return the first texts of the rows."""
    texts = await page.locator(f"{table} tbody tr td:first-child").all_inner_texts()
    return [text.split()[0] for text in texts]


async def test_columns_sort_by_keyboard_and_say_so(browser: Browser, site: Site) -> None:
    await some_failures(site)
    async with opened(browser, site.server.login_url()) as page:
        await page.goto(f"{site.server.url}{HERE}/failures")
        assert await rows(page, "#failures") == ["b", "c", "a"]
        await expect(page.locator("[aria-sort]")).to_have_count(0)
        await page.get_by_role("link", name="Newest").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/failures?sort=-newest")
        assert await rows(page, "#failures") == ["c", "b", "a"]
        column = page.get_by_role("columnheader", name="Newest")
        await expect(column).to_have_attribute("aria-sort", "descending")
        await column.get_by_role("link").click()
        await page.wait_for_url("**/failures?sort=newest")
        assert await rows(page, "#failures") == ["a", "b", "c"]
        await expect(page.locator("[aria-sort]")).to_have_attribute("aria-sort", "ascending")
        await page.go_back()
        assert await rows(page, "#failures") == ["c", "b", "a"]


async def test_the_order_outlasts_a_refresh(browser: Browser, site: Site) -> None:
    await some_failures(site)
    async with opened(browser, site.server.login_url()) as page:
        await page.goto(f"{site.server.url}{HERE}/failures?sort=count")
        assert await rows(page, "#failures") == ["a", "c", "b"]
        await some_failures(site, "w2")
        await expect(page.locator("#failures tbody td.number").first).to_have_text("2")
        assert await rows(page, "#failures") == ["a", "c", "b"]


async def test_it_works_without_script(browser: Browser, site: Site) -> None:
    context = await browser.new_context(java_script_enabled=False)
    try:
        page = await context.new_page()
        await page.goto(site.server.login_url())
        await page.goto(f"{site.server.url}{HERE}/schedules")
        assert await rows(page, "#schedules") == ["hourly", "monthly", "never"]
        await page.get_by_role("link", name="Next").click()
        assert await rows(page, "#schedules") == ["hourly", "monthly", "never"]
        await page.get_by_role("link", name="Next").click()
        assert await rows(page, "#schedules") == ["monthly", "hourly", "never"]  # no time is last
        await page.goto(f"{site.server.url}{HERE}/webhooks?state=dead")
        await page.get_by_role("link", name="Webhook", exact=True).click()
        assert page.url.endswith("/webhooks?state=dead&sort=webhook")
        names = await rows(page, "#webhooks")
        assert names == sorted(names, key=str.casefold)
    finally:
        await context.close()


async def test_jobs_are_sorted_within_their_page(browser: Browser, site: Site) -> None:
    await put(site.stores["reports"], *(new(name) for name in ("b", "c", "a")))
    async with opened(browser, site.server.login_url()) as page:
        await page.goto(f"{site.server.url}{HERE}/jobs?state=Queued")
        await page.get_by_role("link", name="Job", exact=True).click()
        assert page.url.endswith("/jobs?state=Queued&sort=job")
        names = page.locator("#jobs tbody td:nth-child(2) a")
        assert await names.all_inner_texts() == ["a", "b", "c"]
        within = page.get_by_text("Sorted within this page")
        await expect(within).to_have_count(0)
        await page.get_by_role("button", name="Filter").click()
        assert "sort=job" in page.url
        await put(site.stores["reports"], *(new("d") for _ in range(60)))
        await page.reload()
        await expect(within).to_be_visible()
        await page.get_by_role("link", name="Next page").click()
        assert re.search(r"sort=job&cursor=", page.url)
        assert (await names.all_inner_texts())[:4] == ["a", "b", "c", "d"]


async def test_workers_and_endpoints_are_sorted(browser: Browser, site: Site) -> None:
    store = site.stores["another"]
    await put(store, *(new() for _ in range(3)))
    worker = await hand(store, "w-2")
    await hand(store, "w-1")
    await worker.take(2)
    async with opened(browser, site.server.login_url()) as page:
        names = page.locator("h2 a")
        assert await names.all_inner_texts() == ["reports", "another"]
        await page.get_by_role("link", name="Queued", exact=True).click()
        assert await names.all_inner_texts() == ["another", "reports"]
        chosen = page.locator(".orders [aria-current]")
        await expect(chosen).to_have_text(re.compile("Queued.*descending"))
        await page.goto(f"{site.server.url}/e/demo/another/workers?sort=worker")
        cards = page.locator("h2 code")
        assert await cards.all_inner_texts() == ["w-1", "w-2"]
        await page.get_by_role("link", name="Slots used").click()
        assert await cards.all_inner_texts() == ["w-2", "w-1"]


async def test_columns_are_offered_at_400_pixels(browser: Browser, site: Site) -> None:
    await some_failures(site)
    async with opened(browser, site.server.login_url(), 400) as page:
        await page.goto(f"{site.server.url}{HERE}/failures")
        await page.get_by_role("link", name="Count").click()
        await page.get_by_role("link", name="Count").click()
        assert await rows(page, "#failures") == ["a", "c", "b"]
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(wide)


@pytest.mark.parametrize("value", HOSTILE)
async def test_hostile_orders_are_harmless(site: Site, value: str) -> None:
    await some_failures(site)
    pages = ("jobs", "workers", "schedules", "webhooks", "failures", "audit")
    paths = ["/", *(f"{HERE}/{page}" for page in pages)]
    for path in paths:
        once = path.endswith(("/jobs", "/webhooks")) and "&" in value
        answer = await site.ask("GET", f"{path}?sort={value}", role=Role.VIEW, Accept="text/html")
        assert answer.status == (400 if once else 200), path
        assert "<script>alert" not in answer.body.decode()
        assert "onerror=alert(1)>" not in answer.body.decode()


async def test_the_command_sorts(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await some_failures(site)
    monkeypatch.setenv("ASYNCENDPOINTS_CONSOLE_TOKEN", TOKENS[Role.VIEW])

    async def column(number: int, *command: str) -> list[str]:
        given = [*command, "--url", site.server.url]
        await asyncio.to_thread(main, given)
        return [line.split()[number] for line in capsys.readouterr().out.splitlines()[1:]]

    reports = ("-e", "demo/reports")
    assert await column(1, "queue", "failures", *reports) == ["b", "c", "a"]
    newest = ("queue", "failures", "--sort", "newest", *reports)
    assert await column(1, *newest) == ["c", "b", "a"]
    assert await column(1, *newest, "--reverse") == ["a", "b", "c"]
    codes = ("queue", "failures", "-o", "name", "--sort", "job", *reports)
    assert await column(0, *codes) == ["code-b", "code-c"]  # after code-a
    assert await column(0, *codes, "--reverse") == ["code-b", "code-a"]  # after code-c
    assert await column(1, "jobs", "list", "--sort", "job", *reports) == list("abbbcc")
    failed = ("queue", "show", "--sort", "failed")
    assert await column(0, *failed) == ["demo/reports", "demo/another"]
    assert await column(0, *failed, "--reverse") == ["demo/another", "demo/reports"]
    await hand(site.stores["another"], "w-2")
    await hand(site.stores["another"], "w-1")
    workers = ("queue", "workers", "--sort", "worker", "-e", "demo/another")
    assert await column(0, *workers) == ["w-1", "w-2"]
    assert await column(0, *workers, "-o", "name") == ["w-2"]
    assert await column(0, *workers, "--reverse") == ["w-2", "w-1"]


async def test_the_command_says_that_it_sorts_the_newest_only(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await some_failures(site)
    monkeypatch.setenv("ASYNCENDPOINTS_CONSOLE_TOKEN", TOKENS[Role.VIEW])
    command = ["jobs", "list", "-e", "demo/reports", "-o", "name", "--url", site.server.url]

    async def listed(*options: str) -> tuple[int, str]:
        await asyncio.to_thread(main, [*command, *options])
        out, err = capsys.readouterr()
        return len(out.splitlines()), err

    said = "only the newest 5 jobs are sorted; --limit N sorts more\n"
    assert await listed("--sort", "created", "--limit", "5") == (5, said)
    assert await listed("--sort", "created", "--limit", "6") == (6, "")
    assert await listed("--limit", "5") == (5, "")
