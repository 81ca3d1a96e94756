"""The blocks of docs/client-python.md, and the client's wheel in an environment of its own."""

import asyncio
import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import httpx2

from asyncendpoints_core.store.memory import MemoryStore
from support.clients.gateway import TOKEN, gateway
from support.pages import blocks
from support.paths import ROOT

PAGE = ROOT / "docs" / "client-python.md"
PROGRAMS = [block for block in blocks(PAGE, "python") if "GATEWAY" not in block]
(FASTAPI,) = [block for block in blocks(PAGE, "python") if "FastAPI(" in block]
(DJANGO,) = [block for block in blocks(PAGE, "python") if "django" in block]


def at(text: str, url: str) -> str:
    """Return a block for the gateway at `url`, which requires a token."""
    return text.replace('"http://127.0.0.1:8080"', f'"{url}"').replace(
        "Client(", f'Client(token="{TOKEN}", base_url='
    )


async def test_each_program_of_the_page_runs(tmp_path: Path) -> None:
    assert len(PROGRAMS) == 4
    async with gateway(MemoryStore(), tmp_path) as url:
        for number, text in enumerate(PROGRAMS):
            file = tmp_path / f"program{number}.py"
            file.write_text(at(text, url))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", file),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            out = (await process.communicate())[0].decode()
            assert process.returncode == 0, out
            assert out, text
    assert json.loads((tmp_path / "sum.json").read_text())["sum"] == 6


async def test_a_fastapi_route_submits(tmp_path: Path) -> None:
    async with gateway(MemoryStore(), tmp_path) as url:
        names: dict[str, Any] = {"__name__": "page"}
        exec(at(FASTAPI, url), names)  # noqa: S102 - the page's own code
        app = names["app"]
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://test") as browser,
        ):
            answers = [await browser.post("/orders/7/sum", json=[1, 2]) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [202, 202]
            assert answers[0].json() == answers[1].json()
            shown = (await browser.get(f"/sums/{answers[0].json()['id']}")).json()
            assert shown["state"] in ("Queued", "InProgress", "Completed")


CALLS = """
import json
from django.test import RequestFactory

with jobs as client:
    kind = "application/json"
    factory = RequestFactory()
    good = add_up(factory.post("/", '{"numbers": [1]}', content_type=kind), "1")
    bad = add_up(factory.post("/", '{"numbers": ["a"]}', content_type=kind), "2")
    assert (good.status_code, bad.status_code) == (202, 422)
    assert client.job(json.loads(good.content)["id"]).result()["sum"] == 1
    assert json.loads(bad.content)["errors"][0]["pointer"] == "#/numbers/0"
"""


def django(url: str) -> None:
    """Call the view as Django does, in a process of its own: its settings are global."""
    configure = "from django.conf import settings\nsettings.configure(ALLOWED_HOSTS=['*'])\n"
    code = configure + at(DJANGO, url) + CALLS
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_a_django_view_submits(tmp_path: Path) -> None:
    async with gateway(MemoryStore(), tmp_path) as url:
        await asyncio.to_thread(django, url)


def test_the_types_are_clean_for_pyright(tmp_path: Path) -> None:
    """As they are for mypy, which `make lint` runs: of the client, and of `asyncendpoints`."""
    uses = "tests/support/clients/typed_use.py", "tests/support/sdk/typed_use.py"
    wanted = {  # absolute paths are ignored
        "include": [os.path.relpath(ROOT / path, tmp_path) for path in ("client", *uses)],
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(wanted))
    pyright = (sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", tmp_path)
    found = subprocess.run([*pyright, "--outputjson"], capture_output=True, text=True, check=False)
    report = json.loads(found.stdout)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] > len(uses)


def test_the_wheel_needs_httpx2_alone(tmp_path: Path) -> None:
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path)
    subprocess.run([*build, ROOT / "client"], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"asyncendpoints_client", "asyncendpoints_client-0.1.0.dist-info"}
    assert "asyncendpoints_client/py.typed" in names
    requires = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [line.partition(":")[2].strip()[:6] for line in requires] == ["httpx2"]
    assert any(name.endswith("licenses/LICENSE") for name in names)

    home = tmp_path / "env"
    venv.create(home, symlinks=True, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    libraries = str(Path(httpx2.__file__).parent.parent)
    (Path(site) / "libraries.pth").write_text(libraries + "\n")
    program = (
        "import asyncendpoints_client as c, sys; print(c.__version__, c.__file__);"
        "print(*{'pydantic', 'msgspec', 'aiohttp', 'redis'} & set(sys.modules))"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    shown = subprocess.run(
        [python, "-c", program], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True
    ).stdout.split()
    assert shown == ["0.1.0", f"{site}/asyncendpoints_client/__init__.py"]
