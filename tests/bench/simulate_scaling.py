"""Replays the scaling scenarios in virtual time, prints their outcomes, and draws charts.

`python tests/bench/simulate_scaling.py [--out DIR] [--window S …] [--service S …] [--rate S …]
[SCENARIO …]`. With several values it prints a line for each, which is how the defaults were chosen.
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from asyncendpoints_core.scaling import decide as autoscale
from asyncendpoints_core.scaling import estimate
from support.scaling import Scenario, Simulation, Trace
from support.scenarios import ALL
from support.svg_chart import Line, chart

HEADER = (
    f"{'scenario':<11} {'window':>6} {'service':>7} {'rate':>5} {'wait p50':>9} {'p95':>7} "
    f"{'max':>7} {'worker-min':>10} {'changes':>7} {'turns':>5} {'peak':>4} {'killed':>6} "
    f"{'left':>4}"
)
Tuning = tuple[float, float, float]


def draw(scenario: Scenario, trace: Trace) -> str:
    """Return the chart of one run: demand, wanted and actual workers."""
    times = [sample.at_ms / 1_000 for sample in trace.samples]

    most = scenario.limits.max_replicas

    def line(name: str, label: str, color: str, **look: Any) -> Line:
        values = [getattr(sample, name) for sample in trace.samples]
        if name == "want":  # one worker per job, for a moment, while no service time is known
            values = [min(value, most) for value in values]
        return Line(label, color, list(zip(times, values, strict=True)), **look)

    held_back = line("held_back", "held back by limits (jobs)", "#c9a0dc", dashed=True)
    return chart(
        scenario.title,
        [
            *([held_back] if scenario.per_key else []),
            line("demand", "demand (jobs)", "#bbbbbb"),
            line("ready", "ready", "#a5d6a7", right=True, width=4),
            line("want", f"wanted (up to {most})", "#e69138", right=True, width=1),
            line("replicas", "set", "#3d6fb4", right=True),
        ],
        left="jobs",
        right="workers",
        bands=[(begin / 1_000, end / 1_000) for begin, end in scenario.outages],
    )


def row(scenario: Scenario, tuning: Tuning, trace: Trace) -> str:
    """Return one line of the table."""
    window, service, rate = tuning
    return (
        f"{scenario.name:<11} {window:>5g}s {service:>6g}s {rate:>4g}s {trace.wait_s(0.5):>8.1f}s "
        f"{trace.wait_s(0.95):>6.1f}s {trace.wait_s(1):>6.1f}s {trace.worker_ms / 60_000:>10.1f} "
        f"{trace.changes:>7} {trace.reversals:>5} {max(s.replicas for s in trace.samples):>4} "
        f"{trace.killed:>6} {trace.unfinished:>4}"
    )


def tune(tuning: Tuning) -> None:
    """Set the constants to try."""
    window, service, rate = (round(seconds * 1_000) for seconds in tuning)
    autoscale.WINDOW_MS = window  # type: ignore[misc]  # final for everyone else
    estimate.SERVICE_MS = service  # type: ignore[misc]
    estimate.RATE_MS = rate  # type: ignore[misc]


def main() -> int:
    """Run the selected scenarios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all of them")
    parser.add_argument("--out", type=Path, help="folder for one SVG each")
    seconds = {
        "window": autoscale.WINDOW_MS,
        "service": estimate.SERVICE_MS,
        "rate": estimate.RATE_MS,
    }
    for name, ms in seconds.items():
        parser.add_argument(f"--{name}", type=float, nargs="+", default=[ms / 1_000], metavar="S")
    options = parser.parse_args()
    known = {make().name: make for make in ALL}
    unknown = set(options.scenarios) - set(known)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    sys.stdout.write(HEADER + "\n")
    tunings = list(itertools.product(options.window, options.service, options.rate))
    for name, tuning in itertools.product(options.scenarios or known, tunings):
        tune(tuning)
        scenario = known[name]()
        trace = Simulation(scenario).run()
        sys.stdout.write(row(scenario, tuning, trace) + "\n")
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            picture = draw(scenario, trace)
            (options.out / f"{scenario.name}.svg").write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
