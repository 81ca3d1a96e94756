"""Many generated streams of hostile bytes; the short form is in tests/system/gateway."""

import pytest

from support.http import raw_fuzz


@pytest.mark.timeout(1_800)
def test_generated_streams_are_withstood() -> None:
    raw_fuzz.fuzz(hostile=5_000, valid=2_000)
