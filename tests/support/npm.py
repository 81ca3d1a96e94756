"""Programs and libraries from npm, installed once into the cache folder."""

import fcntl
import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path

from support.kube.provider.layout import cache_root

PACKAGES = {
    "@redocly/cli": ">=2.30 <3",
    "@stoplight/spectral-cli": ">=6.15 <7",
    "axe-core": ">=4.10 <5",
    "deno": ">=2.5 <3",
    "openapi-fetch": ">=0.14 <1",
    "openapi-typescript": ">=7.9 <8",
    "standardwebhooks": ">=1 <2",
    "typescript": ">=5.9 <6",
}


@cache
def node_modules() -> Path:
    """Return the folder with the packages."""
    wanted = json.dumps({"private": True, "dependencies": PACKAGES}, sort_keys=True)
    folder = cache_root() / f"npm-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            (folder / "package.json").write_text(wanted)
            command = ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            (folder / "installed").touch()
    return folder / "node_modules"


def program(name: str) -> str:
    """Return the path of a program of the packages."""
    return str(node_modules() / ".bin" / name)
