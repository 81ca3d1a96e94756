"""The docs page against outages, hostile texts and results, and unusual schemas, in a browser."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from asyncendpoints_core.jobs.records import Result
from asyncendpoints_core.store.memory import MemoryStore
from support.http.browser import chromium, opened
from support.http.gateway import Site, endpoint, serving
from support.npm import node_modules
from support.ports import free_port

expect.set_options(timeout=30_000)
pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTES: list[dict[str, Any]] = [{"path": "/notes/{name}", "job": "note"}]
HOSTILE = "</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) <b>bold</b> \u202e"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


def url(one: Site, anchor: str = "") -> str:
    return f"http://127.0.0.1:{one.port}/docs{anchor}"


async def send(page: Page, name: str = "acme") -> None:
    """Submit a note by its form, opening it first."""
    await page.locator("#post_note").evaluate("each => { each.open = true }")
    await page.locator("#post_note input[name=name]").fill(name)
    await page.locator("#post_note form button", has_text="Send").click()


async def test_a_job_is_followed_across_a_restart_of_the_gateway(browser: Browser) -> None:
    store, port = MemoryStore(), free_port()
    described = endpoint(routes=NOTES)
    async with serving(store, described, http_port=port) as one, opened(browser, url(one)) as page:
        await send(page)
        state = page.locator("#post_note .state")
        await expect(state).to_have_text("Queued")
        claimed = await one.claim()
        await expect(state).to_have_text("InProgress")
        await one.server.stop()
        answer = page.locator("#post_note .answer")
        await expect(answer).to_contain_text("The gateway cannot be reached; trying again")
        async with serving(store, described, http_port=port) as again:
            await again.complete(claimed, Result("application/json", b'"after"'))
            await expect(state).to_have_text("Completed")
            await expect(answer).to_contain_text('"after"')
            await expect(answer).not_to_contain_text("trying again")


async def test_a_result_is_never_shown_as_a_page_or_changed(browser: Browser) -> None:
    html = b"<script>document.title = 'run'</script>" + b"x" * 200_000
    digits = b'{"id":12345678901234567890,"one":1.0,"e":[],"s":"a\\"{,","l":[1,{"b":2}]}'
    async with (
        serving(MemoryStore(), endpoint(routes=NOTES)) as one,
        opened(browser, url(one)) as page,
    ):
        await page.evaluate(
            "() => { const make = URL.createObjectURL; window.types = [];"
            "URL.createObjectURL = (it) => { types.push(it.type); return make.call(URL, it) } }"
        )
        shown = page.locator("#post_note .job")
        results = (
            Result("text/html", html),
            Result("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "größe.svg"),
            Result("application/octet-stream", bytes(256)),
        )
        for result in results:
            await send(page)
            await one.complete(await one.claim(), result)
            link = shown.get_by_role("link")
            async with page.expect_download() as waiting:
                await link.click()
            got = await waiting.value
            assert got.suggested_filename == (result.filename or "result")
            assert Path(await got.path()).read_bytes() == result.body
        assert await page.evaluate("[...new Set(types)]") == ["application/octet-stream"]
        assert await page.title() == "reports"
        await send(page)
        await one.complete(await one.claim(), Result("application/json", digits))
        await expect(shown.locator("pre").last).to_contain_text("1.0")
        text = await shown.locator("pre").last.inner_text()
        assert '"id": 12345678901234567890' in text
        assert text == json.dumps(json.loads(digits), indent=2)


async def test_a_cancel_that_fails_can_be_sent_again_and_a_job_retried(browser: Browser) -> None:
    async with (
        serving(MemoryStore(), endpoint(routes=NOTES)) as one,
        opened(browser, url(one)) as page,
    ):
        await send(page)
        job = page.locator("#post_note .job")
        cancel = job.get_by_role("button", name="Cancel")
        await expect(cancel).to_be_visible()
        await page.route("**/jobs/*", lambda route: route.abort())
        await cancel.click()
        await expect(job).to_contain_text("The request failed")
        await page.unroute("**/jobs/*")
        await cancel.click()
        await expect(job.locator(".state")).to_have_text("Canceled")
        await job.get_by_role("button", name="Retry").click()
        await expect(job.locator(".state")).to_have_text("Queued")
        await one.fail(await one.claim(), "no rows")
        await expect(job).to_contain_text("no rows")
        await job.get_by_role("button", name="Retry").click()
        await one.complete(await one.claim(), Result("application/json", b"7"))
        await expect(job.locator(".state")).to_have_text("Completed")
        await expect(job.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize("name", ["a/b c", "größe", "100%", "$&", "'\"<", "...", "{name}"])
async def test_a_path_parameter_arrives_as_it_is_typed(browser: Browser, name: str) -> None:
    async with (
        serving(MemoryStore(), endpoint(routes=NOTES)) as one,
        opened(browser, url(one)) as page,
    ):
        await send(page, name)
        await expect(page.locator("#post_note .state")).to_have_text("Queued")
        assert (await one.claim()).request.route_params == {"name": name}


async def test_a_path_parameter_that_browsers_remove_is_not_sent(browser: Browser) -> None:
    async with (
        serving(MemoryStore(), endpoint(routes=NOTES)) as one,
        opened(browser, url(one)) as page,
    ):
        for name in ("..", "."):
            await send(page, name)
            assert await page.locator("#post_note input[name=name]:invalid").count() == 1
        await expect(page.locator("#post_note .answer")).to_be_empty()


async def test_no_text_of_the_resource_is_markup(browser: Browser) -> None:
    schema = {
        "title": HOSTILE,
        "description": HOSTILE,
        "type": "object",
        "properties": {
            HOSTILE: {"type": "string", "description": HOSTILE, "pattern": "</script>"},
            "e": {"enum": [HOSTILE], "default": HOSTILE, "examples": [HOSTILE]},
            "__proto__": {"const": HOSTILE},
        },
        "$defs": {"constructor": {"description": HOSTILE}},
    }
    routes = [{"path": "/notes", "job": "note", "schema": schema}]
    dialogs: list[str] = []
    async with (
        serving(MemoryStore(), endpoint(routes=routes)) as one,
        opened(browser, url(one, "#%E0%A4%A")) as page,
    ):
        page.on("dialog", lambda each: dialogs.append(each.message))
        await expect(page.locator("footer")).to_be_visible()
        await page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
        await expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert await page.locator("main img, main b, main script").count() == 0
        links = await page.eval_on_selector_all("a", "all => all.map(a => a.protocol)")
        assert set(links) == {"http:"}
        await page.locator("#post_note form button", has_text="Send").click()
        await expect(page.locator("#post_note .state")).to_have_text("Queued")
    assert dialogs == []


async def test_what_alternatives_and_all_of_require_is_shown(browser: Browser) -> None:
    base = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    schema = {
        "allOf": [
            {"$ref": "#/$defs/Base"},
            {"required": ["size"], "properties": {"size": {"enum": ["s", "m"]}}},
        ],
        "oneOf": [
            {"required": ["mail"], "properties": {"mail": {"type": "string", "format": "email"}}},
            {"required": ["phone"], "properties": {"phone": {"type": "string"}}},
        ],
        "properties": {"counts": {"type": "object", "additionalProperties": {"type": "integer"}}},
        "$defs": {"Base": base},
    }
    routes = [{"path": "/notes", "job": "note", "schema": schema}]
    async with (
        serving(MemoryStore(), endpoint(routes=routes)) as one,
        opened(browser, url(one, "#post_note")) as page,
    ):
        fields = await page.locator("#post_note .field").all_inner_texts()
        shown = {" ".join(each.split()) for each in fields}
        assert {
            "idrequired integer",
            "sizerequired s or m",
            "mailrequired stringemail",
            "phonerequired string",
            "counts object of integer",
        } <= shown
        await page.locator("#post_note form button", has_text="Send").click()
        await expect(page.locator("#post_note .state")).to_have_text("Queued")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault(browser: Browser, scheme: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("right")
    axe = (node_modules() / "axe-core" / "axe.min.js").read_text()
    guarded = endpoint(gateway={"auth": {"tokens": {"file": str(tokens)}}})
    async with (
        serving(MemoryStore(), guarded) as one,
        opened(browser, url(one), scheme=scheme) as page,
    ):
        await page.evaluate(axe)
        for token in ("wrong", "right"):
            await page.get_by_label("Bearer token").fill(token)
            await page.keyboard.press("Enter")
            await expect(page.locator("#notice")).not_to_have_text("Loading…")
            await page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = 1 })")
            await expect(page.locator("footer")).to_have_count(1 if token == "right" else 0)
            found = await page.evaluate("axe.run().then(result => result.violations)")
            assert [
                (fault["id"], fault["nodes"][0]["html"], fault["nodes"][0]["failureSummary"])
                for fault in found
            ] == []


async def test_many_routes_below_a_path_after_a_failed_load(browser: Browser) -> None:
    routes = [{"path": f"/r{number}/{{id}}", "job": f"job{number}"} for number in range(100)]
    described = endpoint(routes=routes, gateway={"basePath": "/api/v1"})

    async def strip(route: Route) -> None:  # as the proxy in front does
        await route.continue_(url=route.request.url.replace("/api/v1/", "/"))

    async with serving(MemoryStore(), described) as one, opened(browser, "about:blank") as page:
        await page.route("**/api/v1/**", strip)
        await page.route("**/openapi.json", lambda route: route.fulfill(status=500))
        await page.goto(f"http://127.0.0.1:{one.port}/api/v1/docs#post_job77")
        await expect(page.locator("#notice")).to_contain_text("cannot be loaded: 500")
        await page.unroute("**/openapi.json")
        await page.get_by_role("button", name="Try again").press("Enter")
        last = page.locator("#post_job77")
        await expect(last.locator("summary").first).to_be_in_viewport()
        await last.locator("input[name=id]").fill("x")
        await last.get_by_role("button", name="Send").press("Enter")
        await expect(last.locator(".state")).to_have_text("Queued")
        await one.complete(await one.claim())
        await expect(last.locator(".job")).to_contain_text("done")
