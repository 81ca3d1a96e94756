"""`make soak MINUTES=5 SEED=1`: load, faults, and the proof afterwards.

Exits with 1 and names the violations if a promise was broken. The same seed injects the same
faults at the same times; what they hit depends on the machine.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from faults.faults import FAULTS
from faults.load import Load
from faults.system import System
from support.history.checker import Violation, check
from support.history.events import read

SETTLE_SECONDS = 180.0


@dataclass
class Report:
    """What a soak did and found."""

    accepted: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def __str__(self) -> str:
        """Return it as lines."""
        lines = [
            f"{self.accepted} jobs accepted, {self.runs} runs, "
            f"{sum(self.faults.values())} faults, {len(self.violations)} violations",
            "final states: " + ", ".join(f"{n} {state}" for state, n in self.states.most_common()),
            "faults: " + ", ".join(f"{n} {name}" for name, n in sorted(self.faults.items())),
            "answers: " + ", ".join(f"{n} x {code}" for code, n in sorted(self.answers.items())),
            *(f"VIOLATION {each.rule}: {each.job}: {each.detail}" for each in self.violations[:50]),
        ]
        return "\n".join(lines)


async def soak(
    folder: Path, seconds: float, seed: int, *, per_second: float = 25, names: tuple[str, ...] = ()
) -> Report:
    """Run load and faults for `seconds`, then wait for the end of every job and check."""
    chance, report = random.Random(seed), Report()
    chosen = names or tuple(FAULTS)
    async with System(folder) as system:
        load = Load(system.urls, seed, per_second)
        submitting = asyncio.create_task(load.run())
        end = time.monotonic() + seconds
        # Every fault once, in random order, then again.
        line: list[str] = []
        while time.monotonic() < end:
            line = line or chance.sample(chosen, len(chosen))
            name = line.pop()
            sys.stderr.write(f"{end - time.monotonic():6.1f} s left: {name}\n")
            await FAULTS[name](system, chance)
            report.faults[name] += 1
            await asyncio.sleep(chance.uniform(0.1, 0.8))
        load.stop()
        await asyncio.wait_for(submitting, SETTLE_SECONDS)
        final = await system.final(SETTLE_SECONDS)
        for role in system.roles:
            await role.stop()
    history = read(system.history, system.runs)
    report.accepted, report.answers = len(load.accepted), load.answers
    report.states.update(job.state.value for job in final.jobs.values())
    report.runs = sum(map(len, history.runs.values()))
    report.violations = check(history, final)
    missing = set(load.accepted.values()) - set(final.jobs)
    report.violations += [Violation("lost", job, "answered 202, not stored") for job in missing]
    return report


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=25, help="submissions per second")
    parser.add_argument("--faults", nargs="*", choices=sorted(FAULTS), default=[])
    parser.add_argument("--keep", type=Path, help="folder for the histories")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        folder = options.keep or Path(scratch)
        run = soak(
            folder,
            options.minutes * 60,
            options.seed,
            per_second=options.rate,
            names=tuple(options.faults),
        )
        report = asyncio.run(run)
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
