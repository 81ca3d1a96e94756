"""`make site`: the documentation as a site."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.async_api import Route

from support.http.browser import chromium, opened
from support.paths import ROOT

LOCAL = re.compile(r'(?:href|src)="(?![a-z]+:)([^"#?]+)')


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "tools" / "docs_site.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def address(built: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(built / "html"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_link_within_the_site_has_a_target(built: Path) -> None:
    html = built / "html"
    pages = [page for page in html.rglob("*.html") if page.name != "404.html"]
    assert len(pages) > 60
    dead = {
        f"{page.relative_to(html)}: {link}"
        for page in pages
        for link in LOCAL.findall(page.read_text())
        if not (page.parent / unquote(link)).is_file()
    }
    assert dead == set()


def test_a_dead_link_fails_the_build(built: Path) -> None:
    page = built / "pages" / "docs" / "quickstart.md"
    page.write_text(page.read_text() + "\n[gone](no-such-page.md)\n")
    done = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict", "-f", "mkdocs.yml"],
        cwd=built, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "quickstart.md" in done.stdout + done.stderr


async def test_search_works_without_other_servers(address: str) -> None:
    others: list[str] = []

    async def route(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            await route.continue_()
        else:
            others.append(route.request.url)
            await route.abort()

    async with chromium() as browser, opened(browser, f"{address}/docs/limits.html") as page:
        await page.route("**/*", route)
        await page.reload()
        await page.keyboard.press("Control+k")
        await page.keyboard.type("idempotency key")
        await page.get_by_text("The Python client", exact=False).last.wait_for()
    assert others == []
