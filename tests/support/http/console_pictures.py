"""Makes the pictures of docs/console.md; `make pictures` runs it."""

import asyncio
from collections.abc import Mapping

from playwright.async_api import Browser

from asyncendpoints_core.resource.firings import PreparedSchedule
from asyncendpoints_core.store.deliveries import DeliveryEnd
from support.http.browser import chromium, opened
from support.http.console import Site, console, endpoint
from support.http.console_scene import Scene
from support.http.console_webhooks import WEBHOOKS, send
from support.paths import ROOT

FOLDER = ROOT / "docs" / "images"


HERE = "/e/demo/reports"


def paths(scene: Scene) -> dict[str, str]:
    """Return the path of each page by the name of its picture."""
    return {
        "overview": "/",
        "jobs": f"{HERE}/jobs",
        "job": f"{HERE}/jobs/{scene.failed}",
        "workers": f"{HERE}/workers",
        "scaling": f"{HERE}/scaling",
    }


LATER = {"schedules": f"{HERE}/schedules", "webhooks": f"{HERE}/webhooks?state=dead"}
"""The pages of which pictures are made when a day is over."""


SCHEDULES = [
    {
        **{"name": "nightly", "cron": "0 3 * * *", "timeZone": "Europe/Berlin"},
        **{"job": "build-report", "key": "acme", "tags": ["monthly", "eu"]},
    },
    {
        **{"name": "invoices", "cron": "*/10 8-18 * * *", "timeZone": "America/New_York"},
        **{"job": "send-invoice", "concurrencyPolicy": "Forbid"},
    },
    {"name": "thumbnails", "cron": "@hourly", "job": "resize-image", "suspend": True},
]


async def play_on(site: Site, scene: Scene) -> None:
    """Let schedules fire, and webhooks fail."""
    spec = endpoint("reports", schedules=SCHEDULES, **WEBHOOKS).spec
    begun = scene.time.now_ms()
    await scene.store.configure(spec.policy())
    for hours in (9, 10, 8):
        scene.time.advance(hours * 3_600_000)
        ends = {"billing": DeliveryEnd.DEAD, "crm": DeliveryEnd.DELIVERED}
        await send(site, scene.store, **ends, client=DeliveryEnd.DEAD)
    for one in spec.schedules[:2]:
        due = one.times.latest(begun, scene.time.now_ms())
        firing = PreparedSchedule.of(one).firing(due, begun, 4, scene.time.now_ms())
        await scene.store.fire(firing)


async def shoot(browser: Browser, site: Site, path: str, scheme: str, width: int = 1200) -> bytes:
    """Return the picture of a page."""
    async with opened(browser, site.server.login_url(), width, scheme) as page:
        await page.goto(site.server.url + path)
        return await page.screenshot(full_page=False)


async def save(browser: Browser, site: Site, pages: Mapping[str, str]) -> None:
    """Write the pictures of pages, light and dark."""
    for name, path in pages.items():
        for scheme in ("light", "dark"):
            picture = await shoot(browser, site, path, scheme)
            (FOLDER / f"console-{name}-{scheme}.png").write_bytes(picture)


async def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    scene = Scene()
    spec = {"schedules": SCHEDULES, **WEBHOOKS}
    async with (
        console({"reports": scene.store}, time=scene.time, **spec) as site,
        chromium() as browser,
    ):
        await scene.play()
        await save(browser, site, paths(scene))
        await play_on(site, scene)
        await save(browser, site, LATER)


if __name__ == "__main__":
    asyncio.run(main())
