"""What can be said of every page without running it: links lead somewhere, shell blocks parse."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from support.doc_pages import ROOT, Block, anchors, links, shell_blocks

PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    ROOT / "charts" / "asyncendpoints" / "README.md",
    ROOT / "tests" / "cluster" / "README.md",
]
OWN = {
    "The store": ROOT / "core" / "asyncendpoints_core",
    "Kubernetes": ROOT / "operator" / "asyncendpoints_operator",
}
BLOCKS = [block for page in PAGES for block in shell_blocks(page.read_text(), page.name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert not broken


def test_the_index_names_every_page() -> None:
    named = {link.partition("#")[0] for link in links((ROOT / "docs" / "README.md").read_text())}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= named


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_shell_blocks_parse(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_operators_rights_are_those_of_the_chart() -> None:
    template = (ROOT / "charts/asyncendpoints/templates/_helpers.tpl").read_text()
    found = re.search(r'define "asyncendpoints.rules" -}}\n(.*?){{- end }}', template, re.DOTALL)
    assert found is not None
    granted = [
        (rule["apiGroups"][0] or "(core)", rule["resources"], rule["verbs"])
        for rule in yaml.safe_load(found[1])
    ]
    page = (ROOT / "docs" / "security.md").read_text()
    table = page.partition("<!-- rules -->")[2].partition("<!-- end -->")[0]
    rows = [line.split("|")[1:4] for line in table.strip().splitlines()[2:]]
    told = [
        (group.strip(" `"), resources.replace("`", "").split(), verbs.replace("`", "").split())
        for group, resources, verbs in rows
    ]
    assert told == granted


def test_the_rules_name_files_and_tests_that_exist() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    missing = []
    for name, test in re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", page):
        file = ROOT / "tests" / name
        if not file.exists() or f"def {test}(" not in file.read_text():
            missing.append(f"{name}::{test}")
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        section, _, own = part.partition("\n")
        named = re.findall(r"`([\w/-]+\.(?:py|lua|yaml|txt))`", own)
        places = (ROOT, OWN[section])
        missing += [name for name in named if not any((at / name).exists() for at in places)]
    assert not missing
