"""What the images contain: every package of the wheel, and pip only where more is installed."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.paths import ROOT


def test_every_package_reaches_the_image_build() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    paths = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    folders = {path.split("/")[0] for path in paths}
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--" not in line}
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert folders <= copied
    assert folders <= allowed


def stages() -> dict[str, str]:
    """Return the stages of the Dockerfile: their names with their lines, continuations joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found = re.split(r"^FROM \S+ AS (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("image", ["gateway", "operator", "worker"])
def test_pip_is_in_the_image_on_which_others_are_built(image: str, tmp_path: Path) -> None:
    [stage] = re.findall(r"COPY --from=(\S+) /opt/asyncendpoints", stages()[image])
    removals = re.findall(r"\brm -r [^&\n]*", stages()[stage])
    venv = tmp_path / "opt"
    subprocess.run((sys.executable, "-m", "venv", venv), check=True)
    for command in removals:
        there = command.replace("/opt/asyncendpoints", str(venv))
        subprocess.run(("sh", "-ec", there), check=True)
    left = [path.name for path in venv.rglob("pip*")]
    asked = subprocess.run((venv / "bin/python", "-m", "pip", "--version"), check=False)
    assert (asked.returncode == 0, bool(left)) == (image == "worker", image == "worker")
