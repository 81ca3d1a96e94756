"""Makes the pictures of docs/console.md; `make pictures` runs it."""

import asyncio

from playwright.async_api import Browser

from support.http.browser import chromium, opened
from support.http.console import Site, console
from support.http.console_scene import DECISION, Scene
from support.paths import ROOT

FOLDER = ROOT / "docs" / "images"


def paths(scene: Scene) -> dict[str, str]:
    """Return the path of each page by the name of its picture."""
    here = "/e/demo/reports"
    return {
        "overview": "/",
        "jobs": f"{here}/jobs",
        "job": f"{here}/jobs/{scene.failed}",
        "workers": f"{here}/workers",
    }


async def shoot(browser: Browser, site: Site, path: str, scheme: str, width: int = 1200) -> bytes:
    """Return the picture of a page."""
    async with opened(browser, site.server.login_url(), width, scheme) as page:
        await page.goto(site.server.url + path)
        return await page.screenshot(full_page=False)


async def main() -> None:
    """Write every picture, light and dark."""
    FOLDER.mkdir(exist_ok=True)
    scene = Scene()
    stores = {"reports": scene.store}
    async with (
        console(dict(stores), time=scene.time, decision=lambda: DECISION) as site,
        chromium() as browser,
    ):
        await scene.play(site)
        for name, path in paths(scene).items():
            for scheme in ("light", "dark"):
                picture = await shoot(browser, site, path, scheme)
                (FOLDER / f"console-{name}-{scheme}.png").write_bytes(picture)


if __name__ == "__main__":
    asyncio.run(main())
