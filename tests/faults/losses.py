"""What a failover may lose: everything about jobs that had a call, or a run, in one of its gaps."""

from collections.abc import Iterable, Iterator, Sequence

from faults.system import Gap
from support.history.checker import Violation
from support.history.events import History

# What `durability: strict` promises of a job that was accepted, whatever fails over.
KEPT_WHEN_STRICT = {"lost", "two-jobs-of-one-key"}


def touched(history: History, gaps: Sequence[Gap]) -> set[str]:
    """Return the jobs of which something acknowledged in a gap may be lost."""
    return {
        job
        for job in {*history.calls, *history.runs}
        if any(_meet(begun, ended, gap) for begun, ended in _times(history, job) for gap in gaps)
    }


def lost_by_fault(history: History, excused: Iterable[Violation], gaps: Sequence[Gap]) -> list[str]:
    """Return a line for each kind of failover: how long its gaps were, and what was lost in them.

    A job is lost in the gap in which its submission was acknowledged.
    """
    lost = [each.job for each in excused if each.rule == "lost"]
    lines = []
    for fault in dict.fromkeys(gap.fault for gap in gaps):
        own = [gap for gap in gaps if gap.fault == fault]
        calls = (history.of(job, "enqueue") for job in lost)
        count = sum(any(_meet(c.begun, c.ended, gap) for c in of for gap in own) for of in calls)
        longest = max(gap.ended - gap.begun for gap in own) / 1e9
        lines.append(f"{fault}: {len(own)} times, {count} jobs lost, up to {longest:.1f} s each")
    return lines


def _times(history: History, job: str) -> Iterator[tuple[int, int]]:
    for calls in history.calls.get(job, {}).values():
        yield from ((call.begun, call.ended) for call in calls)
    for run in history.runs.get(job, ()):
        yield run.begun, run.ended or run.begun


def _meet(begun: int, ended: int, gap: Gap) -> bool:
    return begun <= gap.ended and ended >= gap.begun


def split(
    violations: Iterable[Violation], jobs: set[str], *, strict: bool
) -> tuple[list[Violation], list[Violation]]:
    """Return the violations that no failover excuses, and the others."""
    kept: list[Violation] = []
    excused: list[Violation] = []
    for each in violations:
        promised = strict and each.rule in KEPT_WHEN_STRICT
        (excused if each.job in jobs and not promised else kept).append(each)
    return kept, excused
