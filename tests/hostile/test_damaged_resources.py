"""Many damaged resources; the short form is in tests/unit/core/manifest/test_loader.py."""

import pytest

from support.manifest_fuzz import parse_damaged, read_damaged


@pytest.mark.timeout(900)
def test_damaged_resources_have_faults_but_no_exception() -> None:
    for seed in range(2_000):
        read_damaged(seed)
        parse_damaged(seed)
