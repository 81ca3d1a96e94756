"""A version is released only if every place that names it agrees, with notes of its own."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from tools.release import notes, problems, project_version

from support.paths import ROOT

WORKFLOWS = ROOT / ".github/workflows"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that name the version, to change."""
    (tmp_path / "charts/asyncendpoints").mkdir(parents=True)
    (tmp_path / "client").mkdir()
    (tmp_path / "clients/typescript").mkdir(parents=True)
    for name in (
        "pyproject.toml",
        "client/pyproject.toml",
        "clients/typescript/package.json",
        "CHANGELOG.md",
        "charts/asyncendpoints/Chart.yaml",
    ):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_this_checkout_has_one_version_and_notes() -> None:
    assert problems(ROOT, None) == []


def test_chart_of_another_version_is_named(checkout: Path) -> None:
    version = project_version(checkout)
    chart = checkout / "charts/asyncendpoints/Chart.yaml"
    replace(chart, f"appVersion: {version}", "appVersion: 9")
    assert problems(checkout, None) == [
        f"Chart.yaml: appVersion is 9, pyproject.toml: {version}",
    ]


def test_client_of_another_version_is_named(checkout: Path) -> None:
    version = project_version(checkout)
    replace(checkout / "client/pyproject.toml", f'version = "{version}"', 'version = "9"')
    assert problems(checkout, None) == [
        f"client/pyproject.toml: version is 9, pyproject.toml: {version}",
    ]


def test_npm_package_of_another_version_is_named(checkout: Path) -> None:
    version = project_version(checkout)
    package = checkout / "clients/typescript/package.json"
    replace(package, f'"version": "{version}"', '"version": "9"')
    assert problems(checkout, None) == [
        f"package.json: version is 9, pyproject.toml: {version}",
    ]


def test_tag_of_another_version_is_named(checkout: Path) -> None:
    found = problems(checkout, "9.9.9")
    assert f"the tag is v9.9.9, pyproject.toml has {project_version(checkout)}" in found


def test_release_needs_a_section_in_the_changelog(checkout: Path) -> None:
    version = project_version(checkout)
    assert problems(checkout, version) == [f"CHANGELOG.md has no section for [{version}]"]
    replace(checkout / "CHANGELOG.md", "## [Unreleased]", f"## [{version}] - 2026-12-01")
    assert problems(checkout, version) == []


def test_notes_end_where_the_next_section_begins(checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n### Added\n\n- Second.\n\n"
        "## [1.1.0] - 2026-11-01\n\n- First.\n\n[1.1.0]: https://example.com\n"
    )
    assert notes(checkout, "1.2.0") == "### Added\n\n- Second.\n"
    assert notes(checkout, "1.1.0") == "- First.\n"
    with pytest.raises(LookupError, match=r"no section for \[Unreleased\]"):
        notes(checkout, "Unreleased")


def test_ci_runs_on_every_python_that_the_package_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [re.search(r":: (3\.\d+)$", line) for line in project["classifiers"]]
    job = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == [match[1] for match in named if match]
    assert job["steps"][-1] == {"run": ".ci/run"}


def test_release_builds_both_distributions() -> None:
    steps = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]["distributions"][
        "steps"
    ]
    (commands,) = [step["run"] for step in steps if "run" in step]
    assert re.findall(r"-m build( client)? --outdir dist", commands) == ["", " client"]


def test_release_publishes_the_npm_package() -> None:
    job = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]["npm"]
    (commands,) = [step["run"] for step in job["steps"] if "run" in step]
    assert "npm publish --provenance" in commands
    assert (
        "npm" in yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]["notes"]["needs"]
    )


def test_release_builds_every_image_of_the_dockerfile() -> None:
    targets = re.findall(r"^FROM base AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    job = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]["images"]
    assert job["strategy"]["matrix"]["target"] == targets
