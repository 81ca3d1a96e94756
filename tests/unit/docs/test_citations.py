"""What comments cite exists: pages of the repository, rules, decision records; nothing else."""

import re
from pathlib import Path

import pytest

from support.paths import ROOT

FOLDERS = (
    "core",
    "console",
    "gateway",
    "worker",
    "operator",
    "cli",
    "sdk",
    "client",
    "clients",
    "tools",
    "charts",
    "tests",
)
ENDINGS = {".py", ".ts", ".lua", ".tpl", ".yaml", ".sh"}
SOURCES = [
    file
    for folder in FOLDERS
    for file in sorted((ROOT / folder).rglob("*"))
    if file.suffix in ENDINGS and "frozen" not in file.parts and file != Path(__file__)
]
RULES = set(re.findall(r"^\| ([SK]\d+) \|", (ROOT / "docs" / "rules.md").read_text(), re.MULTILINE))
RECORDS = [record.name for record in (ROOT / "docs" / "adr").iterdir()]
# A rule or a section without its document is a citation of a page that is not here.
UNKNOWN = re.compile(
    r"\b(?:store|kubernetes) rules? \d|\(rule \d|\b(?:design|contract) §", re.IGNORECASE
)


def dead(text: str) -> list[str]:
    found = UNKNOWN.findall(text)
    for name in re.findall(r"\bdocs/(?!adr/)([\w/-]+\.md)", text):
        found += [] if (ROOT / "docs" / name).exists() else [name]
    for name in re.findall(r"\bdocs/adr/([\w-]+)", text):
        found += [] if any(record.startswith(name) for record in RECORDS) else [name]
    for cited in re.findall(r"docs/rules\.md\s+((?:[SK]\d+(?:, | to | and )?)+)", text):
        found += [rule for rule in re.findall(r"[SK]\d+", cited) if rule not in RULES]
    return found


def test_a_dead_citation_is_found() -> None:
    lines = "store rule 12\ndocs/none.md\ndocs/adr/0099-x.md\n# docs/rules.md S1, K99"
    assert dead(lines) == ["store rule 1", "none.md", "0099-x", "K99"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_citation_leads_to_a_page(folder: str) -> None:
    cited = {
        str(file.relative_to(ROOT)): dead(file.read_text())
        for file in SOURCES
        if file.relative_to(ROOT).parts[0] == folder
    }
    assert {name: found for name, found in cited.items() if found} == {}
