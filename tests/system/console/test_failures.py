"""What failed, and what does not start: in the operations API, on the pages and in the command."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from asyncendpoints_cli.main import main
from asyncendpoints_console.reading import failures as grouped
from asyncendpoints_console.reading.failures import alike
from asyncendpoints_console.target import Target
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes, JobError, Result, complete, fail
from asyncendpoints_core.store.memory import MemoryStore
from support.http.browser import chromium, opened
from support.http.console import TOKENS, Site, console, endpoint
from support.store.stores import START_MS, SetTime, hand, new, policy, put, settle_one

E = "/endpoints/demo/reports"
PAGE = "/e/demo/reports"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with console({"reports": MemoryStore()}) as running:
        yield running


@pytest.fixture
def store(site: Site) -> Any:
    return site.stores["reports"]


async def failed(store: Any, code: str, message: str, count: int) -> None:
    """Let jobs fail; `{}` of the message is the number of each."""
    worker = await hand(store)
    await put(store, *(new("report") for _ in range(count)))
    number = 0
    while number < count:
        for job in await worker.take(100):
            error = JobError(code, message.format(number))
            await settle_one(store, fail(job.claim, error))
            number += 1


async def three_causes(store: Any) -> None:
    """Two of them have the same code, as all exceptions of handlers have."""
    await failed(store, "handler-error", "cannot connect to 10.0.0.{}: refused", 900)
    await failed(store, "handler-error", "KeyError: 'total'", 200)
    await failed(store, "no-payment", "customer {} has no valid payment method", 300)


@pytest.fixture
def command(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command against the console; return what it prints."""
    monkeypatch.setenv("ASYNCENDPOINTS_CONSOLE_TOKEN", next(iter(TOKENS.values())))

    async def run(*words: str) -> tuple[str, str]:
        arguments = (*words, "--url", site.server.url)
        assert await asyncio.to_thread(main, arguments) == 0, capsys.readouterr()
        done = capsys.readouterr()
        return done.out, done.err

    return run


def seen(found: dict[str, Any]) -> list[tuple[str, int, list[int]]]:
    return [
        (item["error"], item["count"], [each["count"] for each in item["messages"]])
        for item in found["items"]
    ]


async def test_a_page_goes_on_with_the_failures_before(site: Site, store: Any) -> None:
    await three_causes(store)
    first = await site.read(f"{E}/failures")
    assert seen(first) == [("handler-error", 700, [500, 200]), ("no-payment", 300, [300])]
    assert (first["examined"], first["total"], first["complete"]) == (1_000, 1_400, False)
    second = await site.read(f"{E}/failures?cursor={first['nextCursor']}")
    assert seen(second) == [("handler-error", 400, [400])]
    assert (second["examined"], second["complete"], second["nextCursor"]) == (400, True, None)
    for query in ("cursor=0", "cursor=!", "since=2026-01-01T00:00Z"):
        answer = await site.ask("GET", f"/api/v1{E}/failures?{query}")
        assert (answer.status, answer.json["type"].rpartition(":")[2]) == (400, "invalid-query")


async def test_the_command_counts_all_of_them_by_cause(
    site: Site, store: Any, command: Any
) -> None:
    await three_causes(store)
    out, err = await command("queue", "failures")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [
        ("900", "handler-error"),
        ("300", "no-payment"),
        ("200", "handler-error"),
    ]
    assert "KeyError: 'total'" in out
    assert err == ""


async def test_more_messages_than_are_shown_are_a_row(site: Site, store: Any, command: Any) -> None:
    for word in ("one", "two", "three", "four", "five"):
        await failed(store, "handler-error", f"{word} {{}}", 2)
    out, _ = await command("queue", "failures")
    rows = out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["4", "2", "2", "2"]
    assert rows[0].rstrip().endswith("(others)")


async def test_the_command_counts_messages_that_are_few_on_each_page(
    site: Site, store: Any, command: Any
) -> None:
    for word, count in (("one", 500), ("two", 700), ("three", 300), ("four", 300), ("five", 260)):
        await failed(store, "handler-error", f"{word} {{}}", count)
    first = await site.read(f"{E}/failures")
    assert seen(first) == [("handler-error", 1_000, [300, 300, 260, 140])]
    out, _ = await command("queue", "failures", "-o", "json")
    [group] = json.loads(out)
    assert (group["count"], [each["count"] for each in group["messages"]]) == (
        2_060,
        [700, 500, 300, 300, 260],
    )
    out, _ = await command("queue", "failures")
    assert sorted(line.split()[0] for line in out.splitlines()[1:]) == ["300", "500", "560", "700"]


async def test_others_run_between_the_pages_that_are_grouped(store: Any) -> None:
    await failed(store, "handler-error", "order {}", 1_500)
    turns, done = 0, asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = turns
    found = await grouped.failures(Target(endpoint("reports"), store), most=1_500)
    assert turns - before >= 2
    assert found["examined"] == 1_500
    done.set()
    await running


