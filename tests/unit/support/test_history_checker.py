"""The checker accepts what a correct system does, and finds each way to break a promise."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Attempt, Attributes, Job, Priority
from asyncendpoints_core.jobs.states import State
from support.history.checker import RULES, Final, check
from support.history.events import Run, parse, read

JOB = ids.text(ids.new(1))
OTHER = ids.text(ids.new(2))
CHILD = Attributes(parent=ids.parse(JOB))


@dataclasses.dataclass
class World:
    """A history under construction. Each call takes two units of time, one after the other."""

    lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    runs: list[Run] = dataclasses.field(default_factory=list)
    jobs: dict[str, Job] = dataclasses.field(default_factory=dict)
    held: int = 0
    delivered: set[tuple[str, int]] | None = None
    now: int = 0

    def call(self, verb: str, *items: dict[str, Any], **fields: Any) -> None:
        self.now += 4
        times = {"begun": self.now - 2, "ended": self.now}
        self.lines.append({"verb": verb, **times, "items": list(items), **fields})

    def submit(self, job: str = JOB, *, status: str = "created", key: str | None = None) -> None:
        item = {"job": job, "status": status, "key": key, "priority": 1, "delay_ms": 0, "is": None}
        self.call("enqueue", item)

    def claim(self, number: int, worker: str = "w1", job: str = JOB) -> None:
        self.call("claim", {"job": job, "claim": number}, worker=worker)

    def settle(
        self,
        number: int,
        status: str = "applied",
        *,
        state: str = "Completed",
        kind: str = "COMPLETE",
        worker: str = "w1",
        job: str = JOB,
        children: tuple[str, ...] = (),
    ) -> None:
        item = {"job": job, "claim": number, "worker": worker, "kind": kind}
        item |= {"children": children} if children else {}
        self.call("settle", {**item, "status": status, "state": state})

    def ends(self, job: str = JOB, state: State = State.COMPLETED, **fields: Any) -> None:
        found = ids.parse(job)
        assert found is not None
        attempts = tuple(Attempt(1, 1, 2, "completed") for _ in range(fields.pop("runs", 1)))
        values = {"attempt": 1, "max_attempts": 4, "claim": 100, "crashes": 0, "releases": 0}
        self.jobs[job] = Job(
            id=found,
            name="work",
            state=state,
            priority=Priority.NORMAL,
            worker="w1",
            revision=3,
            created_ms=1,
            updated_ms=2,
            attempts=attempts,
            **{**values, **fields},
        )

    def violations(self) -> set[str]:
        found = check(parse(self.lines, self.runs), Final(self.jobs, self.held, self.delivered))
        return {each.rule for each in found}


@pytest.fixture
def world() -> World:
    """One job, submitted, run under claim 7 and completed."""
    made = World()
    made.submit()
    made.claim(7)
    made.runs.append(Run(JOB, 7, 9, 10))
    made.settle(7)
    made.ends()
    return made


def test_correct_history_has_no_violation(world: World) -> None:
    assert world.violations() == set()


def test_recovery_after_a_lost_lease_is_correct(world: World) -> None:
    made = World()
    made.submit()
    made.claim(7)
    made.call("release_worker", worker="w1", cause="lost")
    made.claim(8, "w2")
    made.runs += [Run(JOB, 7, 9, 30), Run(JOB, 8, 17, 19)]
    made.settle(8, worker="w2")
    made.settle(7, "stale")
    made.ends(runs=2)
    assert made.violations() == set()


def test_children_of_a_completed_job_are_correct() -> None:
    made = family()
    made.ends(OTHER, attributes=CHILD)
    assert made.violations() == set()
    # Another program's call was applied: its reply was lost with it.
    made.lines[-1]["items"][0] |= {"status": None, "state": None}
    assert made.violations() == set()


def family() -> World:
    """A job that completed and enqueued another, which the store does not have."""
    made = World()
    made.submit()
    made.claim(7)
    made.settle(7, children=(OTHER,))
    made.ends()
    return made


def test_jobs_of_other_times_and_delivered_ends_are_correct(world: World) -> None:
    world.ends(attributes=Attributes(schedule="nightly", scheduled_ms=60_000))
    world.ends(OTHER, attributes=Attributes(schedule="nightly", scheduled_ms=120_000))
    world.delivered = {(JOB, 3), (OTHER, 3)}
    assert world.violations() == set()


def test_jobs_of_other_keys_are_in_no_order(world: World) -> None:
    _later_submission_ran_first(world)
    world.ends(OTHER, attributes=Attributes(key="acme"))
    assert world.violations() == set()


def test_job_that_a_call_without_a_reply_may_have_created_is_in_no_order(world: World) -> None:
    world.lines.append(
        {**world.lines[0], "begun": 0, "ended": 1, "items": [{"job": OTHER, "status": None}]}
    )
    _later_submission_ran_first(world)
    assert world.violations() == set()


def test_redrive_is_correct() -> None:
    made = World()
    made.submit()
    made.claim(7)
    made.settle(7, state="Failed", kind="FAIL")
    made.call("redrive", {"job": JOB, "status": "requeued"})
    made.claim(8)
    made.settle(8)
    made.ends()
    assert made.violations() == set()


def _not_in_the_store(world: World) -> None:
    world.jobs.clear()


def _still_running(world: World) -> None:
    world.ends(state=State.IN_PROGRESS)


def _key_made_two_jobs(world: World) -> None:
    for job in (JOB, OTHER):
        world.submit(job, key="k")
    world.ends(OTHER)


def _claim_of_two_workers(world: World) -> None:
    world.claim(7, "w2")


def _claim_applied_twice(world: World) -> None:
    world.settle(7)


def _canceled_after_completion(world: World) -> None:
    world.call("cancel", {"job": JOB, "status": "canceled", "state": "Canceled"})


def _settled_by_a_stale_claim(world: World) -> None:
    world.claim(8, "w2")
    world.settle(7)


def _last_claim_is_refused(world: World) -> None:
    world.submit(OTHER)
    world.claim(8, job=OTHER)
    world.settle(8, "stale", job=OTHER)
    world.claim(9, job=OTHER)
    world.settle(9, job=OTHER)
    world.ends(OTHER)


def _progress_of_a_stale_claim(world: World) -> None:
    world.claim(8, "w2")
    item = {"job": JOB, "claim": 7, "worker": "w1", "status": "applied"}
    world.call("progress", item)


def _settled_by_another_worker(world: World) -> None:
    world.settle(7, worker="w9", kind="RELEASE", state="Queued")


def _retried_after_completion(world: World) -> None:
    world.settle(9, kind="RETRY", state="Queued")


def _claimed_after_completion(world: World) -> None:
    world.claim(8)


def _claimed_after_cancel() -> World:
    made = World()
    made.submit()
    made.call("cancel", {"job": JOB, "status": "canceled", "state": "Canceled"})
    made.claim(8)
    made.ends(state=State.CANCELED)
    return made


def _run_under_a_number_that_was_never_given(world: World) -> None:
    world.runs.append(Run(JOB, 101, 30, 31))


def _run_twice_under_one_claim(world: World) -> None:
    world.runs.append(Run(JOB, 7, 30, 31))


def _two_runs_at_once(world: World) -> None:
    world.claim(8, "w2")
    world.runs.append(Run(JOB, 6, 8, 40))
    world.claim(6, "w3")
    world.ends(runs=2)


def _later_submission_ran_first(world: World) -> None:
    world.submit(OTHER)
    world.claim(3, job=OTHER)
    world.settle(3, job=OTHER)
    world.ends(OTHER)


def _more_retries_than_attempts(world: World) -> None:
    for number in (1, 2):
        world.settle(number, kind="RETRY", state="Scheduled")


def _more_attempts_than_allowed(world: World) -> None:
    world.ends(attempt=5)


def _run_that_the_record_forgot(world: World) -> None:
    world.runs.append(Run(JOB, 6, 1))


def _held_in_the_end(world: World) -> None:
    world.held = 1


def _schedule_made_two_jobs_for_a_time(world: World) -> None:
    for job in (JOB, OTHER):
        world.ends(job, attributes=Attributes(schedule="nightly", scheduled_ms=60_000))


def _end_was_not_delivered(world: World) -> None:
    world.delivered = {(JOB, 2), (OTHER, 3)}


def _child_is_missing(world: World) -> None:
    world.lines[-1]["items"][0]["children"] = (OTHER,)


def _child_of_another_attempt(world: World) -> None:
    world.ends(OTHER, attributes=CHILD)


def _child_of_a_failed_job(world: World) -> None:
    world.lines[-1]["items"][0] |= {"children": (OTHER,), "state": "Failed"}
    world.ends(state=State.FAILED)
    world.ends(OTHER, attributes=CHILD)


BREAKS: list[tuple[str, Callable[[World], None]]] = [
    ("lost", _not_in_the_store),
    ("lost", _still_running),
    ("two-jobs-of-one-key", _key_made_two_jobs),
    ("claim-given-twice", _claim_of_two_workers),
    ("settled-twice", _claim_applied_twice),
    ("final-twice", _canceled_after_completion),
    ("stale-write", _settled_by_a_stale_claim),
    ("stale-write", _progress_of_a_stale_claim),
    ("refused", _last_claim_is_refused),
    ("foreign-write", _settled_by_another_worker),
    ("write-after-end", _retried_after_completion),
    ("run-after-end", _claimed_after_completion),
    ("run-without-claim", _run_under_a_number_that_was_never_given),
    ("run-without-claim", _run_twice_under_one_claim),
    ("overlap", _two_runs_at_once),
    ("order", _later_submission_ran_first),
    ("counts", _more_retries_than_attempts),
    ("counts", _more_attempts_than_allowed),
    ("counts", _run_that_the_record_forgot),
    ("children", _child_is_missing),
    ("children", _child_of_another_attempt),
    ("children", _child_of_a_failed_job),
    ("fired-twice", _schedule_made_two_jobs_for_a_time),
    ("webhooks", _end_was_not_delivered),
    ("held", _held_in_the_end),
]


@pytest.mark.parametrize(
    ("rule", "spoil"), BREAKS, ids=lambda value: getattr(value, "__name__", "")
)
def test_violation_is_found(world: World, rule: str, spoil: Callable[[World], None]) -> None:
    spoil(world)
    assert rule in world.violations()


def test_run_after_a_cancel_is_found() -> None:
    assert "run-after-end" in _claimed_after_cancel().violations()


def test_every_rule_has_a_history_that_violates_it() -> None:
    assert {rule for rule, _ in BREAKS} == set(RULES)


def test_reads_files_with_a_last_line_that_was_cut(tmp_path: Path) -> None:
    made = World()
    made.submit()
    whole = json.dumps(made.lines[0])
    (tmp_path / "gateway-1.jsonl").write_text(f'{whole}\n{{"verb": "settle", "it')
    (tmp_path / "runs").write_text(f"begin {JOB} 7 100\nbegin {JOB} 8 200\nend {JOB} 7 150\n")
    history = read(tmp_path, tmp_path / "runs")
    assert [call.status for call in history.of(JOB, "enqueue")] == ["created"]
    assert history.runs[JOB] == [Run(JOB, 7, 100, 150), Run(JOB, 8, 200, None)]


def test_final_state_of_a_store_is_read_by_id() -> None:
    made = World()
    made.ends()
    [job] = made.jobs.values()
    assert Final.of([job], 0) == Final({JOB: msgspec.structs.replace(job)}, 0)
