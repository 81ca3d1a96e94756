"""`make bench`: every benchmark of this folder, and a table of its figures beside their targets.

Ratios are of what ran in one go on one machine; a line says so if the machine was busy meanwhile.
`python tests/bench/run.py [--quick] [--pictures FOLDER] [NAME …]`
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import draining, redis_cost, serving
from bench.figure import Figure
from bench.machine import Others, bars

BENCHES: dict[str, Callable[[bool], list[Figure]]] = {
    "typical": draining.typical,
    "drain": draining.drain,
    "peers": draining.peers,
    "work": draining.work,
    "submissions": serving.submissions,
    "asgi": serving.asgi,
    "latency": serving.latency,
    "waiting": serving.waiting,
    "start": serving.start,
    "packages": serving.packages,
    "webhooks": draining.webhooks,
    "actions": draining.actions,
    "keys": draining.keys,
    "memory": redis_cost.memory,
    "commands": redis_cost.commands,
    "growth": redis_cost.growth,
}


def picture(folder: Path, name: str, figures: list[Figure]) -> None:
    """Write a picture of a benchmark's rates, if it has some to compare."""
    rates = [(each.name, each.value, each.unit) for each in figures if each.unit.endswith("/s")]
    if len(rates) > 1:
        folder.mkdir(parents=True, exist_ok=True)
        title = (BENCHES[name].__doc__ or name).strip()
        (folder / f"{name}.svg").write_text(bars(title, rates))


def main() -> int:
    """Run the selected benchmarks; the status is 1 if one could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="smaller and less exact")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write an SVG of the rates")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    lines, failed = [], False
    for name in options.names or BENCHES:
        sys.stderr.write(f"{name}: {(BENCHES[name].__doc__ or '').strip()}\n")
        try:
            with Others() as others:
                figures = BENCHES[name](options.quick)
        except Exception as error:
            failed = True
            lines.append(f"{name}: could not be measured: {error}")
            continue
        lines += [figure.render() for figure in figures]
        if others.warning:
            lines.append(f"{name}: {others.warning}")
        if options.pictures:
            picture(options.pictures, name, figures)
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
