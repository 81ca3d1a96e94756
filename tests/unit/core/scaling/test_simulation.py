"""Whole runs of scaling in virtual time: what a user would see over minutes."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from asyncendpoints_core.scaling.decide import Reason
from support import scenarios
from support.scaling import Scenario, Simulation, Trace
from support.svg_chart import Line, chart, nice

MINUTE = scenarios.MINUTE


def run(scenario: Scenario) -> Trace:
    return Simulation(scenario).run()


@pytest.mark.parametrize("make", scenarios.ALL, ids=lambda make: make.__name__)
def test_no_busy_worker_is_ever_taken_away(make: type) -> None:
    assert run(make()).killed == 0


def test_a_burst_reaches_the_maximum_is_worked_off_and_ends_at_zero() -> None:
    trace = run(scenarios.burst())
    assert max(sample.replicas for sample in trace.samples) == 20
    assert len(trace.waits) == 2_000
    assert trace.wait_s(1) < 30
    assert trace.at(4 * MINUTE).replicas == 1
    assert trace.samples[-1].replicas == 0
    assert trace.reversals == 1


def test_a_known_template_meets_a_burst_at_once() -> None:
    known, unknown = run(scenarios.known_burst()), run(scenarios.burst())
    assert known.at(5_000).replicas == 20
    assert unknown.at(5_000).replicas == 1
    assert known.wait_s(1) < unknown.wait_s(1)


def test_a_flood_that_limits_hold_back_is_no_demand_and_delays_no_other_tenant() -> None:
    scenario = scenarios.two_tenants()
    limited, unlimited = run(scenario), run(replace(scenario, per_key=None))
    assert max(sample.replicas for sample in unlimited.samples) == 20
    assert max(sample.replicas for sample in limited.samples) <= 5
    for trace in (limited, unlimited):
        assert len(trace.waits) == len(scenario.arrivals) + len(scenario.small)
        assert trace.wait_s(0.95, small=True) < 2
    while_flooded = limited.at(4 * MINUTE)
    assert while_flooded.held_back > 500
    assert while_flooded.demand < 20


def test_zero_is_reached_after_idle_seconds_and_left_again() -> None:
    first = scenarios.burst()
    scenario = Scenario(
        "again", "", [*first.arrivals, (9 * MINUTE, 500)], 10 * MINUTE, startup_ms=5_000
    )
    trace = run(scenario)
    assert trace.at(9 * MINUTE - 1_000).replicas == 0
    assert trace.at(9 * MINUTE + 2_000).replicas == 1
    assert len(trace.waits) == 2_001


def test_a_ramp_is_followed_up_and_down_without_flapping() -> None:
    trace = run(scenarios.ramp())
    assert trace.wait_s(0.95) < 2
    assert trace.reversals == 1
    peak = max(sample.replicas for sample in trace.samples)
    assert 9 <= peak <= 14
    assert trace.at(10 * MINUTE).replicas >= 9


def test_slow_starts_cause_no_reversal() -> None:
    trace = run(scenarios.slow_start())
    assert trace.reversals == 1
    assert trace.unfinished == 0
    assert trace.at(80_000).replicas == 1  # the first is not ready yet


def test_long_jobs_after_short_ones_are_soon_recognized() -> None:
    trace = run(scenarios.long_jobs())
    assert trace.wait_s(1) < 25
    assert max(sample.replicas for sample in trace.samples) == 15


def test_an_outage_holds_still() -> None:
    scenario = scenarios.outage()
    trace = run(scenario)
    begin, end = scenario.outages[0]
    during = [sample for sample in trace.samples if begin <= sample.at_ms < end]
    assert {sample.reason for sample in during} == {Reason.ERROR}
    assert {sample.replicas for sample in during} == {trace.at(begin - 1_000).replicas}
    assert trace.at(end + 5_000).replicas >= during[-1].replicas
    assert trace.rejected > 0
    assert trace.unfinished == 0


def test_pulses_do_not_make_workers_come_and_go() -> None:
    trace = run(scenarios.pulses())
    assert trace.changes <= 8
    assert trace.reversals == 1


def test_workers_that_are_never_idle_shrink_by_cordon() -> None:
    trace = run(scenarios.trickle())
    assert trace.at(2 * MINUTE).replicas <= 2
    assert trace.wait_s(1) < 1


def test_a_bad_image_is_not_scaled_up() -> None:
    trace = run(scenarios.bad_image())
    assert max(sample.replicas for sample in trace.samples) == 1
    assert trace.samples[-1].reason == Reason.NOT_READY


def test_a_picture_is_wellformed_and_shows_every_line() -> None:
    lines = [
        Line("jobs <all>", "#bbb", [(0, 0), (10, 50), (20, 50)]),
        Line("workers", "#38a", [(0, 1), (20, 3)], right=True, dashed=True),
    ]
    svg = chart("a & b", lines, left="jobs", right="workers", bands=[(5, 8)])
    picture = ET.fromstring(svg)  # noqa: S314  # our own text
    paths = picture.findall("{*}path")
    assert [path.get("stroke") for path in paths] == ["#bbb", "#38a"]
    assert "jobs <all>" in [text.text for text in picture.findall("{*}text")]


@pytest.mark.parametrize(
    ("top", "scale"), [(0, 1), (1, 1), (3, 4), (17, 20), (20, 20), (2_004, 4_000)]
)
def test_scales_end_at_round_numbers(top: float, scale: float) -> None:
    assert nice(top) == scale
