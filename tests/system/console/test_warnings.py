"""What the overview, the API and `queue show` warn of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from asyncendpoints_cli.main import main
from asyncendpoints_console.access import Role
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.store.deliveries import DeliveryEnd
from asyncendpoints_core.store.figures import FiguresWrite, Point, ScalingState
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import Cause, EnqueueStatus
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


@pytest.mark.parametrize("size", [300, 3_000])
async def test_a_queue_that_is_full_by_bytes(size: int) -> None:
    spec: dict[str, Any] = {"gateway": {"maxBodyBytes": 4_000}, "queue": {"maxBytes": 10_000}}
    store = MemoryStore(SetTime(START_MS))
    await store.configure(endpoint("reports", **spec).spec.policy())
    async with console({"reports": store}, **spec) as site:
        assert await reasons(site) == []
        await put(store, new(body=b"x" * size))
        assert await reasons(site) == []
        for _ in range(100):
            [answer] = await store.enqueue([new(body=b"x" * size)])
            if answer.status is EnqueueStatus.FULL:
                break
        [warning] = (await site.read(E))["warnings"]
        assert warning["reason"] == "QueueFull"
        assert "of the 10,000 bytes of queue.maxBytes are used" in warning["message"]


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


@pytest.mark.parametrize("held", [0, 1])
async def test_workers_are_lost_where_nothing_recovers_them(
    site: Site, store: Any, time: SetTime, held: int
) -> None:
    await put(store, *(new() for _ in range(held)))
    await (await hand(store)).take(held)
    [worker] = await store.workers()
    time.advance(worker.lease_ms - START_MS + 1_000)
    assert await reasons(site) == []
    time.advance(4_000)
    message = "1 worker does not report"
    message += ", and nothing recovers its jobs: is the operator down?" if held else ""
    assert (await site.read(E))["warnings"] == [{"reason": "WorkersLost", "message": message}]
    await store.release_worker(worker.info.id, Cause.LOST)
    assert await reasons(site) == []


async def test_a_new_job_behind_a_paused_one_has_not_waited(
    site: Site, store: Any, time: SetTime
) -> None:
    await put(store, new("report"))
    await store.pause("report")
    time.advance(40_000)
    await put(store, new("other"))
    assert await reasons(site) == []
    # The figures say that there was something to start, and nobody to start it.
    now_ms = START_MS + 40_000
    points = tuple(
        Point(at_ms=(now_ms // 10_000 - i) * 10_000, jobs=(2, 0, 0, 0, 0, 0), demand=1)
        for i in (4, 3, 2, 1)
    )
    await store.record_figures(FiguresWrite({10: points}))
    assert await reasons(site) == ["NoWorkers"]


@pytest.mark.parametrize(
    ("replicas", "target", "message"),
    [
        (None, 0, "jobs wait, and no worker is there"),
        (None, 1, "jobs wait, and no worker is there yet: 1 worker is being started"),
        (2, 2, "jobs wait, and no worker is there yet: 2 workers are being started"),
        (0, 0, "jobs wait, and no worker is wanted: replicas is 0"),
    ],
)
async def test_it_says_whether_workers_are_wanted(
    time: SetTime, replicas: int | None, target: int, message: str
) -> None:
    store = MemoryStore(time)
    spec: dict[str, Any] = {} if replicas is None else {"replicas": replicas}
    async with console({"reports": store}, time=time, **spec) as site:
        await put(store, new())
        time.advance(31_000)
        state = ScalingState(START_MS + 31_000, target, "ScaledUp", "")
        await store.record_figures(FiguresWrite({}, scaling=state))
        assert (await site.read(E))["warnings"] == [{"reason": "NoWorkers", "message": message}]


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
        "gave up 1 delivery of webhooks in the last hour",
    ]


async def test_deliveries_that_were_given_up_long_ago(
    site: Site, store: Any, time: SetTime
) -> None:
    await send(site, store, crm=DeliveryEnd.DEAD)
    time.advance(3_599_000)
    assert await reasons(site) == ["WebhooksFailing", "DeliveriesDead"]
    time.advance(1_000)
    assert await reasons(site) == ["WebhooksFailing"]


async def test_receivers_that_clients_name_are_their_affair(site: Site, store: Any) -> None:
    await send(site, store, client=DeliveryEnd.DEAD)
    assert (await site.read(f"{E}/webhooks"))["dead"] == 1
    assert await reasons(site) == []


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


@pytest.mark.parametrize("choice", ["", "0"])
async def test_a_page_is_left_when_what_it_shows_is_gone(
    site: Site, store: Any, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    [job_id] = await put(store, new())
    async with chromium() as browser, opened(browser, site.server.login_url()) as page:
        await page.evaluate(f"localStorage.setItem('refresh', '{choice}')")
        with monkeypatch.context() as patched:
            patched.setattr(store, "inspect", away)
            await page.goto(f"{site.server.url}{PAGE}/jobs/{ids.text(job_id)}")
            await expect(page.locator("h1")).to_have_text("The queue is unavailable")
            await store.cancel([job_id])
            await store.delete([job_id])
        await expect(page.get_by_text("as soon as it can be")).to_have_count(0, timeout=30_000)
        await expect(page.locator("h1")).not_to_have_text("The queue is unavailable")
