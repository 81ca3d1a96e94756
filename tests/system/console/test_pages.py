"""The console's pages in a real browser, over a real store."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Cookie, Page, Request, expect

from asyncendpoints_console.access import Role
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import (
    Attributes,
    ClaimedJob,
    JobError,
    NewJob,
    Progress,
    Result,
    complete,
    fail,
    retry_later,
)
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.deliveries import DeliveryEnd
from asyncendpoints_core.store.figures import FiguresWrite, Point, ScalingState, ScalingStep
from asyncendpoints_core.store.job_logs import LogWrite
from asyncendpoints_core.store.memory import MemoryStore
from support.http.browser import chromium, opened
from support.http.console import TOKENS, Site, console, endpoint
from support.http.console_webhooks import WEBHOOKS, send
from support.npm import node_modules
from support.store.stores import ERROR, Hand, hand, new, policy, put, settle_one

expect.set_options(timeout=30_000)
pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = "/e/demo/reports"
HOSTILE = (
    "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    "\u202e'\"}}{{7*7}}"
)


SCHEDULES = [
    {
        **{"name": "nightly", "cron": "0 3 * * *", "timeZone": "Europe/Berlin"},
        **{"job": "build-report", "key": HOSTILE[:60], "tags": ["night"]},
    },
    {"name": "cleanup", "cron": "@hourly", "job": "latest", "suspend": True},
]


@dataclass
class Console:
    """A console over an empty queue."""

    browser: Browser
    site: Site
    store: MemoryStore
    worker: Hand

    @asynccontextmanager
    async def page(
        self, path: str, *, role: Role = Role.OPERATE, width: int = 1280, scheme: str = "light"
    ) -> AsyncIterator[Page]:
        """Open a page with a session of that role."""
        link = f"{self.site.server.url}/login?code={self.site.server.access.new_link(role)}"
        async with opened(self.browser, link, width, scheme) as page:
            if path != "/":
                await page.goto(self.site.server.url + path)
            yield page

    async def state(self, job_id: ids.JobId) -> State | None:
        """Return a job's state."""
        [found] = await self.store.get([job_id])
        return found.job.state if found.job else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shown(browser: Browser) -> AsyncIterator[Console]:
    store = MemoryStore()
    async with console({"reports": store}, schedules=SCHEDULES, **WEBHOOKS) as site:
        yield Console(browser, site, store, await hand(store))


def job_page(job_id: ids.JobId) -> str:
    return f"{HERE}/jobs/{ids.text(job_id)}"


async def test_without_a_session_it_asks_for_a_token(shown: Console) -> None:
    await put(shown.store, new("build-report"))
    async with opened(shown.browser, f"{shown.site.server.url}{HERE}/jobs?state=Queued") as page:
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_have_text("This token is not accepted.")
        await page.get_by_label("Token").fill(TOKENS[Role.VIEW])
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="build-report")).to_be_visible()
        assert page.url.endswith("/jobs?state=Queued")
        cookies = await page.context.cookies()
        assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Strict")]


async def test_the_overview_moves(shown: Console) -> None:
    async with shown.page("/") as page:
        queued = page.locator(".counts a", has_text="Queued").locator("strong")
        await expect(queued).to_have_text("0")
        await put(shown.store, *(new() for _ in range(3)))
        await expect(queued).to_have_text("3")
        for job in await shown.worker.take(2):
            await settle_one(shown.store, fail(job.claim, ERROR))
        await expect(page.get_by_text("What failed most")).to_be_visible()
        await page.locator(".plain a", has_text="report").click()
        await expect(page.locator("tbody tr")).to_have_count(2)
        assert page.url.endswith(f"?state=Failed&job=report&error={ERROR.code}")


async def test_an_endpoint_is_paused_after_a_question(shown: Console) -> None:
    async with shown.page("/") as page:
        await page.get_by_role("button", name="Pause reports").click()
        await expect(page.locator("#question-text")).to_contain_text("Pause reports?")
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await expect(page.locator(".state", has_text="paused")).to_be_visible()
        assert (await shown.store.stats()).paused
        await page.get_by_role("button", name="Resume reports").click()
        await expect(page.get_by_role("button", name="Pause reports")).to_be_visible()
        assert not (await shown.store.stats()).paused


async def test_a_paused_job_is_shown_and_resumed(shown: Console) -> None:
    await put(shown.store, new("report"))
    await shown.store.pause("report")
    async with shown.page("/") as page:
        await expect(page.locator(".state", has_text="report paused")).to_be_visible()
        await expect(page.get_by_role("button", name="Pause reports")).to_be_visible()
        await page.get_by_role("button", name="Resume report of reports").click()
        await expect(page.locator(".state", has_text="report paused")).to_have_count(0)
        assert (await shown.store.stats()).paused_jobs == ()


