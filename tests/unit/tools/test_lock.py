"""The lock has what pyproject.toml needs, in one version for development and images."""

import itertools
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from support.paths import ROOT

FOLDER = ROOT / "requirements"
FILES = ("build", "core", "dev", "operator")
LINE = re.compile(r"([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def locked(name: str) -> dict[str, set[Version]]:
    """Return the versions of each package in a file of the lock."""
    found: dict[str, set[Version]] = {}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if match := LINE.fullmatch(line):
            found.setdefault(canonicalize_name(match[1]), set()).add(Version(match[2]))
    return found


def missing(requirements: list[str], name: str) -> list[str]:
    """Return the requirements that no version of the lock satisfies."""
    versions = locked(name)
    parsed = [Requirement(line) for line in requirements]
    return [
        str(each)
        for each in parsed
        if not any(map(each.specifier.contains, versions.get(canonicalize_name(each.name), ())))
    ]


@pytest.mark.parametrize("name", FILES)
def test_every_line_is_a_version_with_hashes_and_without_an_address(name: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    rest = [line for line in lines if not line.startswith("#")]
    assert rest
    assert [line for line in rest if not LINE.fullmatch(line) and not HASH.fullmatch(line)] == []
    for line, following in itertools.pairwise(rest):
        assert LINE.fullmatch(line) is None or HASH.fullmatch(following)


def test_the_lock_satisfies_pyproject() -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    client = tomllib.loads((ROOT / "client/pyproject.toml").read_text())
    project, groups = whole["project"], whole["dependency-groups"]
    extras = project["optional-dependencies"]
    core = project["dependencies"]
    development = [
        *(core + extras["operator"] + extras["export"] + extras["otel"]),
        *(groups["dev"] + groups["bench"] + client["project"]["dependencies"]),
    ]
    hint = "run: make lock"
    assert missing(core, "core") == [], hint
    assert missing(core + extras["operator"], "operator") == [], hint
    assert missing(development, "dev") == [], hint
    assert missing(whole["build-system"]["requires"], "build") == [], hint


def test_images_have_the_versions_of_development() -> None:
    versions = locked("dev")
    for name in ("build", "core", "operator"):
        assert locked(name).items() <= versions.items()
    # The operator's layer adds to that of core, and changes nothing in it.
    assert locked("core").items() <= locked("operator").items()


def test_images_and_development_install_from_the_lock_only() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    script = (ROOT / "tools/make_venv.sh").read_text().replace("\\\n", " ")
    installs = [
        line for text in (dockerfile, script) for line in re.findall(r"pip install[^&\n]*", text)
    ]
    assert len(installs) == 7
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line, line
