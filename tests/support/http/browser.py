"""A real Chromium for the tests of the docs page."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a browser; tools/ensure_programs.sh installs it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser, url: str, width: int = 1280, scheme: str = "light"
) -> AsyncIterator[Page]:
    """Open a page; its script must raise no error, and its policy must refuse nothing."""
    page = await browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Policy" in said.text else None)
    page.set_default_timeout(20_000)
    await page.goto(url)
    try:
        yield page
    finally:
        await page.close()
    assert faults == []