async def test_filters_are_in_the_url(shown: Console) -> None:
    tagged = msgspec.structs.replace(new("a"), attributes=Attributes(tags=("eu",)))
    await put(shown.store, tagged, new("b"), new("b", delay_ms=60_000))
    async with shown.page(f"{HERE}/jobs") as page:
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(3)
        await page.get_by_label("State").select_option("Queued")
        await page.get_by_label("Job", exact=True).fill("b")
        await page.get_by_role("button", name="Filter").click()
        await expect(rows).to_have_count(1)
        assert "state=Queued&job=b" in page.url
        await page.reload()
        await expect(page.get_by_label("State")).to_have_value("Queued")
        await page.get_by_label("State").select_option("")
        await page.get_by_label("Job", exact=True).fill("")
        await page.get_by_label("Tag").fill("eu")
        await page.keyboard.press("Enter")
        await expect(rows.get_by_role("link", name="a")).to_be_visible()
        await expect(rows).to_have_count(1)
        assert page.url.endswith("/jobs?tag=eu")
        await page.go_back()
        await expect(page.get_by_label("State")).to_have_value("Queued")
        await page.get_by_role("link", name="Show all").click()
        await expect(rows).to_have_count(3)
        await page.get_by_text("More filters").click()
        await page.get_by_label("Created until").fill("2020-01-01T00:00Z")
        await page.keyboard.press("Enter")
        await expect(rows).to_have_count(0)
        assert page.url.endswith("/jobs?until=2020-01-01T00%3A00Z")


async def test_every_filter_of_the_url_is_shown_kept_and_acted_on(shown: Console) -> None:
    def of_schedule(tag: str, schedule: str = "nightly") -> NewJob:
        attributes = Attributes(schedule=schedule, tags=("eu", tag))
        return msgspec.structs.replace(new(), attributes=attributes)

    made = await put(shown.store, *(of_schedule("b") for _ in range(60)))
    await put(shown.store, of_schedule("c"), of_schedule("b", "other"))
    since = "2020-01-01T00:00:00%2B01:00"
    async with shown.page(f"{HERE}/jobs?schedule=nightly&tag=eu&tag=b&since={since}") as page:
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(50)
        await expect(page.get_by_role("textbox", name="Schedule")).to_have_value("nightly")
        await page.get_by_role("link", name="Next page").click()
        await expect(rows).to_have_count(10)
        await page.get_by_role("link", name="First page").click()
        await expect(rows).to_have_count(50)
        await page.get_by_role("button", name="Filter").click()
        await expect(rows).to_have_count(50)
        await page.get_by_label("Select all jobs of this page").check()
        await page.get_by_role("button", name="Select all that match").click()
        await page.locator("#bulk").get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel 60 jobs").click()
        await expect(page.get_by_role("alert")).to_contain_text("60 done")
    assert {await shown.state(job_id) for job_id in made} == {State.CANCELED}
    assert (await shown.store.stats()).counts[State.QUEUED] == 2


async def test_a_schedule_is_run_after_a_question(shown: Console) -> None:
    spec = endpoint("reports", schedules=SCHEDULES).spec
    await shown.store.configure(spec.policy())
    async with shown.page(f"{HERE}/schedules") as page:
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.filter(has_text="cleanup")).to_contain_text("suspended")
        await expect(rows.filter(has_text="nightly")).to_contain_text(", 03:00")
        await page.get_by_role("button", name="Run now: nightly").click()
        await expect(page.locator("#question-text")).to_contain_text("Create a job of nightly now?")
        await page.get_by_role("dialog").get_by_role("button", name="Run now").click()
        await expect(page.locator("h1")).to_contain_text("build-report")
        await page.get_by_role("link", name="nightly").click()
        await expect(rows).to_have_count(1)
        assert page.url.endswith("/jobs?schedule=nightly")
    async with shown.page(f"{HERE}/schedules", role=Role.VIEW) as page:
        await expect(page.locator("tbody tr")).to_have_count(2)
        await expect(page.get_by_role("button", name="Run")).to_have_count(0)


