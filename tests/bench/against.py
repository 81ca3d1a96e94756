"""The benchmarks of this checkout beside those of another one, in turn, on one machine.

Each round runs each benchmark once in both, the other way round from round to round, with the
`.venv` that is in each checkout; so what else the machine does hits both. Printed are the medians,
and the median and the extremes of the rounds' ratios, this checkout's figure to the other's.
`python tests/bench/against.py FOLDER [--rounds N] [--only NAME …]`
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "typical": ("bench_typical.py", "--rounds", "1", "--concurrency", "100", "--alone"),
    "drain": ("bench_drain.py", "--jobs", "10000", "--rounds", "1", "--json"),
    "submissions": ("bench_submit.py", "--rounds", "1"),
    "latency": ("bench_latency.py", "--samples", "200", "--json"),
}
FIGURES = {
    "typical": {"ours": "jobs/s", "ours us": "µs a job, the busier process"},
    "drain": {"ours": "jobs/s", "ours child": "µs a job, worker", "ours redis": "µs a job, Redis"},
    "submissions": {"gateway_per_s": "requests/s", "gateway_cpu_us": "µs a request, gateway"},
    "latency": {"p50 ms": "ms, median", "p99 ms": "ms, 99 %"},
}


def run(checkout: Path, name: str) -> dict[str, float]:
    """Run a benchmark of a checkout; return the figures that it prints as JSON."""
    script, *options = SCRIPTS[name]
    python = str(checkout / ".venv" / "bin" / "python")
    command = [python, f"tests/bench/{script}", *options]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script} in {checkout} ended with {done.returncode}:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(other: Path, name: str, rounds: int) -> list[str]:
    """Run a benchmark in both checkouts, `rounds` times; return the lines of the table."""
    found: dict[Path, list[dict[str, float]]] = {HERE: [], other: []}
    for number in range(rounds):
        sys.stderr.write(f"{name}: round {number + 1} of {rounds}\n")
        order = list(found) if number % 2 else list(reversed(found))
        for checkout in order:
            found[checkout].append(run(checkout, name))
    lines = []
    for key, unit in FIGURES[name].items():
        ours, theirs = ([each[key] for each in found[at]] for at in (HERE, other))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        lines.append(
            f"{name:<12} {unit:<30} {statistics.median(theirs):>10.2f} → "
            f"{statistics.median(ours):>10.2f}   × {middle:.2f} ({low:.2f} to {high:.2f})"
        )
    return lines


def main() -> None:
    """Run what both checkouts have, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, metavar="FOLDER", help="a checkout with its .venv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(SCRIPTS), choices=list(SCRIPTS))
    options = parser.parse_args()
    other = options.other.resolve()
    if not (other / ".venv").is_dir():
        parser.error(f"{other} has no .venv; run `make venv redis` there")
    for name in options.only:
        if not (other / "tests" / "bench" / SCRIPTS[name][0]).is_file():
            sys.stderr.write(f"{name} is left out: {other} does not have it\n")
            continue
        print("\n".join(compare(other, name, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
