"""The TypeScript client as it is packed: in every scenario and against a gateway, in Node, Deno
and Chromium; what is in the package; the types that its users get.
"""

import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.redis import RedisStore
from support.clients.gateway import TOKEN, gateway
from support.clients.scenario_server import DEADLINE, JOB, NOW, scenario_server, scenarios
from support.clients.typescript import SOURCE, at, output, static
from support.http.browser import chromium, opened
from support.http.gateway import endpoint
from support.npm import program
from support.pages import blocks
from support.paths import ROOT

KNOWN = {"job": JOB, "now": NOW, "deadline": DEADLINE}
PROGRAM = """\
import { readFileSync } from "node:fs";
import * as api from "asyncendpoints-client";
import { runAll } from "./runner.mjs";
const [url, file] = process.argv.slice(2);
const { scenarios, known } = JSON.parse(readFileSync(file));
console.log(JSON.stringify(await runAll(api, url, "run", scenarios, known)));
"""
IN_A_PAGE = """async ([url, prefix, scenarios, known]) => {
  const api = await import("/node_modules/asyncendpoints-client/dist/index.js");
  const { runAll } = await import("/runner.mjs");
  return await runAll(api, url, prefix, scenarios, known);
}"""


@pytest.fixture
async def page_url(project: Path) -> AsyncIterator[str]:
    async with static(project) as url:
        yield f"{url}/page.html"


def test_the_package_has_types_and_no_dependency(archive: Path) -> None:
    with tarfile.open(archive) as packed_files:
        names = set(packed_files.getnames())
    modules = {file.stem for file in (SOURCE / "src").iterdir()}
    assert names == {
        *(f"package/{name}" for name in ("LICENSE", "README.md", "package.json")),
        *(f"package/dist/{module}{end}" for module in modules for end in (".js", ".d.ts")),
    }
    described = json.loads((SOURCE / "package.json").read_text())
    assert "dependencies" not in described
    assert "peerDependencies" not in described


@pytest.mark.parametrize("runtime", ["node", "deno"])
async def test_every_scenario(runtime: str, project: Path, tmp_path: Path) -> None:
    command = [program("deno"), "run", "--allow-all"] if runtime == "deno" else ["node"]
    (project / "main.mjs").write_text(PROGRAM)
    (tmp_path / "input.json").write_text(json.dumps({"scenarios": scenarios(), "known": KNOWN}))
    async with scenario_server() as server:
        runs = [server.run(f"run{i}", scenario) for i, scenario in enumerate(scenarios())]
        arguments = ("main.mjs", server.url, tmp_path / "input.json")
        out = await output(*command, *arguments, folder=project)
    for run, outcome in zip(runs, json.loads(out), strict=True):
        run.check(outcome)


async def test_every_scenario_and_the_gateway_in_a_browser(page_url: str, tmp_path: Path) -> None:
    """The page, the scenarios and the gateway are of three origins."""
    origin = page_url.removesuffix("/page.html")
    async with (
        scenario_server() as server,
        gateway(MemoryStore(), tmp_path, origins=(origin,)) as url,
        chromium() as browser,
        opened(browser, page_url) as page,
    ):
        runs = [server.run(f"page{i}", scenario) for i, scenario in enumerate(scenarios())]
        outcomes = await page.evaluate(IN_A_PAGE, [server.url, "page", scenarios(), KNOWN])
        tour = "async ([url, token]) => (await import('/tour.mjs')).tour("
        api = "await import('/node_modules/asyncendpoints-client/dist/index.js'), url, token)"
        check_tour(await page.evaluate(tour + api, [url, TOKEN]))
    for run, outcome in zip(runs, outcomes, strict=True):
        run.check(outcome)


async def test_the_gateway_on_redis_in_node(project: Path, redis_url: str, tmp_path: Path) -> None:
    source = (
        'import * as api from "asyncendpoints-client"; import { tour } from "./tour.mjs";'
        "console.log(JSON.stringify(await tour(api, ...process.argv.slice(1))));"
    )
    store = RedisStore(redis_url, endpoint().key)
    async with gateway(store, tmp_path) as url:
        node = ("node", "--input-type=module", "-e", source, url, TOKEN)
        check_tour(json.loads(await output(*node, folder=project)))


def check_tour(seen: dict[str, Any]) -> None:
    assert seen == {
        "sum": {"sum": 6, "customer": "a/b"},
        "same": True,
        "waited": 4.5,
        "failed": ["JobFailed", "empty", "no rows"],
        "retried": "Failed",
        "blob": ["application/octet-stream", 6],
        "streamed": 6,
        "first": "Scheduled",
        "last": "Completed",
        "progress": True,
        "tags": ["a", "b:c"],
        "found": True,
        "late": "DeadlineExceeded",
        "canceled": "Canceled",
        "lost": "Canceled",
        "pointer": "#/numbers/0",
        "unauthorized": 401,
        "listed": True,
        "existing": [False, True, True],
        "duplicate": ["DuplicateJob", 409, True],
        "aborted": "AbortError",
    }


async def test_types_come_from_the_paths(project: Path, tmp_path: Path) -> None:
    async with gateway(MemoryStore(), tmp_path) as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{url}/openapi.json") as response,
        ):
            (project / "openapi.json").write_bytes(await response.read())
        generator = (program("openapi-typescript"), "openapi.json", "-o", "schema.ts")
        await output(*generator, folder=project)
        (project / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
        (typed,) = blocks(ROOT / "docs" / "client-typescript.md", "ts")
        (project / "page.ts").write_text(at(typed, url, TOKEN))
        strict = ("--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext")
        lib = ("--lib", "es2022,dom,dom.iterable")
        files = ("typed.ts", "page.ts", "node.d.ts")
        await output(program("tsc"), *strict, *lib, *files, folder=project)
        assert await output("node", "page.js", folder=project) == "6\n"
        shown = json.loads(await output("node", "typed.js", url, TOKEN, folder=project))
    assert shown == {"sum": 3, "result": {"sum": 3, "customer": "acme"}, "compiled": "function"}