async def test_dead_deliveries_are_replayed(shown: Console) -> None:
    await shown.store.configure(endpoint("reports", **WEBHOOKS).spec.policy())
    for _ in range(2):
        ends = {"crm": DeliveryEnd.DEAD, "old": DeliveryEnd.DEAD}
        await send(shown.site, shown.store, **ends, billing=DeliveryEnd.FAILED)
    async with shown.page(f"{HERE}/webhooks") as page:
        hooks, rows = page.locator("#webhooks tbody tr"), page.locator("#deliveries tbody tr")
        await expect(hooks.filter(has_text="billing")).to_contain_text("Failing answers 503")
        await expect(hooks.filter(has_text="crm")).to_contain_text("URL in a Secret")
        await expect(rows).to_have_count(2)
        await page.locator("form").get_by_label("State").select_option("dead")
        await page.locator("form").get_by_label("Webhook").select_option("crm")
        await page.get_by_role("button", name="Filter").click()
        await expect(rows).to_have_count(2)
        assert page.url.endswith("?state=dead&webhook=crm")
        await rows.first.get_by_role("button", name="Replay").click()
        await expect(rows).to_have_count(1)
        await page.goto(f"{shown.site.server.url}{HERE}/webhooks?state=dead")
        await expect(rows).to_have_count(3)
        await rows.filter(has_text="old").first.get_by_role("button", name="Replay").click()
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("its webhook is no longer in the resource")
        await page.get_by_role("button", name="Replay all").click()
        await expect(page.locator("#question-text")).to_contain_text("Send all 3 dead deliveries")
        await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
        await expect(alert).to_contain_text("1 done, 2 skipped")
        await expect(rows).to_have_count(2)
    async with shown.page(f"{HERE}/webhooks?state=dead", role=Role.VIEW) as page:
        await expect(page.locator("#deliveries tbody tr")).to_have_count(2)
        await expect(page.get_by_role("button", name="Replay")).to_have_count(0)


async def test_the_audit_shows_what_each_record_is_about(shown: Console) -> None:
    spec = endpoint("reports", schedules=SCHEDULES).spec
    await shown.store.configure(spec.policy())
    api = "/api/v1/endpoints/demo/reports"
    for path in ("/schedules/nightly/run", "/pause", "/resume"):
        assert (await shown.site.ask("POST", api + path)).status < 300
    async with shown.page(f"{HERE}/audit") as page:
        rows = page.locator("tbody tr")
        await expect(rows.filter(has_text="pause")).to_contain_text("*")
        await expect(rows.filter(has_text="run")).to_contain_text("nightly")
        await expect(page.get_by_role("link").filter(has=page.locator("code"))).to_have_count(1)
        await rows.get_by_role("link").click()
        await expect(page.locator("h1")).to_contain_text("build-report")


async def test_pages_of_a_listing(shown: Console) -> None:
    await put(shown.store, *(new() for _ in range(60)))
    async with shown.page(f"{HERE}/jobs?state=Queued") as page:
        await expect(page.locator("tbody tr")).to_have_count(50)
        await page.get_by_role("link", name="Next page").click()
        await expect(page.locator("tbody tr")).to_have_count(10)
        await page.get_by_role("link", name="First page").click()
        await expect(page.locator("tbody tr")).to_have_count(50)


async def test_a_job_is_followed_to_its_result(shown: Console) -> None:
    [job_id] = await put(shown.store, new(body=b'{"customer": 7}'))
    async with shown.page(job_page(job_id)) as page:
        await expect(page.locator("h1 .state")).to_have_text("Queued")
        await expect(page.get_by_text("It has not run yet.")).to_be_visible()
        [job] = await shown.worker.take(1)
        await shown.store.progress([(job.claim, Progress(0.25, "a quarter"))])
        await expect(page.locator(".now")).to_contain_text("25 % a quarter")
        await shown.store.progress([(job.claim, Progress(0.5, "half"))])
        await expect(page.locator(".now")).to_contain_text("50 % half")
        await settle_one(shown.store, complete(job.claim, Result("application/json", b"[1, 2]")))
        await expect(page.locator("h1 .state")).to_have_text("Completed")
        await page.locator("#outcome").get_by_role("link", name="Show").click()
        await expect(page.locator("#outcome pre")).to_have_text("[1, 2]")
        await page.locator("section", has_text="Input").get_by_role("link", name="Show").click()
        await expect(page.get_by_label("Input", exact=True).last).to_have_text('{"customer": 7}')
        await page.wait_for_timeout(1_500)  # it is refreshed, and does not read the body again
        records = shown.site.server._site.audit.records("demo/reports")
        assert [record["action"] for record in records] == ["read-body", "read-result"]


