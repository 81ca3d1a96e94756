"""`make soak MINUTES=5 SEED=1`: load, faults, and the proof afterwards.

Exits with 1 and names the violations if a promise was broken. The same seed injects the same
faults in the same order; what they hit depends on the machine. `--only` repeats some of them,
`--minimise` looks for few that suffice.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.bulk import Bulk
from faults.figures import Injected, Memory, recoveries
from faults.kinds import KINDS
from faults.load import Load
from faults.losses import lost_by_fault, split, touched
from faults.schedule import Step, minimise, steps
from faults.system import Gap
from support.history.checker import Final, Violation, check
from support.history.events import History, read

SETTLE_SECONDS = 180.0
# Beyond this, submissions are all of the job `bulk`: the others hold places for longer.
MIXED_PER_SECOND = 25
BULK_CONCURRENCY = 64


@dataclass
class Report:
    """What a soak did and found."""

    accepted: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    injected: list[Step] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    # What failovers lost, as asynchronous replication may.
    excused: list[Violation] = field(default_factory=list)
    failovers: list[str] = field(default_factory=list)
    # How long recoveries took, and the memory of the roles.
    figures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return it as lines."""
        faults = Counter(step.fault for step in self.injected)
        excused = Counter(each.rule for each in self.excused)
        lines = [
            f"{self.accepted} jobs accepted, {self.runs} runs, "
            f"{len(self.injected)} faults, {len(self.violations)} violations",
            "final states: " + ", ".join(f"{n} {state}" for state, n in self.states.most_common()),
            "faults: " + ", ".join(f"{n} {name}" for name, n in sorted(faults.items())),
            "answers: " + ", ".join(f"{n} x {code}" for code, n in sorted(self.answers.items())),
            *self.failovers,
            *self.figures,
            *(f"through failovers: {n} x {rule}" for rule, n in sorted(excused.items())),
            *(f"VIOLATION {each.rule}: {each.job}: {each.detail}" for each in self.violations[:50]),
        ]
        return "\n".join(lines)


async def soak(
    folder: Path,
    seconds: float,
    seed: int,
    *,
    redis: str = "single",
    per_second: float = 25,
    names: tuple[str, ...] | None = None,
    only: Sequence[int] = (),
    poison: bool = True,
    picture: Path | None = None,
) -> Report:
    """Run load and faults for `seconds`, then wait for the end of every job and check.

    Without `names` every fault of that kind of Redis is injected, with an empty tuple none. With
    `only`, inject just the steps of these numbers and end after the last. Without `poison` no job
    kills its process. Memory of the roles is drawn into `picture`.
    """
    report, kind, injected = Report(), KINDS[redis], list[Injected]()
    system = kind.system(folder)
    if per_second > MIXED_PER_SECOND:
        system.concurrency = BULK_CONCURRENCY
    async with system:
        load = Load(system.urls, seed, min(per_second, MIXED_PER_SECOND), poison=poison)
        bulk = Bulk(system.urls, seed, max(0, per_second - MIXED_PER_SECOND))
        memory = Memory(system, picture)
        sampling = asyncio.create_task(memory.run())
        submitting = asyncio.gather(load.run(), bulk.run())
        end = time.monotonic() + seconds
        chosen = tuple(kind.faults) if names is None else names
        for step in steps(seed, chosen):
            if step.number > max(only) if only else time.monotonic() >= end:
                break
            if not only or step.number in only:
                left, jobs = end - time.monotonic(), len(load.accepted) + len(bulk.accepted)
                sys.stderr.write(f"{left:6.1f} s left, {jobs} jobs: {step.number} {step.fault}\n")
                begun = time.monotonic_ns()
                await kind.faults[step.fault](system, step.chance())
                injected.append(Injected(step.fault, begun))
                report.injected.append(step)
            await asyncio.sleep(step.pause)
        if not chosen:
            await asyncio.sleep(seconds)
        load.stop()
        bulk.stop()
        await asyncio.wait_for(submitting, SETTLE_SECONDS)
        sampling.cancel()
        final = await system.final(SETTLE_SECONDS)
        for role in system.roles:
            await role.stop()
    report.answers = load.answers + bulk.answers
    report.figures = [system.deliveries, *memory.lines()]
    history = read(system.history, system.runs)
    report.figures += recoveries(history, injected)
    accepted = {*load.accepted.values(), *bulk.accepted}
    prove(report, history, final, accepted, system.gaps, strict=kind.strict)
    return report


