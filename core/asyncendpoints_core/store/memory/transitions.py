"""The state machine's moves on one record. Each function is one row or exit of states.TABLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.jobs.records import (
    MAX_ATTEMPTS_KEPT,
    MAX_RELEASES,
    Attempt,
    ErrorCode,
    JobError,
    OutcomeKind,
)
from asyncendpoints_core.jobs.retry import backoff_ms
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory.record import Record, encode

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Outcome
    from asyncendpoints_core.store.memory.data import Data

_OUTCOMES = {
    OutcomeKind.COMPLETE: "completed",
    OutcomeKind.RETRY: "retry",
    OutcomeKind.FAIL: "failed",
    OutcomeKind.TIME_OUT: "timed-out",
}
_TOTALS = {State.COMPLETED: "completed", State.FAILED: "failed", State.CANCELED: "canceled"}


def end_run(
    data: Data, record: Record, now: int, outcome: str, error: JobError | None = None
) -> None:
    """Note the end of a job's present run in its history."""
    run = Attempt(record.attempt, record.started_ms, now, outcome, error)
    record.attempts = (*record.attempts, run)[-MAX_ATTEMPTS_KEPT:]
    data.totals["busy_ms"] += max(0, now - record.started_ms)


def finish(
    data: Data, record: Record, now: int, state: State, error: JobError | None = None
) -> None:
    """Put a job into a final state; a Failed one without `error` keeps the last one it had."""
    record.state = state
    record.completed_ms = now
    record.suspect = False
    record.error = (error or record.error) if state is State.FAILED else None
    data.totals[_TOTALS[state]] += 1
    data.save(record, now)


def enter_line(data: Data, record: Record, now: int) -> None:
    """Queue a job at the tail of its line."""
    record.state = State.QUEUED
    record.seq = data.next_seq()
    record.ready_ms = now
    if record.suspect:
        record.eligible_ms = now
    data.save(record, now, new=record.id not in data.records)


def promote(data: Data, record: Record, now: int) -> bool:
    """Move a due Scheduled job to its line's tail; False when it had expired."""
    if expire_if_over(data, record, now):
        return False
    enter_line(data, record, now)
    return True


def expire_if_over(data: Data, record: Record, now: int) -> bool:
    """Fail a waiting job whose time to live is over; tell whether it was."""
    end = data.expires(record, now)
    if record.final or not end or now < end:
        return False
    missing = record.error is not None and record.error.code == ErrorCode.HANDLER_MISSING
    error = record.error if missing else JobError(ErrorCode.EXPIRED, "its time to live is over")
    data.totals["expired"] += 1
    finish(data, record, now, State.FAILED, error)
    return True


def _return_to_line(data: Data, record: Record, now: int, eligible_ms: int) -> None:
    record.state = State.QUEUED
    record.ready_ms = now
    record.eligible_ms = eligible_ms if record.suspect else 0
    data.save(record, now)


def _take_back_attempt(record: Record, *, started: bool) -> None:
    record.attempt = max(0, record.attempt - 1)
    # Runs taken back leave one of these marks: it has been started before.
    ran = started or record.crashes or record.releases or record.suspect
    if record.attempt == 0 and not ran:
        record.started_ms = 0  # nothing of it ever ran: its time to live runs on


def give_back(
    data: Data,
    record: Record,
    now: int,
    outcome: str,
    *,
    started: bool,
    charged: bool = True,
    delay_ms: int = 0,
    error: JobError | None = None,
) -> None:
    """Take a running job's attempt back and let it wait again: release and recover.

    A `started` one is noted in its history and, if `charged`, against the releases budget.
    """
    if started:
        end_run(data, record, now, "canceled" if record.cancel_requested_ms else outcome)
    if record.cancel_requested_ms:
        finish(data, record, now, State.CANCELED)
        return
    _take_back_attempt(record, started=started)
    record.error = error or record.error
    if started and charged:
        record.releases += 1
        if record.releases > MAX_RELEASES:
            text = f"handed back {record.releases} times without ending"
            finish(data, record, now, State.FAILED, JobError(ErrorCode.NEVER_FINISHED, text))
            return
    if delay_ms:
        schedule(data, record, now, delay_ms)
    else:
        _return_to_line(data, record, now, now)


def schedule(data: Data, record: Record, now: int, delay_ms: int) -> None:
    """Let a job wait until `delay_ms` from now."""
    record.state = State.SCHEDULED
    record.not_before_ms = now + delay_ms
    data.save(record, now)


def crash_alone(data: Data, record: Record, now: int) -> None:
    """Charge a crash to the one job that ran: it is tried again alone, or given up."""
    retry = data.rules.retry
    record.crashes += 1
    data.totals["crashed"] += 1
    if record.crashes > retry.max_crashes:
        text = f"its worker's process died {record.crashes} times while running it"
        error = JobError(ErrorCode.WORKER_CRASHED, text)
        end_run(data, record, now, "failed", error)
        _take_back_attempt(record, started=True)
        finish(data, record, now, State.FAILED, error)
        return
    end_run(data, record, now, "recovered")
    _take_back_attempt(record, started=True)
    record.suspect = True
    wait = backoff_ms(retry, record.crashes - 1) if record.crashes > 1 else 0
    _return_to_line(data, record, now, now + wait)


def crash_beside_others(data: Data, record: Record, now: int) -> None:
    """Suspect, without charging it, a job that was one of several when the process died."""
    end_run(data, record, now, "recovered")
    _take_back_attempt(record, started=True)
    record.suspect = True
    _return_to_line(data, record, now, now)


def settle(data: Data, record: Record, outcome: Outcome, now: int) -> None:
    """Apply the outcome of a claim that was found current."""
    kind = outcome.kind
    stands = kind in (OutcomeKind.COMPLETE, OutcomeKind.FAIL)
    if kind is OutcomeKind.CANCELED or (record.cancel_requested_ms and not stands):
        if outcome.started:
            end_run(data, record, now, "canceled")
        finish(data, record, now, State.CANCELED)
    elif kind is OutcomeKind.RELEASE:
        data.totals["released"] += 1
        give_back(
            data,
            record,
            now,
            "released",
            started=outcome.started,
            delay_ms=outcome.delay_ms,
            error=outcome.error,
        )
    else:
        end_run(data, record, now, _OUTCOMES[kind], outcome.error)
        _end(data, record, outcome, now)


def _end(data: Data, record: Record, outcome: Outcome, now: int) -> None:
    kind = outcome.kind
    if kind is OutcomeKind.TIME_OUT:
        data.totals["timed_out"] += 1
    if kind is OutcomeKind.COMPLETE:
        if outcome.result is not None:
            data.results[record.id] = encode(outcome.result)
        finish(data, record, now, State.COMPLETED)
    elif kind is OutcomeKind.FAIL or outcome.final:
        finish(data, record, now, State.FAILED, outcome.error)
    else:
        data.totals["retried"] += kind is OutcomeKind.RETRY
        record.error = outcome.error
        record.suspect = False
        schedule(data, record, now, outcome.delay_ms)


def redrive(data: Data, record: Record, now: int) -> None:
    """Queue a Failed or Canceled job again as if it were new, its history kept."""
    record.attempt = record.crashes = record.releases = 0
    record.started_ms = record.completed_ms = record.not_before_ms = 0
    record.cancel_requested_ms = 0
    record.base_ms, record.limit_ms, record.stood_ms = now, 0, data.stood(now)
    record.progress = record.error = None
    data.results.pop(record.id, None)
    data.totals["redriven"] += 1
    enter_line(data, record, now)
