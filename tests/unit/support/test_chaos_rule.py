"""The rule that chaos on a cluster adds to those of the checker."""

from collections import defaultdict

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Job, Priority
from asyncendpoints_core.jobs.states import State
from faults.chaos import completed_without_run
from support.history.checker import Final
from support.history.events import History, Run

ID = ids.new(1_700_000_000_000)
JOB = ids.text(ID)


def found(*runs: Run, state: State = State.COMPLETED) -> list[str]:
    history = History(defaultdict(lambda: defaultdict(list)), defaultdict(list), set(), set())
    history.runs[JOB] += runs
    final = Final({JOB: Job(ID, "quick", state, Priority.NORMAL, 1, 4, 0, 0, 7, "w", 3, 1, 2)})
    return [violation.rule for violation in completed_without_run(history, final)]


def test_a_job_is_completed_by_a_run_that_ended_under_its_last_claim() -> None:
    assert found(Run(JOB, 7, 1, 2)) == []
    assert found(Run(JOB, 6, 1, None), Run(JOB, 7, 3, 4)) == []
    assert found(state=State.CANCELED) == []
    assert found() == ["completed-without-run"]
    assert found(Run(JOB, 7, 1, None)) == ["completed-without-run"]
    assert found(Run(JOB, 6, 1, 2)) == ["completed-without-run"]
