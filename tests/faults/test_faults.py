"""Short forms of the soak in docs/reliability.md: nothing is lost or takes effect twice."""

from pathlib import Path

import pytest

from faults.failovers import CLUSTER_FAULTS, SENTINEL_FAULTS
from faults.soak import soak

SEED = 1


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("redis", "faults", "seconds", "per_second"),
    [
        ("single", None, 40.0, 100),
        ("strict", tuple(SENTINEL_FAULTS), 25.0, 25),
        ("cluster", tuple(CLUSTER_FAULTS), 20.0, 25),
    ],
)
async def test_promises_hold_through_every_fault(
    tmp_path: Path, redis: str, faults: tuple[str, ...] | None, seconds: float, per_second: float
) -> None:
    report = await soak(tmp_path, seconds, SEED, redis=redis, per_second=per_second, names=faults)
    assert report.violations == [], f"\n{report}"
    assert report.accepted > 100
    assert report.runs >= report.states["Completed"]
    assert report.states["Completed"] > 0