async def test_the_logs_of_a_job_grow_while_it_runs(shown: Console) -> None:
    [job_id] = await put(shown.store, new())
    async with shown.page(job_page(job_id)) as page:
        logs, texts = page.locator("#logs"), page.locator("#logs pre")
        await expect(page.locator("#logs-title")).to_be_hidden()
        first = await shown.worker.one()
        await expect(page.get_by_text("No logs of this job are kept.")).to_be_visible()
        await log(shown, first, 1, 0, "one\n")
        await expect(texts).to_have_text("one\n")
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('#logs pre'))")
        await log(shown, first, 1, 4, "two\n")  # what is selected stays, and lines are added
        await expect(texts).to_have_text("one\ntwo\n")
        assert "one" in await page.evaluate("getSelection().toString()")
        await settle_one(shown.store, retry_later(first.claim, ERROR, 0))
        second = await shown.worker.one()
        await log(shown, second, 2, 0, "".join(f"line {n}\n" for n in range(200)))
        await expect(logs.locator("summary")).to_have_text(["Attempt 1", "Attempt 2"])
        newest = texts.last
        await newest.evaluate("pre => { pre.scrollTop = pre.scrollHeight }")
        await log(shown, second, 2, 1_690, "the end\n")
        await expect(newest).to_contain_text("line 199\nthe end\n")
        below = "pre => pre.scrollHeight - pre.scrollTop - pre.clientHeight"
        assert await newest.evaluate(below) <= 4  # it follows the end
        async with page.expect_download() as saving:
            await page.locator("#logs-more").get_by_role("link", name="Download").click()
        saved = (await (await saving.value).path()).read_text()
        assert saved.startswith("--- attempt 1 ---\none\ntwo\n--- attempt 2 ---\nline 0\n")
    async with console({"reports": shown.store}, bodies=False) as closed:
        link = closed.server.login_url()
        async with opened(shown.browser, link) as page:
            await page.goto(closed.server.url + job_page(job_id))
            await expect(page.locator("h1 .state")).to_have_text("InProgress")
            await expect(page.locator("#logs")).to_have_count(0)


async def test_lines_that_are_dropped_leave_the_page(shown: Console) -> None:
    [job_id] = await put(shown.store, new())
    job = await shown.worker.one()
    await log(shown, job, 1, 0, "first\n" + "x" * 4_000 + "\n")
    async with shown.page(job_page(job_id)) as page:
        await expect(page.locator("#logs pre")).to_contain_text("first")
        await log(shown, job, 1, 4_007, "last\n" * 20)
        await expect(page.locator("#logs pre")).to_have_text("last\n" * 20)
        await expect(page.locator("#logs summary")).to_contain_text("earlier lines were dropped")


async def log(shown: Console, job: ClaimedJob, attempt: int, position: int, text: str) -> None:
    """Add lines to the log of a running job."""
    write = LogWrite(job.claim, attempt, position, text.encode())
    assert await shown.store.write_logs([write], limit=4_096, budget=100_000) == [True]


# The button of an open question once more, before the event of its end is dispatched.
ASKED_AGAIN = """() => {
  document.querySelector("dialog[open]").close();
  document.querySelector("[data-action=cancel]").click();
}"""


async def test_actions_of_a_job_ask_first(shown: Console) -> None:
    [job_id] = await put(shown.store, new())
    async with shown.page(job_page(job_id)) as page:
        actions = page.locator("#actions")
        await actions.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Keep").click()
        assert await shown.state(job_id) is State.QUEUED
        await actions.get_by_role("button", name="Cancel").click()
        await page.keyboard.press("Escape")
        assert await shown.state(job_id) is State.QUEUED
        await actions.get_by_role("button", name="Cancel").click()
        await page.evaluate(ASKED_AGAIN)
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await expect(page.locator("h1 .state")).to_have_text("Canceled")
        await actions.get_by_role("button", name="Retry").click()
        await expect(page.locator("h1 .state")).to_have_text("Queued")
        await shown.store.cancel([job_id])
        await actions.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
        assert await shown.state(job_id) is None
        await page.goto(shown.site.server.url + job_page(job_id))
        await expect(page.locator("h1")).to_have_text("The job has been removed")


