"""What a user installs: the wheel, made from the source distribution, in a fresh environment.

The dependencies come from the environment of this run, so that nothing is downloaded; the packages
themselves must come from the wheel.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from support.paths import ROOT

ROLES = ("core", "console", "gateway", "worker", "operator", "cli")
PACKAGES = {"asyncendpoints": "sdk", **{f"asyncendpoints_{role}": role for role in ROLES}}
# What is not code but must be there at run time.
DATA = {".lua", ".html", ".css", ".js", ".yaml", ".json", ".typed"}


def run(*command: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    """Run a command without the settings of this run; return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel and, behind it, this run's libraries."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Paths from a .pth file come after the environment's own, and the .pth files in them (that of
    # the editable install) are not read.
    site.joinpath("libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def data_files() -> set[str]:
    """Every data file of the packages in the checkout, as it must be named in the wheel."""
    return {
        path.relative_to(ROOT / role).as_posix()
        for package, role in PACKAGES.items()
        for path in (ROOT / role / package).rglob("*")
        if path.suffix in DATA
    }


def test_the_wheel_holds_every_data_file_and_the_licence(wheel: Path) -> None:
    wanted = data_files()
    assert {f"{package}/py.typed" for package in PACKAGES} <= wanted
    assert any(name.endswith(".lua") for name in wanted)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert wanted <= names
    assert "asyncendpoints-0.1.0.dist-info/licenses/LICENSE" in names


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {*PACKAGES, "asyncendpoints-0.1.0.dist-info"}


def test_the_source_distribution_holds_no_leftovers(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert not [name for name in names if "__pycache__" in name or ".venv" in name]


def test_the_metadata_names_the_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("asyncendpoints-0.1.0.dist-info/METADATA").decode()
    metadata = Parser().parsestr(text)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("Provides-Extra") == [
        "all",
        "export",
        "operator",
        "otel",
        "testing",
    ]
    requires = metadata.get_all("Requires-Dist", [])
    optional = [line for line in requires if "extra ==" in line]
    assert [line for line in optional if line.startswith("kopf")]
    assert not [line for line in requires if line.startswith("kopf") and line not in optional]


def test_the_installed_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    command = installed / "asyncendpoints"
    assert run(command, "--version", cwd=tmp_path) == "asyncendpoints 0.1.0\n"
    imports = ", ".join(PACKAGES)
    places = run(
        installed / "python",
        "-c",
        f"import {imports}\nfor m in ({imports}): print(m.__file__)",
        cwd=tmp_path,
    ).split()
    assert len(places) == len(PACKAGES)
    assert all(Path(place).is_relative_to(installed.parent) for place in places), places


@pytest.mark.timeout(600)
def test_the_suite_of_the_stores_passes_on_the_wheel(installed: Path) -> None:
    run(installed / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/store")
