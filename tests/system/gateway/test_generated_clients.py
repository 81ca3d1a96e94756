"""The served OpenAPI document: what linters say about it, and the clients generated from it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.serve import Server
from asyncendpoints_worker import JobContext
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration, Registry
from asyncendpoints_worker.local import LocalWorker
from support.http.gateway import endpoint
from support.npm import node_modules, program
from support.paths import ROOT

pytestmark = pytest.mark.timeout(300)  # each runs compilers, which take seconds
CLIENTS = ROOT / "tests" / "support" / "http" / "generated"
TOKEN = "generated-clients"
BODY: dict[str, Any] = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"$ref": "#/$defs/Items"}},
    "$defs": {"Items": {"type": "integer", "minimum": 1}},
}
RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["total", "customer"],
    "properties": {"total": {"type": "number"}, "customer": {"type": "string"}},
}
ROUTES: list[dict[str, Any]] = [
    {
        "path": "/orders/{customer}",
        "job": "add-up",
        "headers": ["X-Tenant"],
        "schema": BODY,
        "result": {"schema": RESULT, "check": True},
    },
    {"path": "/notes", "job": "note", "result": {"schema": {"type": "null"}}},
    {
        "path": "/exports",
        "methods": ["PUT"],
        "job": "export",
        "result": {"contentType": "text/csv"},
    },
]


async def _add_up(body: dict[str, Any], job: JobContext) -> dict[str, Any]:
    return {"total": body["items"] * 1.5, "customer": job.route_params["customer"]}


async def _note() -> None:
    return None


async def _export() -> str:
    return "a,b"


@asynccontextmanager
async def _endpoint(folder: Path) -> AsyncIterator[str]:
    """Run an endpoint that requires a token, and its worker; yield its URL. Its document is in
    `folder`.
    """
    (folder / "tokens").write_text(TOKEN)
    described = endpoint(
        routes=ROUTES, gateway={"auth": {"tokens": {"file": str(folder / "tokens")}}}
    )
    functions: dict[str, Callable[..., Any]] = {"add-up": _add_up, "note": _note, "export": _export}
    registry = Registry.of(Declaration(HANDLER, name, f, "m:1") for name, f in functions.items())
    store = MemoryStore()
    await store.open()
    server = Server(described, store, Settings(http_port=0), owns_policy=True)
    await server.start()
    worker = LocalWorker(described, store, registry)
    await worker.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{url}/openapi.json") as response,
        ):
            (folder / "openapi.json").write_bytes(await response.read())
        yield url
    finally:
        await worker.stop(0)
        await server.stop()
        await store.close()


async def _run(*command: str | Path, folder: Path, **env: str) -> str:
    """Run a command in `folder`; return what it printed. It must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "CI": "true", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out = (await process.communicate())[0].decode()
    assert process.returncode == 0, out
    return out


async def test_a_python_client(tmp_path: Path) -> None:
    async with _endpoint(tmp_path) as url:
        package = tmp_path / "orders_client"
        await _run(
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", "openapi.json", "--output-path", package, "--fail-on-warning"),
            folder=tmp_path,
            # It formats what it wrote with ruff.
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        )
        (tmp_path / "main.py").write_bytes((CLIENTS / "client.py.txt").read_bytes())
        # The same file of every generated client passes untyped arguments on to httpx.
        (tmp_path / "mypy.ini").write_text("[mypy-orders_client.client]\nignore_errors = True\n")
        await _run(sys.executable, "-m", "mypy", "--strict", "main.py", folder=tmp_path)
        shown = await _run(sys.executable, "main.py", url, TOKEN, folder=tmp_path)
        assert json.loads(shown) == {"total": 4.5, "second": 6, "customer": "acme"}


async def test_a_typescript_client(tmp_path: Path) -> None:
    async with _endpoint(tmp_path) as url:
        (tmp_path / "node_modules").symlink_to(node_modules())
        (tmp_path / "package.json").write_text('{"type": "module"}')
        (tmp_path / "client.ts").write_bytes((CLIENTS / "client.ts").read_bytes())
        (tmp_path / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
        await _run(
            program("openapi-typescript"), "openapi.json", "-o", "schema.ts", folder=tmp_path
        )
        await _run(
            *(
                program("tsc"),
                "--strict",
                "--skipLibCheck",
                "--target",
                "es2022",
                "--lib",
                "es2022,dom,dom.iterable",
            ),
            *("--module", "nodenext", "client.ts", "node.d.ts"),
            folder=tmp_path,
        )
        shown = await _run("node", "client.js", url, TOKEN, folder=tmp_path)
        assert json.loads(shown) == {"total": 4.5, "second": 6, "customer": "acme"}


async def test_linters_have_nothing_to_say(tmp_path: Path) -> None:
    async with _endpoint(tmp_path):
        (tmp_path / "ruleset.yaml").write_text('extends: ["spectral:oas"]\n')
        spectral = (program("spectral"), "lint", "-r", "ruleset.yaml", "--fail-severity", "hint")
        await _run(*spectral, "openapi.json", folder=tmp_path)
        out = await _run(
            program("redocly"), "lint", "openapi.json", "--format=json", folder=tmp_path
        )
        assert '"problems": []' in out
