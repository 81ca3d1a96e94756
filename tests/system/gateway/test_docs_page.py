"""The docs page in a real browser, against a real gateway."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, expect

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Progress, Result
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from support.http.browser import chromium, opened
from support.http.gateway import Site, endpoint, serving

expect.set_options(timeout=30_000)
pytestmark = pytest.mark.asyncio(loop_scope="module")

ORDER: dict[str, Any] = {
    "type": "object",
    "description": "<b>Not</b> markup",
    "required": ["code", "lines", "kind"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$", "description": "Of an order"},
        "kind": {"enum": ["new", "repeat"]},
        "lines": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/Line"}},
        "customer": {
            "type": "object",
            "required": ["mail"],
            "properties": {"mail": {"type": "string", "format": "email"}},
        },
    },
    "$defs": {
        "Line": {
            "type": "object",
            "required": ["count"],
            "properties": {"count": {"type": "integer", "minimum": 1, "maximum": 99}},
        }
    },
}
ROUTES: list[dict[str, Any]] = [
    {"path": "/orders/{customer}", "job": "order", "schema": ORDER, "headers": ["X-Tenant"]},
    {"path": "/notes", "job": "note", "methods": ["POST", "PUT"]},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@asynccontextmanager
async def site(**gateway: Any) -> AsyncIterator[Site]:
    async with serving(MemoryStore(), endpoint(routes=ROUTES, gateway=gateway)) as running:
        yield running


def url(one: Site, anchor: str = "") -> str:
    return f"http://127.0.0.1:{one.port}/docs{anchor}"


async def send(page: Page, operation: str) -> None:
    """Send the form of an operation, opening it first."""
    await page.locator(f"#{operation}").evaluate("each => { each.open = true }")
    await page.locator(f"#{operation} form button", has_text="Send").click()


async def test_with_tokens_it_opens_and_asks_for_one(browser: Browser, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("right")
    async with (
        site(auth={"tokens": {"file": str(tokens)}}) as one,
        opened(browser, url(one)) as page,
    ):
        await expect(page.get_by_label("Bearer token")).to_be_visible()
        await expect(page.locator(".card")).to_have_count(0)
        await page.get_by_label("Bearer token").fill("wrong")
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("#notice")).to_have_text("This token is not accepted.")
        await page.get_by_label("Bearer token").fill("right")
        await page.get_by_role("button", name="Open").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("reports")
        await send(page, "post_note")
        await expect(page.locator("#post_note .state")).to_have_text("Queued")
        assert "right" not in await page.locator("#post_note .curl").inner_text()


async def test_it_shows_what_a_route_requires(browser: Browser) -> None:
    async with site() as one, opened(browser, url(one, "#post_order")) as page:
        order = page.locator("#post_order")
        await expect(order).to_have_attribute("open", "")

        async def field(name: str) -> str:
            shown = order.locator(".field").filter(has=page.get_by_text(name, exact=True))
            return " ".join((await shown.first.inner_text()).split())

        assert await field("customer") == "customerpathrequired string"
        assert await field("code") == ("coderequired stringmatches ^[A-Z]{2}-[0-9]{4}$ Of an order")
        optional = await order.locator(".field .name").all_inner_texts()
        assert "X-Tenant".lower() + "header" in optional  # and nothing else
        assert await field("kind") == "kindrequired new or repeat"
        assert await field("lines") == "linesrequired array of order.body.Lineat least 2 items"
        assert await field("customer.mail") == "customer.mailrequired stringemail"
        await expect(order.get_by_text("<b>Not</b> markup", exact=True)).to_be_visible()
        await expect(order.locator("select[name=Job-Priority] option")).to_have_text(
            ["", "high", "normal", "low"]
        )
        paths = await page.locator("main .card .path").all_inner_texts()
        assert paths[:3] == ["/orders/{customer}", "/notes", "/notes"]
        await order.get_by_role("link", name="order.body.Line").click()
        line = page.locator(r"#schema-order\.body\.Line")
        await expect(line.get_by_text("1 to 99")).to_be_in_viewport()


async def test_its_sample_body_is_accepted(browser: Browser) -> None:
    async with site() as one, opened(browser, url(one)) as page:
        await page.locator("#post_order").evaluate("each => { each.open = true }")
        await page.locator("#post_order input[name=customer]").fill("acme & co")
        await page.locator("#post_order [data-in=search]").fill("by=region&x=1")
        await page.locator("#post_order select[name=Job-Priority]").select_option("high")
        async with page.expect_request("**/orders/**") as sent:
            await send(page, "post_order")
        key = await (await sent.value).header_value("idempotency-key")
        assert key is not None, "a browser may send a POST again on a connection that was closed"
        await expect(page.locator("#post_order .state")).to_have_text("Queued")
        claimed = await one.claim()
        request = claimed.request
        assert (request.path, request.query) == ("/orders/acme%20%26%20co", "by=region&x=1")
        assert json.loads(request.body)["kind"] == "new"
        assert claimed.job.priority.name == "HIGH"


async def test_it_follows_a_job_to_its_result(browser: Browser) -> None:
    async with site() as one, opened(browser, url(one)) as page:
        await send(page, "post_note")
        bar = page.locator("#post_note progress")
        await expect(bar).to_be_visible()
        claimed = await one.claim()
        await one.store.progress([(claimed.claim, Progress(0.25, "a quarter"))])
        await expect(page.locator("#post_note .job")).to_contain_text("a quarter")
        assert await bar.get_attribute("value") == "0.25"
        await one.complete(claimed, Result("application/json", b'{"sum": 6}'))
        await expect(page.locator("#post_note .state")).to_have_text("Completed")
        assert await bar.get_attribute("value") == "1"
        await expect(page.locator("#post_note .job")).to_contain_text('"sum": 6')


async def test_a_job_can_be_canceled(browser: Browser) -> None:
    async with site() as one, opened(browser, url(one)) as page:
        await send(page, "post_note")
        await page.locator("#post_note .cancel").click()
        await expect(page.locator("#post_note .state")).to_have_text("Canceled")
        await expect(page.locator("#post_note .cancel")).to_have_count(0)


async def test_the_id_of_a_job_is_offered_to_the_forms_about_jobs(browser: Browser) -> None:
    async with site() as one, opened(browser, url(one)) as page:
        await send(page, "post_note")
        await expect(page.locator("#post_note .state")).to_have_text("Queued")
        job_id = (await page.locator("#post_note .job .head code").inner_text()).strip()
        for operation in ("getJob", "cancelJob", "getResult", "retryJob"):
            await expect(page.locator(f"#{operation} input[name=id]")).to_have_value(job_id)
        await page.locator("#getJob").evaluate("each => { each.open = true }")
        await page.locator("#getJob input[name=id]").fill("mine")
        await send(page, "put_note")
        await expect(page.locator("#put_note .state")).to_have_text("Queued")
        await expect(page.locator("#getJob input[name=id]")).to_have_value("mine")
        await expect(page.locator("#jobs option")).to_have_count(2)
        await send(page, "cancelJob")
        await expect(page.locator("#cancelJob .answer")).to_contain_text("200 OK")


async def _requests_in(page: Page, seconds: float, action: Callable[[], Awaitable[None]]) -> int:
    seen: list[Request] = []
    page.on("request", lambda each: seen.append(each))
    await action()
    await page.wait_for_timeout(seconds * 1000)
    return len(seen)


async def test_it_waits_as_long_as_the_gateway_says(browser: Browser) -> None:
    # With no place for a waiting request, the gateway answers each long poll at once.
    async with site(maxWaiters=0) as one, opened(browser, url(one)) as page:
        assert await _requests_in(page, 3, lambda: send(page, "post_note")) <= 8


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_is_wider_than_the_window(browser: Browser, width: int) -> None:
    async with site() as one, opened(browser, url(one), width) as page:
        await expect(page.locator("footer")).to_be_visible()
        await page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
        await send(page, "post_note")
        await expect(page.locator("#post_note .state")).to_have_text("Queued")
        widest = await page.evaluate("document.documentElement.scrollWidth")
        assert widest <= width
        # A name, a type or a description has a readable width of its own.
        narrow = await page.evaluate(
            "Math.min(...[...document.querySelectorAll('.field > *, .row > label')]"
            ".filter(e => e.textContent).map(e => e.clientWidth))"
        )
        assert narrow >= 130


async def test_an_outage_is_shown_and_ends(browser: Browser) -> None:
    async with site() as one, opened(browser, url(one)) as page:
        await page.route("**/notes", lambda route: route.abort())
        await send(page, "post_note")
        await expect(page.locator("#post_note .answer")).to_contain_text("The request failed")
        await page.unroute("**/notes")
        await send(page, "post_note")
        await expect(page.locator("#post_note .state")).to_have_text("Queued")
        jobs = (await one.ask("GET", "/jobs")).json["items"]
        assert [job["state"] for job in jobs] == [State.QUEUED.value]
        assert ids.parse(jobs[0]["id"]) is not None
