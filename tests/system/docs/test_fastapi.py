"""docs/fastapi.md: its steps are the difference between the two applications of examples/fastapi,
of which the second is run by uvicorn and shown in a browser. Its own tests:
tests/unit/docs/test_testing.py.
"""

import asyncio
import re
import subprocess
import sys
from difflib import ndiff
from pathlib import Path
from shutil import copy

from playwright.async_api import expect

from support.http.browser import chromium, opened
from support.pages import blocks, commands
from support.paths import ROOT
from support.ports import free_port

PAGE = ROOT / "docs" / "fastapi.md"
FOLDER = ROOT / "examples" / "fastapi"
# Each change of the page, however slow the browser of the test is.
RECORD = """
window.seen = [];
const [bar, output] = ["progress", "output"].map((name) => document.querySelector(name));
new MutationObserver(() => seen.push([bar.value, output.value]))
  .observe(output, { childList: true, characterData: true, subtree: true });
"""


def difference(name: str) -> list[str]:
    """Return the removed and the added lines of a file, each with its sign."""
    before, after = ((FOLDER / path).read_text() for path in (f"before/{name}", name))
    lines = ndiff(before.splitlines(), after.splitlines())
    return [line[0] + line[2:] for line in lines if line[0] in "+-" and line[2:].strip()]


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def shown(title: str) -> list[str]:
    """Return the signed lines of the diffs in a section of the page."""
    text = "".join(re.findall(r"```diff\n(.*?)```", section(title), re.DOTALL))
    return [line for line in text.splitlines() if line[0] in "+-" and line[1:].strip()]


def added(lines: list[str]) -> int:
    return sum(line.startswith("+") for line in lines)


def test_the_page_shows_each_changed_line_and_counts_them() -> None:
    mount, page, submit = (
        shown(title)
        for title in ("2. Mount the jobs", "3. Show the progress", "Submit from a route")
    )
    assert sorted(mount + submit) == sorted(difference("main.py"))
    assert sorted(page) == sorted(difference("page.html"))
    text = PAGE.read_text()
    assert f"{added(mount)} lines in `main.py` and\n{added(page)} in `page.html`" in text
    assert f"{added(submit)} more lines" in section("Submit from a route")
    for title, name in (("2. Mount the jobs", "main.py"), ("3. Show the progress", "page.html")):
        after = (FOLDER / name).read_text()
        for block in re.findall(r"```diff\n(.*?)```", section(title), re.DOTALL):
            kept = "".join(line[1:] for line in block.splitlines(True) if line[0] != "-")
            assert kept in after
    (test,) = blocks(PAGE, "python")
    assert test in (FOLDER / "test_main.py").read_text()


def test_its_tests_run_by_the_command_of_the_page(tmp_path: Path) -> None:
    for name in ("main.py", "page.html", "test_main.py"):
        copy(FOLDER / name, tmp_path)
    run = commands(PAGE)[-1]
    assert run.startswith("pytest ")
    done = subprocess.run(
        [sys.executable, "-m", *run.split(), "-q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout


async def test_the_progress_shows_in_the_page() -> None:
    run = "uvicorn main:app"
    assert run in commands(PAGE)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", *run.split(), "--port", str(port), "--log-level", "warning"],
        cwd=FOLDER,
    )
    try:
        async with chromium() as browser, opened(browser, await address(server, port)) as page:
            await page.evaluate(RECORD)
            await page.get_by_label("Customer").fill("acme")
            await page.get_by_text("Build").click()
            output = page.locator("output")
            await expect(output).to_contain_text("acme: 468")
            seen = [
                (fraction, text)
                for fraction, text in await page.evaluate("seen")
                if "month" in text
            ]
            assert all(text == f"month {round(12 * fraction)}" for fraction, text in seen)
            assert [fraction for fraction, _ in seen if fraction < 1]
            assert seen[-1][0] == 1
            await page.get_by_label("Customer").fill("")
            await page.get_by_text("Build").click()
            await expect(output).to_contain_text("invalid-body")
        server.terminate()
        server.wait(30)
    finally:
        server.kill()
        server.wait()


async def address(server: subprocess.Popen[bytes], port: int) -> str:
    """Return the server's address once it accepts connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert server.poll() is None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return f"http://127.0.0.1:{port}/"
