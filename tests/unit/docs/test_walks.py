"""The walks through the code in docs/architecture.md: what they name exists, and is counted."""

import ast
import re
from pathlib import Path

import pytest

from support.paths import ROOT
from support.walks import PAGE, steps

WALKS = re.findall(r"^### ([^\n]+)\n\nFiles: (\d+)\.\n(.+?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
PACKAGES = [*ROOT.glob("*/asyncendpoints_*")]
NAMED = re.compile(r"`([\w/]+\.(?:py|lua))`(?: \(core\))?(?: `([\w.]+)`)?")


def defines(path: Path, name: str) -> bool:
    body = ast.parse(path.read_text()).body
    for part in name.split("."):
        found = [each for each in body if getattr(each, "name", "") == part]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


@pytest.mark.parametrize(("title", "count", "walk"), WALKS, ids=[walk[0] for walk in WALKS])
def test_a_walk_names_what_exists_and_says_how_many_files_it_has(
    title: str, count: str, walk: str
) -> None:
    named = NAMED.findall(steps(walk))
    assert len({file for file, _ in named}) == int(count), title
    for file, name in NAMED.findall(walk):
        found = [at / file for at in PACKAGES if (at / file).is_file()]
        assert found, file
        if name:
            assert any(defines(path, name) for path in found), (file, name)


def test_there_are_two_walks() -> None:
    assert len(WALKS) == 2