async def test_names_of_failures_are_codes_once_each(store: Any, command: Any) -> None:
    for code in ("no-payment", "handler-error"):
        for word in ("one", "two"):
            await failed(store, code, word, 1)
    out, _ = await command("queue", "failures", "-o", "name")
    assert sorted(out.split()) == ["handler-error", "no-payment"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user 3FA85F64-5717-4562-B3FC-2C963F66AFA6", "user 00000000-abcd-abcd-abcd-abcdefabcdef"),
        ("order 01ARZ3NDEKTSV4RRFFQ69G5FAV of 7", "order 01BX5ZZKBKACTAV9WEVGEMMVRZ of 12"),
        ("commit 9fceb02", "commit 1A410EF"),
        ("job_a80c failed", "job_12f3 failed"),
        ("at 0xDEAD", "at 0x1f"),
        ("after 12ms", "after 7ms"),
        (f"id 9 {'x ' * 500}", f"id 123456789 {'x ' * 500}y"),
    ],
)
def test_messages_that_differ_in_ids_are_alike(one: str, other: str) -> None:
    assert alike(one) == alike(other)


@pytest.mark.parametrize(
    ("one", "other"), [("bad face", "bad cafe"), ("KeyError: 'dead'", "KeyError: 'beef'")]
)
def test_words_are_no_ids(one: str, other: str) -> None:
    assert alike(one) != alike(other)


async def test_the_page_shows_causes_and_counts_more_of_them(site: Site, store: Any) -> None:
    await three_causes(store)
    async with chromium() as browser, opened(browser, site.server.login_url()) as page:
        await expect(page.locator("caption")).to_have_text(
            "What failed most, of the newest 1,000 of 1,400 failures. Count more of them"
        )
        await expect(page.get_by_text("KeyError")).to_be_visible()
        await page.goto(f"{site.server.url}{PAGE}/failures")
        causes = page.get_by_role("list", name="What the messages say").get_by_role("listitem")
        await expect(causes).to_have_count(2)
        await expect(causes.nth(1)).to_contain_text("200 KeyError")
        await page.get_by_role("link", name="Count more of them").click()
        await expect(page.locator("td.number").first).to_have_text("1,100")
        await expect(page.get_by_text("are counted")).to_have_count(0)


async def test_a_paused_job_is_not_next(site: Site, store: Any, command: Any) -> None:
    await store.pause("mail")
    await put(store, new("mail"), new("mail", delay_ms=600_000), new("report"))
    items = (await site.read(f"{E}/jobs"))["items"]
    assert {(job["name"], job["state"], job["paused"]) for job in items} == {
        ("mail", "Queued", True),
        ("mail", "Scheduled", True),
        ("report", "Queued", False),
    }
    assert (await site.read(E))["heldBack"] == 1
    out, _ = await command("jobs", "list", "--job", "mail")
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["paused", "paused"]
    out, _ = await command("queue", "show")
    assert "paused: mail; 1 held back" in out
    await store.pause()
    assert all(job["paused"] for job in (await site.read(f"{E}/jobs"))["items"])


async def test_a_job_of_a_suspended_endpoint_is_not_paused(
    site: Site, store: Any, command: Any
) -> None:
    await store.suspend(True)
    await put(store, new("mail"), new("mail", delay_ms=600_000))
    jobs = (await site.read(f"{E}/jobs"))["items"]
    assert [(job["paused"], job["suspended"]) for job in jobs] == [(False, True)] * 2
    out, _ = await command("jobs", "list")
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["suspended", "suspended"]
    async with chromium() as browser, opened(browser, site.server.login_url()) as page:
        await page.goto(f"{site.server.url}{PAGE}/jobs")
        await expect(page.locator("td.message")).to_contain_text(["suspended", "suspended, due"])


async def test_a_list_says_which_limit_and_key_hold_a_job_back(
    site: Site, store: Any, command: Any
) -> None:
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=1))))
    attributes = Attributes(key="acme")
    await put(store, *(new("report", attributes=attributes) for _ in range(2)))
    worker = await hand(store)
    await worker.one()
    out, _ = await command("jobs", "list", "--state", "Queued", "-o", "wide")
    assert "held by the limit key-concurrency" in out
    assert "acme" in out
    async with chromium() as browser, opened(browser, site.server.login_url()) as page:
        await expect(page.locator(".counts li").first).to_contain_text("1 held back")
        await page.goto(f"{site.server.url}{PAGE}/jobs?state=Queued")
        await expect(page.get_by_text("key acme")).to_be_visible()


async def test_the_page_of_a_name_shows_how_long_its_jobs_run(site: Site, store: Any) -> None:
    now = SetTime(START_MS)
    timed = MemoryStore(now)
    async with console({"reports": timed}, time=now) as slow:
        for number, seconds in enumerate((*([1] * 90), *([20] * 9), 90)):
            worker = await hand(timed, f"w{number}")  # no lease outlives the longest job
            await put(timed, new("report"))
            job = await worker.one()
            now.advance(seconds * 1_000)
            await settle_one(timed, complete(job.claim, Result("text/plain", b"")))
        async with chromium() as browser, opened(browser, slow.server.login_url()) as page:
            await page.goto(f"{slow.server.url}{PAGE}/jobs?job=report")
            await expect(page.locator("#ran")).to_have_text(
                "The newest 100 that completed ran 1.0 s at the median, 20 s at 95 %, 90 s at most."
            )
