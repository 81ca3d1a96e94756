"""Each mutant still changes one line of the code, and its tests exist."""

import pytest

from mutants.mutants import MUTANTS, Mutant
from support.paths import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_applies(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert all((ROOT / test).is_file() for test in mutant.tests)