def prove(
    report: Report,
    history: History,
    final: Final,
    accepted: set[str],
    gaps: Sequence[Gap],
    *,
    strict: bool,
) -> None:
    """Check what happened, and report it."""
    report.accepted = len(accepted)
    report.states.update(job.state.value for job in final.jobs.values())
    report.runs = sum(map(len, history.runs.values()))
    found = set(check(history, final))
    missing = accepted - set(final.jobs)
    found |= {Violation("lost", job, "accepted, and not in the store") for job in missing}
    jobs = touched(history, gaps)
    report.violations, report.excused = split(sorted(found), jobs, strict=strict)
    report.failovers = lost_by_fault(history, report.excused, gaps)


async def _run(folder: Path, options: argparse.Namespace, only: Sequence[int]) -> Report:
    """Run one soak in a folder of its own."""
    return await soak(
        folder,
        options.minutes * 60,
        options.seed,
        redis=options.redis,
        per_second=options.rate,
        names=_faults(options),
        only=only,
        poison=not options.no_poison,
        picture=options.picture,
    )


def _faults(options: argparse.Namespace) -> tuple[str, ...] | None:
    """Return the faults of a command line; None for all."""
    return () if options.no_faults else tuple(options.faults) or None


async def smallest(folder: Path, options: argparse.Namespace, report: Report) -> list[int]:
    """Repeat a failed soak with ever fewer steps; return those that still break a promise."""
    rules = {each.rule for each in report.violations}
    number = 0

    async def fails(only: Sequence[int]) -> bool:
        nonlocal number
        number += 1
        sys.stderr.write(f"attempt {number} with {len(only)} faults\n")
        again = await _run(folder / f"attempt-{number}", options, only)
        return any(each.rule in rules for each in again.violations)

    return await minimise([step.number for step in report.injected], fails, options.minimise)


async def command(folder: Path, options: argparse.Namespace) -> int:
    """Run the soak and, if it failed and this is wanted, look for a smaller one."""
    report = await _run(folder, options, options.only)
    sys.stdout.write(f"{report}\n")
    if not report.violations or not report.injected:
        return bool(report.violations)
    only = [step.number for step in report.injected]
    if options.minimise:
        only = await smallest(folder, options, report)
    faults = f" --faults {' '.join(options.faults)}" if options.faults else ""
    poison = " --no-poison" if options.no_poison else ""
    words = (
        f"--redis {options.redis} --rate {options.rate:g}{poison}{faults} "
        f"--only {' '.join(map(str, only))}"
    )
    sys.stdout.write(f"repeat it: make soak SEED={options.seed} ARGS='{words}'\n")
    return 1


def main() -> int:
    """Run the command line."""
    every = sorted({name for kind in KINDS.values() for name in kind.faults})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=25, help="submissions per second")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--faults", nargs="*", choices=every, default=[])
    kinds.add_argument("--no-faults", action="store_true", help="load alone")
    parser.add_argument("--redis", choices=sorted(KINDS), default="single", help="kind of Redis")
    parser.add_argument(
        "--only", nargs="*", type=int, default=[], help="numbers of faults to inject"
    )
    parser.add_argument(
        "--minimise",
        type=int,
        default=0,
        metavar="ATTEMPTS",
        help="after a violation, repeat with fewer faults, at most so often",
    )
    parser.add_argument(
        "--no-poison", action="store_true", help="submit no job that kills its process"
    )
    parser.add_argument("--picture", type=Path, help="file for an SVG of the memory of each role")
    parser.add_argument("--keep", type=Path, help="folder for the histories")
    options = parser.parse_args()
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error(f"{options.keep} is not empty")
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        return asyncio.run(command(options.keep or Path(scratch), options))


if __name__ == "__main__":
    sys.exit(main())
