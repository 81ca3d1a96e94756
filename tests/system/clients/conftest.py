"""The TypeScript client, packed once and installed once for the tests of this folder."""

import shutil
from pathlib import Path

import pytest

from support.clients.typescript import installed, packed
from support.paths import ROOT

CLIENTS = ROOT / "tests" / "support" / "clients"


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm pack` makes."""
    return packed(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="package")
def project(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the package, and a page."""
    made = installed(archive, tmp_path_factory.mktemp("installed"))
    for name in ("runner.mjs", "tour.mjs", "typed.ts"):
        shutil.copy(CLIENTS / name, made / name)
    (made / "page.html").write_text("<!doctype html><title>clients</title>")
    return made
