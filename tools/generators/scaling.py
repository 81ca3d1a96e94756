"""Generates the pictures of docs/scaling.md by simulating their scenarios in virtual time.

The scenarios are seeded and do not read a clock, so the same code draws the same picture.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from bench.simulate_scaling import draw
from support import scenarios
from support.scaling import Scenario, Simulation


def _picture(make: Callable[[], Scenario]) -> Callable[[str], str]:
    def render(_: str) -> str:
        scenario = make()
        return draw(scenario, Simulation(scenario).run())

    return render


burst = _picture(scenarios.burst)
known_burst = _picture(scenarios.known_burst)
long_jobs = _picture(scenarios.long_jobs)
outage = _picture(scenarios.outage)
pulses = _picture(scenarios.pulses)
ramp = _picture(scenarios.ramp)
trickle = _picture(scenarios.trickle)
two_tenants = _picture(scenarios.two_tenants)
