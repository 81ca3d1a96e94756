"""The blocks of docs/client-typescript.md, and the page in examples/browser."""

import shlex
import shutil
from pathlib import Path

from playwright.async_api import expect

from asyncendpoints_core.store.memory import MemoryStore
from support.cli import Command
from support.clients.gateway import TOKEN, gateway
from support.clients.typescript import at, output, static
from support.http.browser import chromium, opened
from support.pages import blocks, commands
from support.paths import ROOT

PAGE = ROOT / "docs" / "client-typescript.md"
EXAMPLE = ROOT / "examples" / "browser"


async def test_each_program_of_the_page_runs(project: Path, tmp_path: Path) -> None:
    scripts, (page,) = blocks(PAGE, "js"), blocks(PAGE, "html")
    install, generate = [shlex.split(command) for command in commands(PAGE)]
    assert install == ["npm", "install", "asyncendpoints-client"]
    assert generate[:2] == ["npx", "openapi-typescript"]  # run in test_typescript.py
    async with (
        static(project) as origin,
        gateway(MemoryStore(), tmp_path, origins=(origin,)) as url,
    ):
        for number, script in enumerate(scripts):
            (project / f"page{number}.mjs").write_text(at(script, url, TOKEN))
            assert await output("node", f"page{number}.mjs", folder=project), script
        (project / "example.html").write_text(at(page, url, TOKEN))
        async with chromium() as browser, opened(browser, f"{origin}/example.html") as shown:
            await expect(shown.locator("#shown")).to_contain_text('"sum":6')


async def test_the_example_shows_progress_across_a_reload(project: Path, tmp_path: Path) -> None:
    install, run, serve = commands(EXAMPLE / "README.md")
    assert install.endswith("--prefix examples/browser asyncendpoints-client")
    assert "--directory examples/browser" in serve
    folder = tmp_path / "browser"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    (folder / "node_modules").symlink_to(project / "node_modules")
    (tmp_path / "lines.txt").write_text("line\n" * 1000)
    async with static(folder) as origin:
        file = folder / "endpoint.yaml"
        file.write_text(file.read_text().replace("http://127.0.0.1:8000", origin))
        name = run.split()[1]
        with Command(name, file, "--port", "0", "--admin-port", "0") as command:
            (url,) = command.ready()
            page_url = f"{origin}/index.html?gateway={url}"
            async with chromium() as browser, opened(browser, page_url) as page:
                await page.set_input_files("#file", tmp_path / "lines.txt")
                await page.get_by_text("Submit").click()
                await expect(page.locator("#state")).to_contain_text("InProgress: ")
                await page.reload()
                await expect(page.locator("#state")).to_contain_text("InProgress: ")
                await expect(page.locator("#result")).to_contain_text('"lines": 1000')
                assert await page.locator("#progress").evaluate("one => one.value") == 1
            assert command.stop() == 0
