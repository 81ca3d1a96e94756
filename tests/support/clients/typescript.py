"""The TypeScript client, built as `npm pack` packs it, and the programs that run it."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from support.npm import node_modules, program
from support.paths import ROOT

SOURCE = ROOT / "clients" / "typescript"


def packed(folder: Path) -> Path:
    """Build and pack the client in `folder`; return the archive."""
    copy = folder / "source"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("dist", "node_modules"))
    (copy / "node_modules").symlink_to(node_modules())
    # `npm pack` runs the script `prepack`, which is tsc.
    bin_folder = Path(program("tsc")).parent
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    command = ["npm", "pack", "--offline", "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / done.stdout.split()[-1]


def installed(archive: Path, folder: Path) -> Path:
    """Install the archive in a new project without a registry; return the project."""
    project = folder / "project"
    project.mkdir()
    (project / "package.json").write_text('{"type": "module", "private": true}')
    command = ["npm", "install", "--offline", "--no-audit", "--no-fund", "--silent", str(archive)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return project


async def output(*command: str | Path, folder: Path) -> str:
    """Run a command in `folder`; return what it printed. It must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out = (await process.communicate())[0].decode()
    assert process.returncode == 0, out
    return out


def at(text: str, url: str, token: str) -> str:
    """Return a program of docs/client-typescript.md for the gateway at `url`."""
    here = '("http://127.0.0.1:8080")'
    assert here in text
    return text.replace(here, f'("{url}", {{ token: "{token}" }})')


@asynccontextmanager
async def static(folder: Path) -> AsyncIterator[str]:
    """Serve the files of `folder`; yield the URL."""
    app = web.Application()
    app.router.add_static("/", folder, follow_symlinks=True)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
