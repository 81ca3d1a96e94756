#!/usr/bin/env python3
"""Check that a version is ready to be released, and print its notes. Standard library only."""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def project_version(root: Path) -> str:
    """The version in pyproject.toml, the one place where it is written by hand."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def notes(root: Path, version: str) -> str:
    """The section of `version` in CHANGELOG.md, without its heading; LookupError if absent."""
    section = re.search(
        rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|^\[[^\]]+\]: |\Z)",
        (root / "CHANGELOG.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    if section is None or not section[1].strip():
        raise LookupError(f"CHANGELOG.md has no section for [{version}]")
    return section[1].strip() + "\n"


def problems(root: Path, released: str | None) -> list[str]:
    """What keeps the version from being released; `released` is the version of the tag, if any."""
    version = project_version(root)
    found = []
    chart = (root / "charts/asyncendpoints/Chart.yaml").read_text()
    for field in ("version", "appVersion"):
        match = re.search(rf'^{field}: "?([^"\n]+)"?$', chart, re.MULTILINE)
        if match is None or match[1] != version:
            found.append(f"Chart.yaml: {field} is {match and match[1]}, pyproject.toml: {version}")
    client = project_version(root / "client")
    if client != version:
        found.append(f"client/pyproject.toml: version is {client}, pyproject.toml: {version}")
    package = json.loads((root / "clients/typescript/package.json").read_text())["version"]
    if package != version:
        found.append(f"package.json: version is {package}, pyproject.toml: {version}")
    if released is not None and released != version:
        found.append(f"the tag is v{released}, pyproject.toml has {version}")
    try:
        notes(root, version if released else "Unreleased")
    except LookupError as error:
        found.append(str(error))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 when the version is not ready."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="compare the places that name the version")
    check.add_argument("--released", metavar="VERSION", help="the version of the tag")
    show = commands.add_parser("notes", help="print a version's section of CHANGELOG.md")
    show.add_argument("version")
    options = parser.parse_args(arguments)
    if options.command == "notes":
        try:
            sys.stdout.write(notes(ROOT, options.version))
        except LookupError as error:
            parser.error(str(error))
        return 0
    found = problems(ROOT, options.released)
    for problem in found:
        sys.stderr.write(f"{problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
