"""Half a minute of chaos: one fault after the other under load, and the proof afterwards."""

import asyncio
from pathlib import Path

import pytest

from faults.chaos import chaos
from faults.cluster_system import ClusterSystem
from support.kube.installed import Installed

SEED = 1


@pytest.mark.timeout(420, func_only=True)
def test_nothing_is_lost_or_done_twice_whatever_fails(installed: Installed, tmp_path: Path) -> None:
    with (
        installed.cluster.namespace("chaos") as namespace,
        ClusterSystem(installed, namespace, tmp_path) as system,
    ):
        report = asyncio.run(chaos(system, 30, SEED))
    assert report.violations == [], str(report)
    assert report.accepted >= 20, str(report)
    assert len(report.injected) >= 3, str(report)
