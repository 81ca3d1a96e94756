"""What a failover may lose is bounded by the time that it took."""

from faults.losses import lost_by_fault, split, touched
from faults.system import Gap
from support.history.checker import Violation
from support.history.events import Run, parse

GAPS = [Gap("killed", 100, 200)]


def _line(job: str, begun: int, ended: int) -> dict[str, object]:
    items = [{"job": job, "status": "created"}]
    return {"verb": "enqueue", "begun": begun, "ended": ended, "items": items}


HISTORY = parse(
    [_line("before", 90, 99), _line("inside", 110, 120), _line("across", 90, 300)],
    [Run("ran", 1, 50, 150), Run("later", 1, 201, 202)],
)


def test_jobs_with_a_call_or_a_run_in_a_gap_are_touched() -> None:
    assert touched(HISTORY, GAPS) == {"inside", "across", "ran"}


def test_only_what_was_touched_is_excused_and_no_accepted_job_when_strict() -> None:
    found = [
        Violation("lost", "before", ""),
        Violation("lost", "inside", ""),
        Violation("final-twice", "inside", ""),
        Violation("held", "", ""),
    ]
    kept, excused = split(found, touched(HISTORY, GAPS), strict=False)
    assert (kept, excused) == ([found[0], found[3]], found[1:3])
    kept, excused = split(found, touched(HISTORY, GAPS), strict=True)
    assert (kept, excused) == ([found[0], found[1], found[3]], [found[2]])
    lines = lost_by_fault(HISTORY, found[:2], [*GAPS, Gap("killed", 0, 1)])
    assert lines == ["killed: 2 times, 1 jobs lost, up to 0.0 s each"]