async def test_an_input_is_edited_and_submitted_again(shown: Console) -> None:
    [job_id] = await put(shown.store, new("latest", body=b'{"year": 2025}', delay_ms=60_000))
    async with shown.page(job_page(job_id)) as page:
        await page.get_by_role("button", name="Run now").click()
        await expect(page.locator("h1 .state")).to_have_text("Queued")
        await page.get_by_role("button", name="Submit again").click()
        editor = page.get_by_role("dialog").get_by_label("Input")
        await expect(editor).to_have_value('{"year": 2025}')
        await editor.fill('{"year": 2026}')
        await page.get_by_role("dialog").get_by_role("button", name="Submit").click()
        await page.get_by_role("link", name=ids.text(job_id)).click()
        await expect(page.locator(".id")).to_have_text(ids.text(job_id))
    newest = (await shown.store.list(State.QUEUED, 1, None)).jobs[0]
    [made] = await shown.store.inspect([newest.id], bodies=True)
    assert made.request is not None
    assert (made.request.body, newest.attributes.parent) == (b'{"year": 2026}', job_id)


async def test_several_jobs_are_acted_on_after_a_question(shown: Console) -> None:
    kept, *chosen = await put(shown.store, *(new() for _ in range(3)))
    async with shown.page(f"{HERE}/jobs") as page:
        for job_id in chosen:
            await page.locator(f"input[value='{ids.text(job_id)}']").check()
        await expect(page.locator("#chosen")).to_have_text("2 jobs selected")
        await shown.store.cancel([chosen[0]])  # meanwhile
        await page.locator("#bulk").get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Cancel 2 jobs?")
        await page.get_by_role("button", name="Cancel 2 jobs").click()
        await expect(page.get_by_role("alert")).to_contain_text("1 done, 1 skipped")
        await expect(page.locator("tbody .state-canceled")).to_have_count(2)
        assert await shown.state(kept) is State.QUEUED
        await page.get_by_label("Select all jobs of this page").check()
        await expect(page.locator("#chosen")).to_have_text("3 jobs selected")


async def test_all_jobs_that_match_are_acted_on(shown: Console) -> None:
    await put(shown.store, *(new("mine") for _ in range(120)), new("other"))
    async with shown.page(f"{HERE}/jobs?state=Queued&job=mine") as page:
        every = page.get_by_role("button", name="Select all that match")
        await expect(every).to_be_hidden()
        await page.get_by_label("Select all jobs of this page").check()
        await expect(page.locator("#chosen")).to_have_text("50 jobs selected")
        await every.click()
        await expect(page.locator("#chosen")).to_have_text("All jobs that match are selected")
        await page.locator("#bulk").get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel 120 jobs").click()
        await expect(page.get_by_role("alert")).to_contain_text("120 done")
    counts = (await shown.store.stats()).counts
    assert (counts[State.CANCELED], counts[State.QUEUED]) == (120, 1)


async def test_a_running_action_is_shown_and_aborted(shown: Console) -> None:
    made = await put(shown.store, new(), new())
    await shown.store.cancel(made)
    await shown.store.configure(policy(max_depth=1))
    async with shown.page(f"{HERE}/jobs") as page:
        await page.get_by_label("Select all jobs of this page").check()
        await page.locator("#bulk").get_by_role("button", name="Retry").click()
        await page.get_by_role("button", name="Retry 2 jobs").click()
        await expect(page.locator("#action")).to_contain_text("1 done, waits for room in the queue")
        await page.get_by_role("button", name="Abort").click()
        await expect(page.get_by_role("alert")).to_contain_text("1 done until it was aborted")


async def test_view_offers_no_action(shown: Console) -> None:
    [job_id] = await put(shown.store, new())
    async with shown.page(job_page(job_id), role=Role.VIEW) as page:
        await expect(page.locator(".role")).to_have_text("read-only")
        await expect(page.locator("#actions button")).to_have_count(0)
        await page.goto(f"{shown.site.server.url}{HERE}/jobs")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("input[type=checkbox]")).to_have_count(0)


async def hostile_queue(shown: Console) -> list[str]:
    """Make jobs with hostile texts in every field that takes them; return all pages."""
    await shown.store.configure(endpoint("reports", **WEBHOOKS).spec.policy())
    ends = {"billing": DeliveryEnd.FAILED, "crm": DeliveryEnd.GONE, "old": DeliveryEnd.RETURNED}
    await send(shown.site, shown.store, **ends, client=DeliveryEnd.DEAD)
    made = msgspec.structs.replace(new(body=HOSTILE.encode()), attributes=Attributes(key=HOSTILE))
    request = msgspec.structs.replace(
        made.request,
        path=f"/{HOSTILE}",
        query=HOSTILE,
        route_params={HOSTILE: HOSTILE},
        headers={"x-note": HOSTILE, "authorization": "SECRET"},
        content_type=HOSTILE,
    )
    jobs = [msgspec.structs.replace(made, id=ids.new(n), request=request) for n in range(3)]
    failed, done, running = await put(shown.store, *jobs)
    one, two, three = await shown.worker.take(3)
    await settle_one(shown.store, fail(one.claim, JobError(HOSTILE, HOSTILE)))
    await settle_one(shown.store, complete(two.claim, Result(HOSTILE, HOSTILE.encode(), HOSTILE)))
    await shown.store.progress([(three.claim, Progress(0.5, HOSTILE))])
    await figures(shown, HOSTILE)
    await log(shown, three, 1, 0, f"\x1b[31m{HOSTILE}</pre></details>\x00\u2028\n")
    pages = (
        *("jobs", "workers", "scaling", "schedules", "webhooks", "webhooks?state=dead"),
        *("failures", "audit"),
    )
    listings = [f"{HERE}/{page}" for page in pages]
    shows = [f"{job_page(failed)}?show=input", f"{job_page(done)}?show=result", job_page(running)]
    return ["/", "/logout", *listings, *shows]


