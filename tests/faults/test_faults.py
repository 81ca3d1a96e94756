"""A short form of the soak in docs/reliability.md: nothing is lost or takes effect twice."""

from pathlib import Path

import pytest

from faults.soak import soak

SECONDS = 40.0
SEED = 1


@pytest.mark.timeout(420)
async def test_promises_hold_through_every_fault(tmp_path: Path) -> None:
    report = await soak(tmp_path, SECONDS, SEED)
    assert report.violations == [], f"\n{report}"
    assert report.accepted > 100
    assert report.runs >= report.states["Completed"]
    assert report.states["Completed"] > 0
