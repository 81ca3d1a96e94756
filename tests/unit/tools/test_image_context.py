"""The images contain every package of the wheel."""

import tomllib

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