async def test_hostile_texts_are_shown_as_text(shown: Console) -> None:
    paths = await hostile_queue(shown)
    async with shown.page("/") as page:
        for path in paths:
            await page.goto(shown.site.server.url + path)
            title = await page.title()
            text = await page.locator("body").inner_text()
            assert title != "run"
            assert await page.locator("main img, main script").count() == 0
            assert "\u202e" not in text
            assert "SECRET" not in await page.content()
            if path == paths[-1]:
                assert "\\x1b[31m<img" in text
            if "show=" in path:
                assert "<script>document.title='run'</script>\\u202e" in text


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1280, "dark")])
async def test_every_page_fits(shown: Console, width: int, scheme: str) -> None:
    paths = await hostile_queue(shown)
    async with shown.page("/", width=width, scheme=scheme) as page:
        for path in paths:
            await page.goto(shown.site.server.url + path)
            await expect(page.locator("main h1")).to_be_visible()
            widest = await page.evaluate("document.documentElement.scrollWidth")
            assert widest <= width, path
            colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (colour == "rgb(246, 247, 249)") == (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_serious_fault(shown: Console, scheme: str) -> None:
    await put(shown.store, new(), new(delay_ms=60_000))
    paths = await hostile_queue(shown)
    axe = (node_modules() / "axe-core" / "axe.min.js").read_text()
    async with shown.page("/", scheme=scheme) as page:
        for path in paths:
            await page.goto(shown.site.server.url + path)
            await page.evaluate(axe)
            found = await page.evaluate("axe.run().then(result => result.violations)")
            serious = [
                (fault["id"], fault["nodes"][0]["html"], fault["nodes"][0]["failureSummary"])
                for fault in found
                if fault["impact"] in ("serious", "critical")
            ]
            assert serious == [], path


async def test_the_keyboard_is_enough(shown: Console) -> None:
    [job_id] = await put(shown.store, new("build-report"))
    async with shown.page(f"{HERE}/jobs") as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        await page.keyboard.press("Enter")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.textContent") == "build-report":
                break
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_contain_text("build-report")
        await page.get_by_role("button", name="Cancel").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1 .state")).to_have_text("Canceled")
        assert await shown.state(job_id) is State.CANCELED


async def test_without_script_it_is_read_only(shown: Console) -> None:
    [job_id] = await put(shown.store, new(body=b"input"))
    context = await shown.browser.new_context(java_script_enabled=False)
    try:
        page = await context.new_page()
        await page.goto(shown.site.server.login_url())
        await page.get_by_role("link", name="reports").click()
        await page.get_by_role("link", name="report", exact=True).click()
        await expect(page.locator("h1 .state")).to_have_text("Queued")
        await expect(page.get_by_role("button")).to_have_count(0)
        await page.get_by_role("link", name="Show").click()
        await expect(page.locator("pre")).to_have_text("input")
    finally:
        await context.close()
    assert await shown.state(job_id) is State.QUEUED


async def test_logging_out_ends_the_session_on_the_server(shown: Console) -> None:
    async with shown.page(f"{HERE}/jobs") as page:
        [cookie] = await page.context.cookies()
        assert await status_of(shown, cookie) == 200
        await page.get_by_role("link", name="Log out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        assert await page.context.cookies() == []
        assert await status_of(shown, cookie) == 401
        await page.goto(f"{shown.site.server.url}{HERE}/jobs")
        await expect(page.get_by_label("Token")).to_be_visible()


async def test_logging_out_works_without_script(shown: Console) -> None:
    context = await shown.browser.new_context(java_script_enabled=False)
    try:
        page = await context.new_page()
        await page.goto(shown.site.server.login_url())
        [cookie] = await context.cookies()
        await page.get_by_role("link", name="Log out").click()
        assert await status_of(shown, cookie) == 200  # a link ends nothing
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        assert page.url == f"{shown.site.server.url}/"
        assert await context.cookies() == []
    finally:
        await context.close()
    assert await status_of(shown, cookie) == 401


async def status_of(shown: Console, cookie: Cookie) -> int:
    """Return how the API answers a request with that session."""
    session = f"{cookie.get('name')}={cookie.get('value')}"
    return (await shown.site.ask("GET", "/api/v1", role=None, Cookie=session)).status


async def test_a_job_is_found_by_its_id_or_the_end_of_it(shown: Console) -> None:
    made = await put(shown.store, *(new() for _ in range(3)), new("other", delay_ms=60_000))
    wanted = ids.text(made[1])
    async with shown.page(f"{HERE}/jobs") as page:
        rows = page.locator("tbody tr")
        await page.get_by_role("textbox", name="Id").fill(wanted[-8:].upper())
        await page.keyboard.press("Enter")
        await expect(rows).to_have_count(1)
        await expect(rows.locator("code")).to_have_attribute("title", wanted)
        assert page.url.endswith(f"/jobs?id={wanted[-8:].upper()}")
        await page.get_by_label("State").select_option("Scheduled")
        await page.get_by_role("button", name="Filter").click()
        await expect(rows).to_have_count(0)
        await page.get_by_role("textbox", name="Id").fill(f" {wanted} ")
        await page.keyboard.press("Enter")
        await expect(page.locator(".id")).to_have_text(wanted)
        await page.goto(f"{shown.site.server.url}{HERE}/jobs?id=xyz")
        await expect(page.locator("main")).to_contain_text("at least 4 characters of its end")


async def test_the_end_of_an_id_is_searched_for_page_by_page(shown: Console) -> None:
    oldest, *_ = await put(shown.store, *(new() for _ in range(1_100)))
    end = ids.text(oldest)[-8:]
    async with shown.page(f"{HERE}/jobs?id={end}") as page:
        await expect(page.get_by_text("None of the jobs examined so far match")).to_be_visible()
        await page.get_by_role("link", name="Next page").click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        assert f"id={end}&cursor=" in page.url
        await page.locator("td.pick input").check()
        await expect(page.locator("#chosen")).to_have_text("1 job selected")
        await expect(page.get_by_role("button", name="Select all that match")).to_be_hidden()


async def test_an_id_is_copied(shown: Console) -> None:
    [job_id] = await put(shown.store, new())
    async with shown.page(job_page(job_id)) as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.get_by_role("button", name="Copy id").click()
        await expect(page.get_by_role("alert")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == ids.text(job_id)


async def test_jobs_of_one_name_are_paused_where_they_are_listed(shown: Console) -> None:
    await put(shown.store, new("build-report"))
    async with shown.page(f"{HERE}/jobs?job=build-report") as page:
        await page.get_by_role("button", name="Pause build-report").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await expect(page.locator(".state", has_text="build-report paused")).to_be_visible()
        assert (await shown.store.stats()).paused_jobs == ("build-report",)
        await page.get_by_role("button", name="Resume build-report").click()
        await expect(page.get_by_role("button", name="Pause build-report")).to_be_visible()
        assert (await shown.store.stats()).paused_jobs == ()
        await page.goto(f"{shown.site.server.url}{HERE}/jobs?job=nobody")
        await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    async with shown.page(f"{HERE}/jobs?job=build-report", role=Role.VIEW) as page:
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.get_by_role("button", name="Pause")).to_have_count(0)


async def test_scheduled_jobs_are_run_now_together(shown: Console) -> None:
    made = await put(shown.store, *(new(delay_ms=60_000) for _ in range(3)), new("queued"))
    async with shown.page(f"{HERE}/jobs") as page:
        run = page.locator("#bulk").get_by_role("button", name="Run now")
        await page.get_by_label("Select all jobs of this page").check()
        await expect(page.locator("#chosen")).to_have_text("4 jobs selected")
        await expect(run).to_be_hidden()
        await page.locator(f"input[value='{ids.text(made[3])}']").uncheck()
        await shown.store.cancel([made[0]])  # meanwhile
        await run.click()
        await page.get_by_role("button", name="Run now 3 jobs").click()
        await expect(page.get_by_role("alert")).to_contain_text("Run now: 2 done, 1 skipped")
    assert [await shown.state(each) for each in made[:3]] == [
        *(State.CANCELED, State.QUEUED, State.QUEUED)
    ]


async def test_a_person_chooses_how_often_pages_are_refreshed(shown: Console) -> None:
    async with shown.page("/") as page:
        queued = page.locator(".counts a", has_text="Queued").locator("strong")
        await page.get_by_label("Refresh").select_option("paused")
        await put(shown.store, new())
        await page.goto(shown.site.server.url + f"{HERE}/workers")
        await expect(page.get_by_label("Refresh")).to_have_value("0")
        reads = 0

        def count(_: Request) -> None:
            nonlocal reads
            reads += 1

        page.on("request", count)
        await page.wait_for_timeout(5_000)
        assert reads == 0
        await page.get_by_label("Refresh").select_option("live")
        await page.goto(shown.site.server.url)
        await expect(queued).to_have_text("1")
        await put(shown.store, new())
        await expect(queued).to_have_text("2")


async def test_how_long_a_job_waited_is_shown(shown: Console) -> None:
    [job_id] = await put(shown.store, new())
    await shown.worker.one()
    async with shown.page(job_page(job_id)) as page:
        await expect(page.locator("#state")).to_contain_text(re.compile(r"waited [0-9.]+ s"))


async def test_a_lost_connection_is_said(shown: Console) -> None:
    async with shown.page(f"{HERE}/workers") as page:
        await page.route("**/workers", lambda route: route.abort())
        await expect(page.get_by_text("Not connected.")).to_be_visible()
        await page.unroute("**/workers")
        await expect(page.get_by_text("Not connected.")).to_be_hidden()


async def test_a_selection_outlasts_the_refresh(shown: Console) -> None:
    await put(shown.store, new("first"))
    async with shown.page(f"{HERE}/jobs") as page:
        await page.locator("td.pick input").check()
        async with page.expect_response(lambda answer: answer.url.endswith("/jobs")):
            await put(shown.store, new("second"))
        await expect(page.locator("td.pick input:checked")).to_have_count(1)


async def figures(shown: Console, text: str = "0 → 3: 9 queued") -> None:
    """Record the figures of a minute, with a gap of a quarter of it, and a scaling step."""
    now = (await shown.store.stats()).now_ms
    points = tuple(
        Point(now - 1_000 * ago, (9, 1, 2, 3, 4, 5), 6, 5, 1, 250, 1_500, 11, 3, 2)
        for ago in (60, 50, 20, 10)
    )
    step = ScalingStep(now - 40_000, 0, 3, 5, "ScaledUp", text)
    state = ScalingState(now, 3, "Steady", f"kept at 3: {text}")
    write = FiguresWrite({10: points, 600: points[:1]}, (step,), state)
    await shown.store.record_figures(write)


async def test_scaling_is_shown_over_time_with_its_reasons(shown: Console) -> None:
    text = "0 → 3: 9 queued, 0 running"
    async with shown.page(f"{HERE}/scaling") as page:
        await expect(page.get_by_text("The number of workers has not changed yet.")).to_be_visible()
        charts = page.locator("svg.chart")
        await expect(charts).to_have_count(0)
        await figures(shown, text)
        await expect(charts).to_have_count(4)  # the page refreshes itself
        await expect(charts.first).to_have_attribute("aria-label", re.compile("wanted and ready"))
        await expect(charts.first.locator("polyline.line-1")).to_have_count(2)  # a gap is a gap
        await expect(charts.first.locator(".mark title")).to_have_text(text)
        now = await page.locator("dl > div").all_inner_texts()
        assert [" ".join(each.split()) for each in now] == [
            *("Demand 11 jobs", "Workers wanted 3", "Workers ready 2")
        ]
        await expect(page.locator(".reason")).to_contain_text("Steady kept at 3")
        step = await page.locator(".steps tbody td").all_inner_texts()
        assert [" ".join(each.split()) for each in step[1:]] == ["0 → 3 of 5", "ScaledUp", text]
        await page.get_by_role("link", name="last 7 days").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/scaling?step=600")
        await expect(charts.first).to_have_attribute("aria-label", re.compile("last 1[0-9] min"))


async def test_ends_and_failures_move_on_the_overview(shown: Console) -> None:
    async with shown.page("/") as page:
        await expect(page.get_by_text("The chart begins with the first figures")).to_be_visible()
        await figures(shown)
        charts = page.locator("svg.chart")
        await expect(charts).to_have_count(2)
        await expect(charts.nth(1)).to_have_attribute(
            "aria-label", re.compile("finished and failed")
        )
        await page.get_by_role("link", name="kept at 3").click()
        await expect(page.locator("h1")).to_have_text("Scaling")
